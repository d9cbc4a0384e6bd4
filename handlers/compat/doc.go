// Package compat speaks Microsoft.Security/locations/jitNetworkAccessPolicies as Azure Resource Manager does, for
// clients that are used as they are: paths in any case, api-versions, pages, ETags and bodies as the published
// definition has them.
//
// It takes back every member that it answers, and answers what was sent as it was sent (docs/decisions/037). A member
// that it does not know may change what is meant and is refused by name; so is what could be read in two ways. It calls the verbs of core/defender and decides nothing. Whoever puts it behind a route says who calls.
package compat
