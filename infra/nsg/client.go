package nsg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/access"
	"portcullis/core/jit"
)

var (
	_ access.Firewall = (*Client)(nil)
	_ access.Network  = (*Client)(nil)
	_ access.Pinger   = (*Client)(nil)
)

// Config says which Resource Manager to speak to and how.
type Config struct {
	// Endpoint and Audience name the cloud, such as https://management.azure.com for
	// both. Both empty is the public cloud; one alone is an error.
	Endpoint string
	Audience string
	// Subscription is the one that Ping asks for. Without it Ping is an error.
	Subscription string
	// Options are passed to the SDK, such as Transport and Retry. Cloud,
	// DisableRPRegistration and Telemetry are set by New.
	// InsecureAllowCredentialWithHTTP is refused but for an Endpoint on a loopback address.
	Options arm.ClientOptions
	// PollEvery is the time between looks at an unfinished write where ARM does not say
	// one; 0 is one second, the least that the SDK takes outside of tests.
	PollEvery time.Duration
}

// Client is the adapter. It is safe for concurrent use.
type Client struct {
	cred    azcore.TokenCredential
	cfg     Config
	options arm.ClientOptions

	mu   sync.Mutex
	subs map[string]*clients // by subscription, in lower case
}

// clients are the SDK's clients for one subscription. They share one pipeline.
type clients struct {
	groups     *armnetwork.SecurityGroupsClient
	interfaces *armnetwork.InterfacesClient
	networks   *armnetwork.VirtualNetworksClient
	addresses  *armnetwork.PublicIPAddressesClient
	firewalls  *armnetwork.AzureFirewallsClient
	raw        *arm.Client // for what no client of armnetwork lists
}

// New gives a client that calls ARM as cred. It calls nothing yet.
func New(cred azcore.TokenCredential, cfg Config) (*Client, error) {
	if cred == nil {
		return nil, errors.New("new nsg client: no credential")
	}
	if (cfg.Endpoint == "") != (cfg.Audience == "") {
		return nil, errors.New("new nsg client: give both Endpoint and Audience, or neither")
	}
	if cfg.Options.InsecureAllowCredentialWithHTTP && !loopback(cfg.Endpoint) {
		return nil, fmt.Errorf("new nsg client: a credential must not go over plain HTTP to %q", cfg.Endpoint)
	}
	if cfg.PollEvery == 0 {
		cfg.PollEvery = time.Second
	}
	o := cfg.Options
	o.Cloud = cloud.AzurePublic
	if cfg.Endpoint != "" {
		o.Cloud = cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: strings.TrimSuffix(cfg.Endpoint, "/"), Audience: cfg.Audience},
		}}
	}
	o.DisableRPRegistration = true // registering a provider is not ours to do
	o.Telemetry = policy.TelemetryOptions{ApplicationID: "portcullis"}
	o.PerCallPolicies = append(slices.Clone(o.PerCallPolicies), rawBody{})
	return &Client{cred: cred, cfg: cfg, options: o, subs: map[string]*clients{}}, nil
}

// loopback reports whether the URL's host can be no other machine.
func loopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || err == nil && a.IsLoopback()
}

// subscription gives the clients for a subscription, made when first asked for.
func (c *Client) subscription(id string) (*clients, error) {
	if !jit.ValidGUID(id) {
		return nil, fmt.Errorf("%q is not the id of a subscription", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.ToLower(id)
	if s, ok := c.subs[key]; ok {
		return s, nil
	}
	f, err := armnetwork.NewClientFactory(id, c.cred, &c.options)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	raw, err := arm.NewClient("portcullis", "v1.0.0", c.cred, &c.options)
	if err != nil {
		return nil, fmt.Errorf("make clients for subscription %s: %w", id, err)
	}
	s := &clients{
		groups:     f.NewSecurityGroupsClient(),
		interfaces: f.NewInterfacesClient(),
		networks:   f.NewVirtualNetworksClient(),
		addresses:  f.NewPublicIPAddressesClient(),
		firewalls:  f.NewAzureFirewallsClient(),
		raw:        raw,
	}
	c.subs[key] = s
	return s, nil
}

// Ping reads the first page of the NSGs of Config.Subscription: it needs ARM, a
// token and the permission to read, as everything else here does.
func (c *Client) Ping(ctx context.Context) error {
	s, err := c.subscription(c.cfg.Subscription)
	if err != nil {
		return fmt.Errorf("ping Azure Resource Manager: %w", err)
	}
	if _, err := s.groups.NewListAllPager(nil).NextPage(ctx); err != nil {
		return translate(ctx, "ping Azure Resource Manager in subscription "+c.cfg.Subscription, c.cfg.Subscription, err)
	}
	return nil
}
