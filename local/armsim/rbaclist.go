package armsim

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// filterPart is one condition of a $filter and the types that it can be asked of.
type filterPart struct {
	form  *regexp.Regexp
	types []string
	keep  func(s *Server, at target, value string, r *resource) bool
}

func filterParts() []filterPart {
	text := func(name string) *regexp.Regexp { return regexp.MustCompile(`(?i)^` + name + `\s+eq\s+'([^']*)'$`) }
	equal := func(name string) func(*Server, target, string, *resource) bool {
		return func(_ *Server, _ target, value string, r *resource) bool {
			return strings.EqualFold(property(r, name), value)
		}
	}
	return []filterPart{
		{regexp.MustCompile(`(?i)^atScope\(\s*\)$`), rbacTypes(), func(_ *Server, at target, _ string, r *resource) bool {
			return r.Type == definitionType || covers(rbacScope(r.ID), at.scope)
		}},
		{regexp.MustCompile(`(?i)^atScopeAndBelow\(\s*\)$`), []string{definitionType}, func(*Server, target, string, *resource) bool { return true }},
		{regexp.MustCompile(`(?i)^assignedTo\(\s*'([^']*)'\s*\)$`), []string{assignmentType, denyType}, func(s *Server, _ target, value string, r *resource) bool {
			return slices.ContainsFunc(s.principals(value), func(id string) bool { return names(r, id) })
		}},
		{text("principalId"), []string{assignmentType, denyType}, func(_ *Server, _ target, value string, r *resource) bool { return names(r, value) }},
		{text("denyAssignmentName"), []string{denyType}, equal("denyAssignmentName")},
		{text("roleName"), []string{definitionType}, equal("roleName")},
		{text("type"), []string{definitionType}, equal("type")},
	}
}

// names says whether an assignment names the principal itself. A deny assignment to everybody names nobody here; whether
// ARM's assignedTo() shows it is unverified, so that a client must look for it by itself.
func names(r *resource, id string) bool {
	if r.Type == assignmentType {
		return strings.EqualFold(property(r, "principalId"), id)
	}
	for _, p := range items(r.Doc, "principals") {
		if text, _ := p["id"].(string); strings.EqualFold(text, id) {
			return true
		}
	}
	return false
}

// principals are the object id and the groups that it is in, through other groups too, in lower case.
func (s *Server) principals(id string) []string {
	found := []string{strings.ToLower(id)}
	for i := 0; i < len(found); i++ {
		for _, group := range s.groups[found[i]] {
			if !slices.Contains(found, group) {
				found = append(found, group)
			}
		}
	}
	return found
}

// SetGroups replaces who is in which groups: object ids of the groups by the object id of the member, which may be a group.
func (s *Server) SetGroups(groups map[string][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = lowerGroups(groups)
}

func lowerGroups(groups map[string][]string) map[string][]string {
	out := make(map[string][]string, len(groups))
	for member, of := range groups {
		for _, group := range of {
			out[strings.ToLower(member)] = append(out[strings.ToLower(member)], strings.ToLower(group))
		}
	}
	return out
}

// listGrants answers a page of assignments or definitions. Without atScope() it holds those at, above and below the scope.
func (s *Server) listGrants(c *call) (answer, *Error) {
	if c.r.Method != http.MethodGet {
		return answer{}, methodNotAllowed(c.r)
	}
	keep, err := s.rbacFilter(c)
	if err != nil {
		return answer{}, err
	}
	var found []string
	for _, k := range slices.Sorted(maps.Keys(s.resources)) {
		r := s.resources[k]
		if r.Type != c.at.rbac || !keep(r) {
			continue
		}
		scope := rbacScope(r.ID)
		if r.Type == definitionType && assignable(r, c.at.scope) || r.Type != definitionType && (covers(scope, c.at.scope) || covers(c.at.scope, scope)) {
			found = append(found, k)
		}
	}
	return s.page(c, found, func(k string) any { return s.renderGrant(s.resources[k], c.at.scope) })
}

var and = regexp.MustCompile(`(?i)\s+and\s+`)

// rbacFilter reads the $filter.
func (s *Server) rbacFilter(c *call) (func(*resource) bool, *Error) {
	filter := strings.TrimSpace(c.r.URL.Query().Get("$filter"))
	if filter == "" {
		return func(*resource) bool { return true }, nil
	}
	var all []func(*resource) bool
	for _, text := range and.Split(filter, -1) {
		i := slices.IndexFunc(filterParts(), func(p filterPart) bool { return slices.Contains(p.types, c.at.rbac) && p.form.MatchString(text) })
		if i < 0 {
			return nil, newError(http.StatusBadRequest, "UnsupportedQuery", "The filter '%s' is not supported. This stand-in knows those that ARM documents.", filter)
		}
		part, value := filterParts()[i], ""
		if m := part.form.FindStringSubmatch(text); len(m) > 1 {
			value = m[1]
		}
		all = append(all, func(r *resource) bool { return part.keep(s, c.at, value, r) })
	}
	return func(r *resource) bool {
		return !slices.ContainsFunc(all, func(keep func(*resource) bool) bool { return !keep(r) })
	}, nil
}
