package rbac

import "slices"

// assignment is a role assignment that can grant something: without a condition, at a parsable scope.
type assignment struct {
	scope scope
	role  string // name of the role definition, a GUID in lower case
}

// denial is a deny assignment.
type denial struct {
	id         string // in lower case
	scope      scope
	everywhere bool // the scope could not be parsed
	exact      bool // does not apply to child scopes
	everybody  bool
	principals []string // object ids in lower case
	excluded   []string
	denied     []permission
}

// rights are what applies to one caller in one subscription.
type rights struct {
	assignments []assignment
	roles       map[string][]permission // by name; an absent role grants nothing
	denials     []denial                // those that apply to the caller
}

// missing returns the first of the actions that is not permitted at the scope.
func (r rights) missing(at scope, actions []string) string {
	for _, action := range actions {
		if a := lower(action); r.denies(at, a) || !r.grants(at, a) {
			return action
		}
	}
	return ""
}

func (r rights) grants(at scope, action string) bool {
	for _, a := range r.assignments {
		if a.scope.covers(at) && anyCovers(r.roles[a.role], action) {
			return true
		}
	}
	return false
}

func (r rights) denies(at scope, action string) bool {
	for _, d := range r.denials {
		if d.covers(at) && anyCovers(d.denied, action) {
			return true
		}
	}
	return false
}

func (d denial) covers(at scope) bool {
	switch {
	case d.everywhere:
		return true
	case d.exact:
		return d.scope.equal(at)
	}
	return d.scope.covers(at)
}

// applies reports whether the denial applies to the caller. assigned is the ids of those that apply according to
// ARM, including through groups.
func (d denial) applies(oid string, assigned map[string]bool) bool {
	return !slices.Contains(d.excluded, oid) && (d.everybody || assigned[d.id] || slices.Contains(d.principals, oid))
}

// others reports whether the denial may apply to the caller only through a group.
func (d denial) others(oid string) bool {
	return !slices.Contains(d.excluded, oid) && !d.applies(oid, nil)
}
