package deploysim

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// known are the resource types of infra/deploy, with what the provider reads of one that nobody sent.
// A nil function gives nothing.
var known = map[string]func(name string) Document{
	"microsoft.resources/resourcegroups":               nil,
	"microsoft.resources/deployments":                  nil,
	"microsoft.managedidentity/userassignedidentities": identity,
	"microsoft.authorization/locks":                    nil,
	"microsoft.authorization/roledefinitions":          nil,
	"microsoft.authorization/roleassignments":          nil,
	"microsoft.insights/diagnosticsettings":            nil,
	"microsoft.storage/storageaccounts":                account,
	"microsoft.storage/storageaccounts/blobservices":   nil,
	"microsoft.storage/storageaccounts/fileservices":   nil,
	"microsoft.storage/storageaccounts/queueservices":  nil,
	"microsoft.storage/storageaccounts/tableservices":  nil,
	"microsoft.storage/storageaccounts/blobservices/containers": func(string) Document {
		return Document{"publicAccess": "None", "hasImmutabilityPolicy": false, "hasLegalHold": false}
	},
	"microsoft.servicebus/namespaces": func(name string) Document {
		return Document{"serviceBusEndpoint": "https://" + name + ".servicebus.windows.net:443/"}
	},
	"microsoft.servicebus/namespaces/networkrulesets": nil,
	"microsoft.servicebus/namespaces/queues": func(string) Document {
		return Document{"status": "Active", "autoDeleteOnIdle": "P10675199DT2H48M5.4775807S", "maxMessageSizeInKilobytes": 256}
	},
	"microsoft.operationalinsights/workspaces": func(name string) Document {
		return Document{"customerId": guid("workspace " + name), "workspaceCapping": Document{"dailyQuotaGb": -1.0}}
	},
	"microsoft.insights/components": func(name string) Document {
		key := guid("insights " + name)
		return Document{"AppId": guid("app " + name), "InstrumentationKey": key, "ConnectionString": "InstrumentationKey=" + key + ";IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/"}
	},
	"microsoft.insights/actiongroups":                         nil,
	"microsoft.insights/metricalerts":                         nil,
	"microsoft.insights/scheduledqueryrules":                  nil,
	"microsoft.insights/workbooks":                            nil,
	"microsoft.network/privateendpoints":                      nil,
	"microsoft.network/privateendpoints/privatednszonegroups": nil,
	"microsoft.network/privatednszones":                       nil,
	"microsoft.web/serverfarms":                               nil,
	"microsoft.web/sites": func(name string) Document {
		return Document{"defaultHostName": name + ".azurewebsites.net"}
	},
	"microsoft.web/sites/config":                             nil,
	"microsoft.web/sites/basicpublishingcredentialspolicies": nil,
}

func identity(name string) Document {
	return Document{"clientId": guid("client " + name), "principalId": guid("principal " + name), "tenantId": "22222222-2222-2222-2222-222222222222"}
}

func account(name string) Document {
	endpoints := Document{}
	for _, service := range []string{"blob", "queue", "table", "file", "web", "dfs"} {
		endpoints[service] = "https://" + name + "." + service + ".core.windows.net/"
	}
	return Document{"primaryEndpoints": endpoints, "primaryLocation": "westeurope", "statusOfPrimary": "available", "accessTier": "Hot"}
}

// guid returns the same GUID for the same text.
func guid(of string) string {
	sum := sha256.Sum256([]byte(of))
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// resource is what an id says of itself.
type resource struct {
	id     string // as spelled
	scope  string // what it lies in: a resource group, a subscription, or the resource that it extends
	kind   string // namespace/type/type in lower case
	name   string
	parent string // the resource that it is a child of, "" for none
}

// parse splits an id. The last /providers/ counts, so that an extension's scope is a whole id.
func parse(id string) (resource, bool) {
	if parts := strings.Split(id, "/"); len(parts) == 5 && strings.EqualFold(parts[3], "resourceGroups") {
		return resource{id, strings.Join(parts[:3], "/"), "microsoft.resources/resourcegroups", parts[4], ""}, true
	}
	at := strings.LastIndex(strings.ToLower(id), "/providers/")
	if at < 0 {
		return resource{}, false
	}
	parts := strings.Split(id[at+len("/providers/"):], "/")
	if len(parts) < 3 || len(parts)%2 == 0 {
		return resource{}, false
	}
	r := resource{id: id, scope: id[:at], kind: strings.ToLower(parts[0]), name: parts[len(parts)-1]}
	for i := 1; i < len(parts); i += 2 {
		r.kind += "/" + strings.ToLower(parts[i])
	}
	if len(parts) > 3 {
		r.parent = id[:strings.LastIndex(id[:strings.LastIndex(id, "/")], "/")]
	}
	return r, true
}

// implicit are resources that are there with their parent, without anybody having made them.
var implicit = []string{
	"microsoft.storage/storageaccounts/blobservices", "microsoft.storage/storageaccounts/fileservices", "microsoft.storage/storageaccounts/queueservices",
	"microsoft.storage/storageaccounts/tableservices", "microsoft.servicebus/namespaces/networkrulesets",
}

// get returns a resource, or nil.
func (s *Server) get(r resource) Document {
	if d := s.resources[strings.ToLower(r.id)]; d != nil {
		return d
	}
	if slices.Contains(implicit, r.kind) && s.resources[strings.ToLower(r.parent)] != nil {
		return Document{"id": r.id, "name": r.name, "type": r.kind, "properties": Document{"defaultAction": "Allow", "publicNetworkAccess": "Enabled"}}
	}
	return nil
}

// put makes or replaces a resource.
func (s *Server) put(r resource, body Document) (int, Document) {
	if status, refusal := s.refuses(r); refusal != nil {
		return status, refusal
	}
	if status, refusal := s.role(r, body); refusal != nil {
		return status, refusal
	}
	if status, refusal := s.dangles(body); refusal != nil {
		return status, refusal
	}
	before := s.get(r)
	d := maps.Clone(body)
	if d == nil {
		d = Document{}
	}
	d["id"], d["name"], d["type"] = r.id, r.name, r.kind
	properties := Document{}
	if of := known[r.kind]; of != nil {
		maps.Copy(properties, of(r.name))
	}
	if sent, ok := body["properties"].(Document); ok {
		maps.Copy(properties, sent)
	}
	properties["provisioningState"] = "Succeeded"
	d["properties"] = properties
	s.complete(r, d)
	s.resources[strings.ToLower(r.id)] = d
	if before == nil && strings.HasPrefix(r.kind, "microsoft.authorization/") {
		return http.StatusCreated, d
	}
	return http.StatusOK, d // which the provider takes everywhere else, also for what is new
}

// complete adds what a resource shows besides what was sent.
func (s *Server) complete(r resource, d Document) {
	properties := d["properties"].(Document)
	switch r.kind {
	case "microsoft.authorization/roledefinitions":
		// Shown below the subscription, whatever the scope that it was made at.
		d["id"] = strings.Join(strings.Split(r.scope, "/")[:3], "/") + "/providers/Microsoft.Authorization/roleDefinitions/" + r.name
	case "microsoft.authorization/roleassignments":
		properties["scope"] = r.scope
	case "microsoft.network/privateendpoints":
		properties["networkInterfaces"] = []any{}
		properties["customDnsConfigs"] = []any{}
	case "microsoft.storage/storageaccounts":
		if properties["networkAcls"] == nil {
			properties["networkAcls"] = Document{"defaultAction": "Allow", "bypass": "AzureServices", "ipRules": []any{}, "virtualNetworkRules": []any{}}
		}
	case "microsoft.web/serverfarms":
		d["kind"] = "functionapp"
		if sku, ok := d["sku"].(Document); ok {
			sku["capacity"], sku["tier"] = 0.0, "FlexConsumption"
		}
	}
}

// refuses says why a resource cannot be made: its type, its provider, its group or its parent.
func (s *Server) refuses(r resource) (int, Document) {
	subscription := strings.Split(r.id, "/")[2]
	if !s.subscriptions[strings.ToLower(subscription)] {
		return http.StatusNotFound, failure("SubscriptionNotFound", "The subscription '%s' could not be found.", subscription)
	}
	namespace, _, _ := strings.Cut(r.kind, "/")
	if namespace != "microsoft.resources" && namespace != "microsoft.authorization" && !s.registered[subscription+"/"+namespace] {
		return http.StatusConflict, failure("MissingSubscriptionRegistration", "The subscription is not registered to use namespace '%s'.", namespace)
	}
	if r.kind == "microsoft.web/serverfarms" && !s.registered[subscription+"/microsoft.app"] {
		return http.StatusConflict, failure("MissingSubscriptionRegistration", "Flex Consumption needs namespace 'Microsoft.App'.")
	}
	for _, above := range []string{r.scope, r.parent} {
		if len(strings.Split(above, "/")) < 5 {
			continue // a subscription, or nothing
		}
		up, ok := parse(above)
		if !ok || s.get(up) == nil {
			return http.StatusNotFound, failure("ParentResourceNotFound", "'%s' is not there.", above)
		}
	}
	return 0, nil
}

// dangles says which resource that a body needs is not there.
func (s *Server) dangles(body Document) (int, Document) {
	properties, _ := body["properties"].(Document)
	needed := []any{properties["serverFarmId"], properties["workspaceId"], properties["WorkspaceResourceId"]}
	connections, _ := properties["privateLinkServiceConnections"].([]any)
	for _, c := range connections {
		connection, _ := c.(Document)["properties"].(Document)
		needed = append(needed, connection["privateLinkServiceId"])
	}
	for _, n := range needed {
		if id, ok := n.(string); ok && s.resources[strings.ToLower(id)] == nil {
			return http.StatusBadRequest, failure("LinkedResourceNotFound", "'%s' is not there.", id)
		}
	}
	return 0, nil
}

// remove deletes a resource with what lies below it.
func (s *Server) remove(r resource) (int, Document) {
	d := s.resources[strings.ToLower(r.id)]
	if d == nil {
		return http.StatusNoContent, nil
	}
	below := strings.ToLower(r.id) + "/"
	for id, other := range s.resources {
		o, _ := parse(id)
		properties, _ := other["properties"].(Document)
		switch {
		case o.kind == "microsoft.authorization/locks" && o.id != strings.ToLower(r.id) && (strings.HasPrefix(below, o.scope+"/") || strings.HasPrefix(id, below)):
			return http.StatusConflict, failure("ScopeLocked", "The scope '%s' cannot perform delete operation because following scope(s) are locked: '%s'.", r.id, o.scope)
		case r.kind == "microsoft.authorization/roledefinitions" && o.kind == "microsoft.authorization/roleassignments" && strings.EqualFold(properties["roleDefinitionId"].(string), d["id"].(string)):
			return http.StatusBadRequest, failure("RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).")
		case r.kind == "microsoft.web/serverfarms" && strings.EqualFold(text(properties["serverFarmId"]), r.id):
			return http.StatusConflict, failure("Conflict", "Server farm '%s' cannot be deleted because it has web app(s) assigned to it.", r.name)
		}
	}
	for id := range s.resources {
		if strings.HasPrefix(id, below) {
			delete(s.resources, id)
		}
	}
	delete(s.resources, strings.ToLower(r.id))
	return http.StatusOK, nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// merge writes what a PATCH says into a document.
func merge(into, from Document) {
	for key, value := range from {
		inner, isDocument := value.(Document)
		old, wasDocument := into[key].(Document)
		if isDocument && wasDocument {
			merge(old, inner)
		} else {
			into[key] = value
		}
	}
}
