package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"

	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/infra/arm"
	"portcullis/infra/azfirewall"
	"portcullis/infra/identity"
	"portcullis/infra/nsg"
	"portcullis/infra/rbac"
)

// place is where the services of one cloud are. Whoever gets a token there can use it there: an endpoint of
// another cloud is a mistake, or an attempt to get the token.
type place struct {
	configuration cloud.Configuration
	authority     string   // of Entra ID
	tables        []string // what the host name of a table service ends with
	bus           string   // what the host name of a Service Bus namespace ends with
	ingestion     string   // what the host name of the log ingestion ends with
}

// clouds are the supported clouds, and everything that differs between them.
//
// The authorities are those of "National clouds" in Entra ID's documentation; tokens of China name another
// authority than the SDK uses there. Resource Manager's endpoints and audiences are the SDK's. The suffixes are
// those of the clouds' developer guides; a second one for tables belongs to accounts with DNS zone endpoints. The
// audiences of Table Storage (https://storage.azure.com) and Service Bus (https://servicebus.azure.net) are the
// same in all clouds, and the SDKs contain them.
func clouds() map[string]place {
	return map[string]place{
		"AzurePublic": {cloud.AzurePublic, "https://login.microsoftonline.com",
			[]string{".table.core.windows.net", ".table.storage.azure.net"}, ".servicebus.windows.net", ".ingest.monitor.azure.com"},
		"AzureUSGovernment": {cloud.AzureGovernment, "https://login.microsoftonline.us",
			[]string{".table.core.usgovcloudapi.net"}, ".servicebus.usgovcloudapi.net", ".ingest.monitor.azure.us"},
		"AzureChina": {cloud.AzureChina, "https://login.partner.microsoftonline.cn",
			[]string{".table.core.chinacloudapi.cn"}, ".servicebus.chinacloudapi.cn", ".ingest.monitor.azure.cn"},
	}
}

// misplaced returns, by setting, the endpoints outside of the configured cloud. Stand-ins on a loopback address
// are in no cloud.
func misplaced(c config) map[string]error {
	in, known := clouds()[c.Cloud]
	if !known {
		return nil // which is an error of its own
	}
	out := map[string]error{}
	if u, err := url.Parse(c.TableEndpoint); err == nil && u.Host != "" && !onLoopback(u.Host) && !endsWith(u.Host, in.tables...) {
		out["PORTCULLIS_TABLE_ENDPOINT"] = fmt.Errorf("%q is not in %s, where it ends with %s", c.TableEndpoint, c.Cloud, strings.Join(in.tables, " or "))
	}
	if c.BusNamespace != "" && c.BusAddress == "" && !endsWith(c.BusNamespace, in.bus) {
		out["ServiceBus__fullyQualifiedNamespace"] = fmt.Errorf("%q is not in %s, where it ends with %s", c.BusNamespace, c.Cloud, in.bus)
	}
	if err := unstreamed(c, in.ingestion); err != nil {
		out[endpointSetting] = err
	}
	return out
}

// endsWith reports whether a host name is below one of the suffixes.
func endsWith(host string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool {
		head, ok := strings.CutSuffix(strings.ToLower(host), suffix)
		return ok && head != ""
	})
}

// resourceManager returns the Resource Manager to use: the configured cloud's, or the stand-in that the settings
// name.
func resourceManager(cfg config, traces tracing.Provider) (endpoint, audience string, options azarm.ClientOptions) {
	in := clouds()[cfg.Cloud].configuration.Services[cloud.ResourceManager]
	options.TracingProvider = traces
	if cfg.ARMEndpoint == "" {
		return in.Endpoint, in.Audience, options
	}
	options.InsecureAllowCredentialWithHTTP = strings.HasPrefix(cfg.ARMEndpoint, "http://")
	return cfg.ARMEndpoint, in.Audience, options
}

func nsgOf(cfg config, traces tracing.Provider) nsg.Config {
	endpoint, audience, options := resourceManager(cfg, traces)
	return nsg.Config{Connection: arm.Connection{Endpoint: endpoint, Audience: audience, Options: options}, Subscription: cfg.Subscriptions[0], Subscriptions: cfg.Subscriptions}
}

// limitsOf returns the limits for calls to Resource Manager.
func limitsOf(cfg config) arm.Limits {
	if cfg.Unlimited {
		return arm.Documented().WithoutNetwork()
	}
	return arm.Documented()
}

// firewallsOf returns the configuration for firewalls. It logs changes by others during a write, since it is not
// known whether ARM prevents them.
func firewallsOf(cfg config, traces tracing.Provider, log *slog.Logger) azfirewall.Config {
	endpoint, audience, options := resourceManager(cfg, traces)
	return azfirewall.Config{
		Connection: arm.Connection{Endpoint: endpoint, Audience: audience, Options: options},
		Differs: func(firewall jit.ID, members []string) {
			log.Warn("firewall changed by others during a write", "firewall", firewall.String(), "members", strings.Join(members, ", "))
		},
	}
}

func rbacOf(cfg config, traces tracing.Provider) rbac.Config {
	endpoint, audience, options := resourceManager(cfg, traces)
	return rbac.Config{Connection: arm.Connection{Endpoint: endpoint, Audience: audience, Options: options}, Tenants: cfg.Tenants}
}

// audiencesOf returns the audiences of the app's own tokens, by dependency.
func audiencesOf(cfg config) map[string]string {
	_, manager, _ := resourceManager(cfg, tracing.Provider{})
	return map[string]string{doctor.ResourceManager: manager, doctor.TableStorage: "https://storage.azure.com", doctor.ServiceBus: "https://servicebus.azure.net"}
}

// identityOf returns whose tokens are accepted: those of the configured cloud's Entra ID, or of the stand-in that
// the settings name.
func identityOf(cfg config) identity.Config {
	out := identity.Config{Authority: clouds()[cfg.Cloud].authority, Tenants: cfg.Tenants, Audiences: cfg.Audiences, Permissions: cfg.Permissions}
	if cfg.Authority != "" {
		out.Authority = cfg.Authority
	}
	return out
}
