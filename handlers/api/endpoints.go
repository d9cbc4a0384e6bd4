package api

// EndpointsAnswer says where to sign in and for what. It has the members of Resource Manager's own answer that clients read; its
// api-version 2022-09-01, which the Azure CLI asks for.
type EndpointsAnswer struct {
	Name            string            `json:"name"`
	Portal          string            `json:"portal"`
	ResourceManager string            `json:"resourceManager"`
	Authentication  Authentication    `json:"authentication"`
	Suffixes        map[string]string `json:"suffixes"` // of services that are not here; clients look into it
}

// Authentication is who issues tokens, and what they have to be for.
type Authentication struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant"`
	IdentityProvider string   `json:"identityProvider"`
}
