// Package surface is what queries of the plain face may hold, as one table.
package surface

import (
	"portcullis/core/inventory"
	"portcullis/core/store"
	"portcullis/handlers/arm"
	"portcullis/handlers/query"
)

// Parameters is the one table of what the query of each route may hold, by the
// route's pattern: calls are held to it, and the OpenAPI document is written from it. A route
// that is not here takes none.
func Parameters() map[string][]query.Parameter {
	var (
		dryRun = query.Parameter{Name: "dryRun", Flag: true, Says: "true: give the changes, make none"}
		from   = query.Parameter{Name: "from", Shape: "time", Says: "RFC 3339 time: from then on"}
		to     = query.Parameter{Name: "to", Shape: "time", Says: "RFC 3339 time: before then"}
		vm     = query.Parameter{Name: "vm", Shape: "vm", Says: "the ARM id of a virtual machine"}
		top    = query.Parameter{Name: "top", Shape: "page", Says: "1 to 1000, how many one page holds; 100 where it is left out"}
		cursor = query.Parameter{Name: "cursor", Says: "where the page begins: from a nextLink"}
		who    = query.Parameter{Name: "requestor", Says: "who asked, by name, without regard to case"}
		object = query.Parameter{Name: "requestorObjectId", Shape: "guid", Says: "who asked, by the object id of the person or application, which never changes hands"}
		sub    = query.Parameter{Name: "subscription", Shape: "guid", Says: "a subscription's id"}
	)
	return map[string][]query.Parameter{
		"GET " + arm.PathEndpoints:        arm.Parameters(),
		"GET " + arm.PathTenants:          arm.Parameters(),
		"POST /api/enable":                {dryRun},
		"POST /api/request":               {dryRun},
		"POST /api/disable":               {dryRun},
		"POST /api/requests/{id}/revoke":  {dryRun},
		"POST /api/requests/{id}/extend":  {dryRun},
		"POST /api/requests/{id}/again":   {dryRun},
		"POST /api/requests/{id}/review":  {dryRun},
		"POST /api/requests/{id}/approve": {dryRun},
		"POST /api/requests/{id}/deny":    {dryRun},
		"POST /api/policies/import":       {dryRun},
		"GET /api/policies/export":        {{Name: "subscription", Shape: "guid", Says: "a subscription's id; all that are managed where it is left out"}, {Name: "resourceGroup", Says: "a resource group of that subscription"}},
		"POST /api/sweep":                 {dryRun},
		"POST /api/lockdown":              {dryRun},
		"POST /api/lockdown/{id}/lift":    {dryRun},
		"POST /api/import":                {dryRun},
		"GET /api/requests": {vm, {Name: "status", Says: "how requests stand", Values: []string{"AwaitingApproval", "Scheduled", "Initiating", "Initiated", "Revoked"}},
			who, object, from, to, top, cursor},
		"GET /api/machines": {{Name: "state", Says: "how machines stand", Values: texts(inventory.MachineConfigured, inventory.MachineNotConfigured, inventory.MachineUnsupported)},
			{Name: "q", Says: "a part of a name, a resource group or an address, or a tag as name=value"}, {Name: "resourceGroup", Says: "a resource group"}, sub, vm,
			{Name: "sort", Says: "after a minus for the reverse", Values: bothWays(inventory.SortByName, inventory.SortByResourceGroup, inventory.SortBySubscription, inventory.SortByState, inventory.SortByRequests, inventory.SortByLastAccess)},
			top, cursor},
		"GET /api/activity": {sub, vm, who, object, {Name: "operation", Says: "what was done", Values: texts(store.Operations()...)}, {Name: "result", Says: "how it ended", Values: texts(store.Results()...)}, from, to,
			{Name: "format", Says: "csv and jsonl download all of it, newest first, 50000 entries at most, the last line saying so where there are more", Values: []string{"json", "csv", "jsonl"}},
			top, cursor},
		"GET /api/activity/verify": {{Name: "subscription", Shape: "chain", Says: "a subscription's id, or none for the entries that concern none; all where it is left out"}, from, to,
			{Name: "entries", Shape: "count", Says: "with head: how many entries the chain of that subscription and day had when its head was stated elsewhere"},
			{Name: "head", Shape: "head", Says: "with entries: the head that was stated, 64 hexadecimal digits; a chain that does not come to it is Rewound"}},
	}
}

func texts[T ~string](values ...T) []string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return out
}

// bothWays gives each value, and each after a minus.
func bothWays[T ~string](values ...T) []string {
	out := texts(values...)
	for _, v := range values {
		out = append(out, "-"+string(v))
	}
	return out
}
