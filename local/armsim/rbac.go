package armsim

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// The types of Azure RBAC, each an extension of any scope.
const (
	assignmentType = "Microsoft.Authorization/roleAssignments"
	definitionType = "Microsoft.Authorization/roleDefinitions"
	denyType       = "Microsoft.Authorization/denyAssignments"
)

func rbacTypes() []string { return []string{assignmentType, definitionType, denyType} }

const managementGroups = "/providers/microsoft.management/managementgroups/"

// rbacTarget reads a path that ends in /providers/Microsoft.Authorization/{type}[/name] with one of the types above, at the
// root, a management group, a subscription, or anything below one.
func rbacTarget(segments []string) (target, bool) {
	for _, i := range []int{len(segments) - 3, len(segments) - 4} {
		if i < 0 || !strings.EqualFold(segments[i], "providers") {
			continue
		}
		at := slices.IndexFunc(rbacTypes(), func(typ string) bool { return strings.EqualFold(typ, segments[i+1]+"/"+segments[i+2]) })
		if at < 0 {
			continue
		}
		t := target{kind: grants, rbac: rbacTypes()[at], scope: "/" + strings.Join(segments[:i], "/")}
		if i >= 2 && strings.EqualFold(segments[0], "subscriptions") {
			t.sub = segments[1]
		} else if i != 0 && !(i == 4 && isManagementGroup(t.scope)) {
			return target{}, false
		}
		if len(segments) == i+4 {
			t.kind, t.name, t.id = grant, segments[i+3], "/"+strings.Join(segments, "/")
		}
		return t, true
	}
	return target{}, false
}

func isManagementGroup(scope string) bool { return strings.HasPrefix(key(scope)+"/", managementGroups) }

// rbacScope is where an assignment or a definition was made: its id without the last four segments.
func rbacScope(id string) string {
	s := strings.Split(strings.TrimPrefix(id, "/"), "/")
	return "/" + strings.Join(s[:max(0, len(s)-4)], "/")
}

// covers says whether what was made at scope holds at the id as well. Every subscription is in every management group.
func covers(scope, id string) bool {
	return within(id, scope) || isManagementGroup(scope) && strings.HasPrefix(key(id), "/subscriptions/")
}

// serveGrant reads, puts and deletes one assignment or definition.
func (s *Server) serveGrant(c *call) (answer, *Error) {
	old, id := s.findGrant(c.at)
	switch {
	case c.r.Method == http.MethodGet && old != nil:
		return answer{status: http.StatusOK, body: s.renderGrant(old, c.at.scope)}, nil
	case c.r.Method == http.MethodGet:
		code := strings.TrimSuffix(lastSegment(c.at.rbac), "s")
		return answer{}, newError(http.StatusNotFound, title(code)+"NotFound", "The %s '%s' is not found.", code, c.at.name)
	case c.at.rbac == denyType: // Azure makes them itself
		return answer{}, methodNotAllowed(c.r)
	case c.r.Method == http.MethodDelete:
		return s.deleteGrant(c, old)
	case c.r.Method != http.MethodPut:
		return answer{}, methodNotAllowed(c.r)
	}
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	if c.at.rbac == assignmentType {
		err = s.checkAssignment(c.at, old, doc)
	} else {
		err = checkDefinition(c.at, old, doc)
	}
	if err != nil {
		return answer{}, err
	}
	r := s.store(old, id, c.at.rbac, doc)
	return answer{status: created(old != nil), body: s.renderGrant(r, c.at.scope)}, nil
}

// findGrant returns what a path names, if it is there, and the id to keep it at. A definition is known by its name alone,
// at every scope at which it can be assigned.
func (s *Server) findGrant(at target) (*resource, string) {
	if at.rbac != definitionType {
		return s.resources[key(at.id)], at.id
	}
	for _, r := range s.resources {
		if r.Type == definitionType && strings.EqualFold(lastSegment(r.ID), at.name) && assignable(r, at.scope) {
			return r, r.ID
		}
	}
	return nil, definitionID(at.scope, at.name)
}

// definitionID is the id under which ARM shows a definition at a scope.
func definitionID(scope, name string) string {
	id := "/providers/" + definitionType + "/" + name
	if s := strings.Split(scope, "/"); len(s) > 2 && strings.EqualFold(s[1], "subscriptions") {
		return "/subscriptions/" + s[2] + id
	}
	return id
}

// assignable says whether the definition can be assigned at the scope, or is to be shown there because it can be below.
func assignable(r *resource, scope string) bool {
	for _, raw := range listOf(r.Doc, "assignableScopes") {
		if text, _ := raw.(string); text != "" && (covers(text, scope) || covers(scope, text)) {
			return true
		}
	}
	return false
}

func (s *Server) deleteGrant(c *call, old *resource) (answer, *Error) {
	if old == nil {
		return answer{status: http.StatusNoContent}, nil
	}
	if old.Type == definitionType {
		if property(old, "type") == builtInRole {
			return answer{}, newError(http.StatusForbidden, "RoleDefinitionIsBuiltIn", "The built-in role '%s' cannot be deleted.", c.at.name)
		}
		for _, r := range s.resources {
			if r.Type == assignmentType && strings.EqualFold(lastSegment(property(r, "roleDefinitionId")), c.at.name) {
				return answer{}, newError(http.StatusBadRequest, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: %s).", c.at.name)
			}
		}
	}
	s.remove(key(old.ID))
	return answer{status: http.StatusOK, body: s.renderGrant(old, c.at.scope)}, nil
}

func property(r *resource, name string) string {
	p, _ := r.Doc["properties"].(map[string]any)
	text, _ := p[name].(string)
	return text
}

// checkAssignment refuses an assignment that ARM would. The role must be known, and the same principal has a role at a scope
// only once.
func (s *Server) checkAssignment(at target, old *resource, doc map[string]any) *Error {
	if uuid.Validate(at.name) != nil {
		return newError(http.StatusBadRequest, "InvalidRoleAssignmentId", "The role assignment ID '%s' is not valid. The role assignment ID must be a GUID.", at.name)
	}
	wanted := &resource{Doc: doc}
	principal, role := property(wanted, "principalId"), property(wanted, "roleDefinitionId")
	if uuid.Validate(principal) != nil {
		return newError(http.StatusBadRequest, "InvalidPrincipalId", "A valid principal ID must be provided for role assignment.")
	}
	if known, _ := s.findGrant(target{rbac: definitionType, scope: at.scope, name: lastSegment(role)}); known == nil {
		return newError(http.StatusBadRequest, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", lastSegment(role))
	}
	if old != nil && !strings.EqualFold(property(old, "principalId"), principal) {
		return newError(http.StatusConflict, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
	}
	for k, r := range s.resources {
		if r.Type == assignmentType && k != key(at.id) && key(rbacScope(r.ID)) == key(at.scope) &&
			strings.EqualFold(property(r, "principalId"), principal) && strings.EqualFold(lastSegment(property(r, "roleDefinitionId")), lastSegment(role)) {
			return newError(http.StatusConflict, "RoleAssignmentExists", "The role assignment already exists.")
		}
	}
	return nil
}

func checkDefinition(at target, old *resource, doc map[string]any) *Error {
	switch {
	case uuid.Validate(at.name) != nil:
		return newError(http.StatusBadRequest, "InvalidRoleDefinitionId", "The role definition ID '%s' is not valid. The role definition ID must be a GUID.", at.name)
	case old != nil && property(old, "type") == builtInRole:
		return newError(http.StatusForbidden, "RoleDefinitionIsBuiltIn", "The built-in role '%s' cannot be changed.", at.name)
	case property(&resource{Doc: doc}, "roleName") == "":
		return newError(http.StatusBadRequest, "RoleDefinitionNameNullOrEmpty", "The role definition name must not be empty.")
	case !assignable(&resource{Doc: doc}, at.scope):
		return newError(http.StatusBadRequest, "RoleDefinitionScopeMismatch", "The assignable scopes must hold the scope '%s'.", at.scope)
	}
	setProperty(doc, "type", "CustomRole")
	return nil
}

// renderGrant returns the document as ARM shows it to a call at the scope.
func (s *Server) renderGrant(r *resource, scope string) map[string]any {
	doc := s.render(r, r.Doc)
	if r.Type == definitionType {
		doc["id"] = definitionID(scope, lastSegment(r.ID))
	}
	return doc
}

// renderRBAC completes what ARM always shows.
func renderRBAC(r *resource, doc map[string]any) {
	p, _ := doc["properties"].(map[string]any)
	if p == nil {
		p = map[string]any{}
		doc["properties"] = p
	}
	if r.Type != definitionType {
		p["scope"] = rbacScope(r.ID)
	}
	if r.Type == assignmentType {
		for _, name := range []string{"condition", "conditionVersion", "delegatedManagedIdentityResourceId"} {
			if _, ok := p[name]; !ok {
				p[name] = nil
			}
		}
	}
}
