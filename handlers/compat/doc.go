// Package compat speaks Microsoft.Security/locations/jitNetworkAccessPolicies as Azure Resource Manager does, for
// clients that are used as they are: paths in any case, api-versions, pages, ETags and bodies as the published
// definition has them.
//
// It decodes loosely, since its clients send back what they got; what could be read in two ways it refuses all the
// same. It calls the verbs of core/defender and decides nothing. Whoever puts it behind a route says who calls.
package compat
