package main

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"portcullis/infra/identity"
	"portcullis/infra/nsg"
	"portcullis/infra/rbac"
)

// place is where Azure's own services of one cloud are.
type place struct {
	resourceManager cloud.ServiceConfiguration
	authority       string // of Entra ID
}

// clouds are those that Portcullis runs in. The authorities are those of "National
// clouds" in Entra ID's documentation; tokens of China name another one than the SDK
// asks there for.
func clouds() map[string]place {
	return map[string]place{
		"AzurePublic":       {cloud.AzurePublic.Services[cloud.ResourceManager], "https://login.microsoftonline.com"},
		"AzureUSGovernment": {cloud.AzureGovernment.Services[cloud.ResourceManager], "https://login.microsoftonline.us"},
		"AzureChina":        {cloud.AzureChina.Services[cloud.ResourceManager], "https://login.partner.microsoftonline.cn"},
	}
}

// resourceManager says which one to speak to: the configured cloud's, or the
// stand-in where the settings name one.
func resourceManager(cfg config) (endpoint, audience string, options arm.ClientOptions) {
	in := clouds()[cfg.Cloud].resourceManager
	if cfg.ARMEndpoint == "" {
		return in.Endpoint, in.Audience, options
	}
	options.InsecureAllowCredentialWithHTTP = strings.HasPrefix(cfg.ARMEndpoint, "http://")
	return cfg.ARMEndpoint, in.Audience, options
}

func nsgOf(cfg config) nsg.Config {
	endpoint, audience, options := resourceManager(cfg)
	return nsg.Config{Endpoint: endpoint, Audience: audience, Options: options, Subscription: cfg.Subscriptions[0]}
}

func rbacOf(cfg config) rbac.Config {
	endpoint, audience, options := resourceManager(cfg)
	return rbac.Config{Endpoint: endpoint, Audience: audience, Options: options}
}

// identityOf says whose tokens count: those of the configured cloud's Entra ID, or of
// the stand-in where the settings name one.
func identityOf(cfg config) identity.Config {
	out := identity.Config{Authority: clouds()[cfg.Cloud].authority, Tenants: cfg.Tenants, Audiences: cfg.Audiences}
	if cfg.Authority != "" {
		out.Authority = cfg.Authority
	}
	return out
}
