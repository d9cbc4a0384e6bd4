package deploysim

import (
	"net/http"
	"slices"
	"strings"
)

// builtIn are roles that are there in every tenant, with their real ids.
var builtIn = map[string]string{
	"0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
	"b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
	"69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Azure Service Bus Data Sender",
	"4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Azure Service Bus Data Receiver",
	"3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}

// definition returns a role by its id's last part, at whatever scope it is asked for; nil for none.
func (s *Server) definition(name string) Document {
	if title, ok := builtIn[strings.ToLower(name)]; ok {
		return Document{
			"id": "/providers/Microsoft.Authorization/roleDefinitions/" + name, "name": name,
			"properties": Document{"roleName": title, "type": "BuiltInRole", "assignableScopes": []any{"/"}, "permissions": []any{}},
		}
	}
	for id, d := range s.resources {
		if r, _ := parse(id); r.kind == "microsoft.authorization/roledefinitions" && strings.EqualFold(r.name, name) {
			return d
		}
	}
	return nil
}

// definitions returns what a filter "roleName eq 'NAME'" finds.
func (s *Server) definitions(filter string) Document {
	found := []any{}
	_, name, _ := strings.Cut(filter, "'")
	name = strings.TrimSuffix(name, "'")
	for id, title := range builtIn {
		if title == name {
			found = append(found, s.definition(id))
		}
	}
	return Document{"value": found}
}

// role says why a role definition or an assignment is not taken.
func (s *Server) role(r resource, body Document) (int, Document) {
	properties, _ := body["properties"].(Document)
	switch r.kind {
	case "microsoft.authorization/roledefinitions":
		for id, d := range s.resources {
			o, _ := parse(id)
			if o.kind == r.kind && o.name != strings.ToLower(r.name) && d["properties"].(Document)["roleName"] == properties["roleName"] {
				return http.StatusConflict, failure("RoleDefinitionWithSameNameExists", "There is a role '%v' already.", properties["roleName"])
			}
		}
	case "microsoft.authorization/roleassignments":
		id := text(properties["roleDefinitionId"])
		d := s.definition(id[strings.LastIndex(id, "/")+1:])
		if d == nil {
			return http.StatusBadRequest, failure("RoleDefinitionDoesNotExist", "The specified role definition '%s' does not exist.", id)
		}
		scopes, _ := d["properties"].(Document)["assignableScopes"].([]any)
		if !slices.ContainsFunc(scopes, func(scope any) bool {
			return scope == "/" || strings.HasPrefix(strings.ToLower(r.scope)+"/", strings.ToLower(scope.(string))+"/")
		}) {
			return http.StatusBadRequest, failure("InvalidRoleDefinitionScope", "The role '%s' cannot be assigned at '%s'.", id, r.scope)
		}
		for other, a := range s.resources {
			o, _ := parse(other)
			held, _ := a["properties"].(Document)
			if o.kind != r.kind {
				continue
			}
			same := strings.EqualFold(o.scope, r.scope) && held["principalId"] == properties["principalId"] && strings.EqualFold(text(held["roleDefinitionId"]), id)
			switch {
			case strings.EqualFold(o.id, r.id) && !same:
				return http.StatusBadRequest, failure("RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
			case !strings.EqualFold(o.id, r.id) && same:
				return http.StatusConflict, failure("RoleAssignmentExists", "The role assignment already exists.")
			}
		}
	}
	return 0, nil
}
