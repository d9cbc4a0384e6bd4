package armsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// authorize refuses what the knobs deny.
func (s *Server) authorize(c *call) *Error {
	action, scope := c.at.action(c.r.Method), c.at.path()
	for _, d := range s.knobs.Denied {
		if d.Principal != "" && !strings.EqualFold(d.Principal, c.principal) || !d.covers(action) || !within(scope, d.Scope) {
			continue
		}
		return newError(http.StatusForbidden, "AuthorizationFailed",
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			c.principal, c.principal, action, scope)
	}
	return nil
}

func (d Denied) covers(action string) bool {
	if head, ok := strings.CutSuffix(d.Action, "*"); ok {
		return len(action) >= len(head) && strings.EqualFold(action[:len(head)], head)
	}
	return strings.EqualFold(d.Action, action)
}

// within says whether id is scope or lies below it. An empty scope holds everything.
func within(id, scope string) bool {
	return scope == "" || key(id) == key(scope) || strings.HasPrefix(key(id), key(scope)+"/")
}

// checkLocks refuses what a management lock at the resource, its group or its subscription forbids: ReadOnly every write
// and delete, CanNotDelete every delete. The delete of a rule counts, because a rule is a resource below the lock; a PUT
// of the NSG that leaves the rule out does not.
func (s *Server) checkLocks(c *call) *Error {
	verb := map[string]string{http.MethodPut: "write", http.MethodDelete: "delete"}[c.r.Method]
	if verb == "" || c.at.kind == lock {
		return nil
	}
	path := c.at.path()
	var scopes []string
	for k, r := range s.resources {
		if r.Type != lockType {
			continue
		}
		scope := k[:strings.LastIndex(k, "/providers/"+strings.ToLower(lockType))]
		p, _ := r.Doc["properties"].(map[string]any)
		level, _ := p["level"].(string)
		if within(path, scope) && (verb == "delete" || strings.EqualFold(level, "ReadOnly")) {
			scopes = append(scopes, r.ID[:len(scope)])
		}
	}
	if len(scopes) == 0 {
		return nil
	}
	slices.Sort(scopes)
	return newError(http.StatusConflict, "ScopeLocked",
		"The scope '%s' cannot perform %s operation because following scope(s) are locked: '%s'. Please remove the lock and try again.",
		path, verb, strings.Join(scopes, "','"))
}

// serveLock reads, puts and deletes a management lock at any scope.
func (s *Server) serveLock(c *call) (answer, *Error) {
	old, ok := s.resources[key(c.at.id)]
	switch c.r.Method {
	case http.MethodGet:
		if !ok {
			return answer{}, newError(http.StatusNotFound, "LockNotFound", "The lock '%s' could not be found.", c.at.name)
		}
		return answer{status: http.StatusOK, body: s.render(old, old.Doc)}, nil
	case http.MethodDelete:
		if !ok {
			return answer{status: http.StatusNoContent}, nil
		}
		s.remove(key(c.at.id))
		return answer{status: http.StatusOK}, nil
	case http.MethodPut:
	default:
		return answer{}, methodNotAllowed(c.r)
	}
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	if err := checkLock(doc); err != nil {
		return answer{}, err
	}
	r := s.store(old, c.at.id, lockType, doc)
	return answer{status: created(ok), body: s.render(r, r.Doc)}, nil
}

func checkLock(doc map[string]any) *Error {
	p, _ := doc["properties"].(map[string]any)
	level, _ := p["level"].(string)
	if !strings.EqualFold(level, "ReadOnly") && !strings.EqualFold(level, "CanNotDelete") {
		return newError(http.StatusBadRequest, "InvalidLockLevel", "%s", fmt.Sprintf("The lock level '%s' is not CanNotDelete or ReadOnly.", level))
	}
	return nil
}
