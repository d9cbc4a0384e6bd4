package nsg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

var (
	_ network.RuleStore  = (*Client)(nil)
	_ network.Network    = (*Client)(nil)
	_ store.Pinger       = (*Client)(nil)
	_ network.Turns      = (*Client)(nil)
	_ network.AdminRules = (*Client)(nil)
	_ network.Groups     = (*Client)(nil)
)

// Config says which Resource Manager to speak to and how.
type Config struct {
	arm.Connection
	// Subscription is the one that Ping asks for. Without it Ping is an error.
	Subscription string
	// Subscriptions are the managed ones: a firewall in one of them may stand before machines of another.
	Subscriptions []string
	// PollEvery is the time between looks at an unfinished write where ARM does not say
	// one; 0 is one second, the least that the SDK takes outside of tests.
	PollEvery time.Duration
}

// Client is the adapter. It is safe for concurrent use.
type Client struct {
	cred    azcore.TokenCredential
	cfg     Config
	options azarm.ClientOptions

	homes homes

	subs arm.Clients[clients]
}

// clients are the SDK's clients for one subscription. They share one pipeline.
type clients struct {
	groups     *armnetwork.SecurityGroupsClient
	interfaces *armnetwork.InterfacesClient
	networks   *armnetwork.VirtualNetworksClient
	addresses  *armnetwork.PublicIPAddressesClient
	firewalls  *armnetwork.AzureFirewallsClient
	routes     *armnetwork.RouteTablesClient
	management *armnetwork.ManagementClient
	raw        *azarm.Client // for what no client of armnetwork lists
	watch      watch
	listed     arm.Shared[listed]
}

// New gives a client that calls ARM as cred. It calls nothing yet.
func New(cred azcore.TokenCredential, cfg Config) (*Client, error) {
	if cred == nil {
		return nil, errors.New("new nsg client: no credential")
	}
	o, err := cfg.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("new nsg client: %w", err)
	}
	if cfg.PollEvery == 0 {
		cfg.PollEvery = time.Second
	}
	return &Client{cred: cred, cfg: cfg, options: o}, nil
}

// subscription gives the clients for a subscription, made when first asked for.
func (c *Client) subscription(id string) (*clients, error) { return c.subs.Of(id, c.clientsOf) }

func (c *Client) clientsOf(id string) (*clients, error) {
	f, err := armnetwork.NewClientFactory(id, c.cred, &c.options)
	if err != nil {
		return nil, err
	}
	raw, err := azarm.NewClient("portcullis", "v1.0.0", c.cred, &c.options)
	if err != nil {
		return nil, err
	}
	return &clients{
		groups:     f.NewSecurityGroupsClient(),
		interfaces: f.NewInterfacesClient(),
		networks:   f.NewVirtualNetworksClient(),
		addresses:  f.NewPublicIPAddressesClient(),
		firewalls:  f.NewAzureFirewallsClient(),
		routes:     f.NewRouteTablesClient(),
		management: f.NewManagementClient(),
		raw:        raw,
	}, nil
}

// Ping reads the first page of the NSGs of Config.Subscription: it needs ARM, a
// token and the permission to read, as everything else here does.
func (c *Client) Ping(ctx context.Context) error {
	s, err := c.subscription(c.cfg.Subscription)
	if err != nil {
		return fmt.Errorf("ping Azure Resource Manager: %w", err)
	}
	if _, err := s.groups.NewListAllPager(nil).NextPage(ctx); err != nil {
		return arm.Translate(ctx, "ping Azure Resource Manager in subscription "+c.cfg.Subscription, c.cfg.Subscription, err)
	}
	return nil
}
