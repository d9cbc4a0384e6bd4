package arm

import (
	"net/http"
	"slices"

	"portcullis/handlers/api"
	"portcullis/handlers/openapi"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// Tag is the group of the operations here, in the OpenAPI document.
const Tag = "Sign-in of Azure clients"

// Parameters are the query parameters of every operation here.
func Parameters() []query.Parameter {
	return []query.Parameter{{Name: nameVersion, Required: true, Shape: "version", Says: "a date, such as " + usual}}
}

// Described tells of every operation, for the OpenAPI document.
func Described() []openapi.Operation {
	ok := []int{http.StatusOK}
	reads := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	finds := append(slices.Clone(reads), http.StatusNotFound)
	return []openapi.Operation{
		{Method: http.MethodGet, Path: PathEndpoints, ID: "Endpoints_Get", Tag: Tag, Summary: "Say where to sign in and for what, as Resource Manager does for clients", Query: Parameters(), Answer: api.EndpointsAnswer{}, Statuses: ok, Refusals: []int{http.StatusBadRequest}, Open: true},
		{Method: http.MethodGet, Path: PathTenants, ID: "Tenants_List", Tag: Tag, Summary: "List the caller's own tenant", Query: Parameters(), Answer: wire.List[tenant]{}, Statuses: ok, Refusals: reads},
		{Method: http.MethodGet, Path: pathAll, ID: "Subscriptions_List", Tag: Tag, Summary: "List the managed subscriptions in which the caller may read something", Query: Parameters(), Answer: wire.List[subscription]{}, Statuses: ok, Refusals: reads},
		{Method: http.MethodGet, Path: pathAll + "/{subscriptionId}", ID: "Subscriptions_Get", Tag: Tag, Summary: "Show one of them", Query: Parameters(), Answer: subscription{}, Statuses: ok, Refusals: finds},
	}
}
