package main

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"portcullis/infra/nsg"
)

// armOf says which Resource Manager to speak to: the configured cloud's, or the
// stand-in where the settings name one.
func armOf(cfg config) nsg.Config {
	in := map[string]cloud.Configuration{
		"AzurePublic":       cloud.AzurePublic,
		"AzureUSGovernment": cloud.AzureGovernment,
		"AzureChina":        cloud.AzureChina,
	}[cfg.Cloud].Services[cloud.ResourceManager]
	out := nsg.Config{Endpoint: in.Endpoint, Audience: in.Audience, Subscription: cfg.Subscriptions[0]}
	if cfg.ARMEndpoint != "" {
		out.Endpoint = cfg.ARMEndpoint
		out.Options.InsecureAllowCredentialWithHTTP = strings.HasPrefix(cfg.ARMEndpoint, "http://")
	}
	return out
}
