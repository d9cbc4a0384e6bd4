package deploysim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// route answers a request by its path: what is no single resource first.
func (s *Server) route(r *http.Request, path string, body Document) (int, any) {
	lower := strings.ToLower(path)
	parts := strings.Split(lower, "/") // parts[0] is empty
	switch {
	case len(parts) >= 2 && len(parts) <= 5 && parts[1] == "subscriptions" && !strings.Contains(lower, "/resourcegroups/"):
		return s.subscription(parts, path)
	case len(parts) == 6 && parts[3] == "providers" && parts[5] == "register" && s.subscriptions[parts[2]]:
		s.registered[parts[2]+"/"+parts[4]] = true
		return http.StatusOK, s.provider(parts[2], strings.Split(path, "/")[4])
	case strings.HasSuffix(lower, "/providers/microsoft.authorization/roledefinitions"):
		return http.StatusOK, s.definitions(r.URL.Query().Get("$filter"))
	case strings.HasSuffix(lower, "/privatednszonegroups"):
		return http.StatusOK, s.list(strings.TrimSuffix(lower, "/privatednszonegroups"), "microsoft.network/privateendpoints/privatednszonegroups")
	case strings.HasSuffix(lower, "/providers/microsoft.operationalinsights/deletedworkspaces"):
		return http.StatusOK, Document{"value": []any{}}
	case strings.HasSuffix(lower, "/currentbillingfeatures"): // of an Application Insights component; what is sent is not kept
		return http.StatusOK, Document{"CurrentBillingFeatures": []any{"Basic"}, "DataVolumeCap": Document{"Cap": 100.0, "StopSendNotificationWhenHitCap": false}}
	case len(parts) == 6 && parts[3] == "resourcegroups" && parts[5] == "resources":
		return http.StatusOK, s.list(strings.TrimSuffix(lower, "/resources"), "")
	}
	if i := strings.LastIndex(lower, "/providers/microsoft.authorization/roledefinitions/"); i >= 0 && r.Method == http.MethodGet {
		if d := s.definition(parts[len(parts)-1]); d != nil {
			return http.StatusOK, d
		}
		return http.StatusNotFound, failure("RoleDefinitionDoesNotExist", "The specified role definition '%s' does not exist.", parts[len(parts)-1])
	}
	if r.Method == http.MethodPost {
		return s.act(path, body)
	}
	one, ok := parse(path)
	_, isKnown := known[one.kind]
	if !ok || !isKnown {
		s.unknown = append(s.unknown, r.Method+" "+path)
		return http.StatusNotFound, failure("InvalidResourceType", "%s %s is not understood here", r.Method, path)
	}
	switch r.Method {
	case http.MethodPut:
		if one.kind == "microsoft.resources/deployments" {
			return s.deploy(one, body)
		}
		return s.put(one, body)
	case http.MethodDelete:
		return s.remove(one)
	case http.MethodPatch:
		d := s.get(one)
		if d == nil {
			break
		}
		d = maps.Clone(d)
		merge(d, body)
		s.resources[strings.ToLower(one.id)] = d
		return http.StatusOK, d
	default:
		if d := s.get(one); d != nil {
			return http.StatusOK, d
		}
	}
	return http.StatusNotFound, failure("ResourceNotFound", "The resource '%s' was not found.", path)
}

// subscription answers what is asked of subscriptions and of resource providers.
func (s *Server) subscription(parts []string, path string) (int, any) {
	if len(parts) == 2 {
		out := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.subscriptions)) {
			out = append(out, s.about(id))
		}
		return http.StatusOK, Document{"value": out}
	}
	if !s.subscriptions[parts[2]] {
		return http.StatusNotFound, failure("SubscriptionNotFound", "The subscription '%s' could not be found.", parts[2])
	}
	switch {
	case len(parts) == 3:
		return http.StatusOK, s.about(parts[2])
	case len(parts) == 5 && parts[3] == "providers":
		return http.StatusOK, s.provider(parts[2], strings.Split(path, "/")[4])
	case len(parts) == 4 && parts[3] == "providers":
		out := []any{}
		for _, name := range namespaces {
			out = append(out, s.provider(parts[2], name))
		}
		return http.StatusOK, Document{"value": out}
	}
	s.unknown = append(s.unknown, "GET "+path)
	return http.StatusNotFound, failure("InvalidResourceType", "%s is not understood here", path)
}

func (s *Server) about(id string) Document {
	return Document{"id": "/subscriptions/" + id, "subscriptionId": id, "tenantId": s.tenant, "displayName": id, "state": "Enabled"}
}

// namespaces are the resource providers that there are, as Azure spells them.
var namespaces = []string{
	"Microsoft.App", "Microsoft.Authorization", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights",
	"Microsoft.Resources", "Microsoft.ServiceBus", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights",
}

func (s *Server) provider(subscription, name string) Document {
	state := "NotRegistered"
	if s.registered[subscription+"/"+strings.ToLower(name)] || strings.EqualFold(name, "Microsoft.Resources") || strings.EqualFold(name, "Microsoft.Authorization") {
		state = "Registered"
	}
	types := []any{}
	for _, kind := range slices.Sorted(maps.Keys(known)) {
		if namespace, rest, _ := strings.Cut(kind, "/"); namespace == strings.ToLower(name) {
			types = append(types, Document{"resourceType": rest, "apiVersions": []any{"2024-04-01"}, "locations": []any{"West Europe"}})
		}
	}
	return Document{"id": "/subscriptions/" + subscription + "/providers/" + name, "namespace": name, "registrationState": state, "resourceTypes": types}
}

// list returns the resources below an id, top level ones alone where kind is "".
func (s *Server) list(below, kind string) Document {
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		r, _ := parse(id)
		extension := strings.HasPrefix(r.kind, "microsoft.authorization/") || r.kind == "microsoft.insights/diagnosticsettings" || r.kind == "microsoft.resources/deployments"
		if strings.HasPrefix(id, below+"/") && (kind == "" && r.parent == "" && !extension || r.kind == kind) {
			out = append(out, s.resources[id])
		}
	}
	return Document{"value": out}
}

// act answers a POST: what it asks of a resource stands last in the path.
func (s *Server) act(path string, body Document) (int, any) {
	id, action := path[:strings.LastIndex(path, "/")], path[strings.LastIndex(path, "/")+1:]
	one, ok := parse(id)
	if !ok {
		id = id[:max(strings.LastIndex(id, "/"), 0)] // sites/NAME/config/appsettings/list and the like
		one, ok = parse(id)
	}
	d := s.get(one)
	switch {
	case !ok:
	case strings.EqualFold(action, "validate") && one.kind == "microsoft.resources/deployments":
		return http.StatusOK, Document{"properties": Document{"provisioningState": "Succeeded"}}
	case d == nil:
		return http.StatusNotFound, failure("ResourceNotFound", "The resource '%s' was not found.", id)
	case strings.EqualFold(action, "exportTemplate"):
		return http.StatusOK, Document{"template": s.resources[strings.ToLower(one.id)]["template"]}
	case strings.EqualFold(action, "listKeys") && one.kind == "microsoft.storage/storageaccounts":
		return http.StatusOK, Document{"keys": []any{Document{"keyName": "key1", "value": "bm8ga2V5", "permissions": "FULL"}, Document{"keyName": "key2", "value": "bm8ga2V5", "permissions": "FULL"}}}
	case strings.EqualFold(action, "listKeys"):
		return http.StatusOK, Document{"primaryKey": "none", "secondaryKey": "none", "primaryConnectionString": "none", "secondaryConnectionString": "none"}
	case strings.EqualFold(action, "sharedKeys"):
		return http.StatusOK, Document{"primarySharedKey": "none", "secondarySharedKey": "none"}
	}
	s.unknown = append(s.unknown, "POST "+path)
	return http.StatusNotFound, failure("InvalidResourceType", "POST %s is not understood here", path)
}
