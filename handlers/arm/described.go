package arm

import (
	"net/http"

	"portcullis/handlers/openapi"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// Parameters are the query parameters of every operation here.
func Parameters() []query.Parameter {
	return []query.Parameter{{Name: nameVersion, Required: true, Says: "a date, such as " + usual}}
}

// Described tells of every operation, for the OpenAPI document.
func Described() []openapi.Operation {
	ok := []int{http.StatusOK}
	return []openapi.Operation{
		{Method: http.MethodGet, Path: PathEndpoints, ID: "Endpoints_Get", Summary: "Say where to sign in and for what, as Resource Manager does for clients", Query: Parameters(), Answer: endpoints{}, Statuses: ok, Open: true},
		{Method: http.MethodGet, Path: PathTenants, ID: "Tenants_List", Summary: "List the caller's own tenant", Query: Parameters(), Answer: wire.List[tenant]{}, Statuses: ok},
		{Method: http.MethodGet, Path: pathAll, ID: "Subscriptions_List", Summary: "List the managed subscriptions in which the caller may read something", Query: Parameters(), Answer: wire.List[subscription]{}, Statuses: ok},
		{Method: http.MethodGet, Path: pathAll + "/{subscriptionId}", ID: "Subscriptions_Get", Summary: "Show one of them", Query: Parameters(), Answer: subscription{}, Statuses: ok},
	}
}
