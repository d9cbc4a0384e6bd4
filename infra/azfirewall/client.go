package azfirewall

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/infra/arm"
)

var _ network.RuleStore = (*Client)(nil)

// Config configures access to a Resource Manager.
type Config struct {
	arm.Connection
	// PollEvery is the polling interval for a write in progress, ours or another's; 0 is five seconds.
	PollEvery time.Duration
	// Differs, if set, is called when the response to a write differs from what was sent in members of the firewall
	// that are not ours, so that it can be logged. It must not block.
	Differs func(firewall jit.ID, members []string)
	// Now is the clock by which cached public addresses expire; nil is time.Now.
	Now func() time.Time
}

// Client is the adapter. It is safe for concurrent use.
type Client struct {
	cred    azcore.TokenCredential
	cfg     Config
	options azarm.ClientOptions

	subs arm.Clients[clients]

	mu     sync.Mutex
	public map[string]address // by the id of the public IP address, in lower case
}

// address is a public IP address resource as it was read.
type address struct {
	addr netip.Addr
	at   time.Time
}

// clients are the SDK's clients for one subscription. They share one pipeline.
type clients struct {
	firewalls *armnetwork.AzureFirewallsClient
	addresses *armnetwork.PublicIPAddressesClient
}

// New returns a client that calls ARM with cred. It makes no call.
func New(cred azcore.TokenCredential, cfg Config) (*Client, error) {
	if cred == nil {
		return nil, errors.New("new azfirewall client: no credential")
	}
	o, err := cfg.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("new azfirewall client: %w", err)
	}
	if cfg.PollEvery == 0 {
		cfg.PollEvery = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Client{cred: cred, cfg: cfg, options: o, public: map[string]address{}}, nil
}

// subscription returns the clients for a subscription, created on first use.
func (c *Client) subscription(id string) (*clients, error) { return c.subs.Of(id, c.clientsOf) }

func (c *Client) clientsOf(id string) (*clients, error) {
	f, err := armnetwork.NewClientFactory(id, c.cred, &c.options)
	if err != nil {
		return nil, err
	}
	return &clients{firewalls: f.NewAzureFirewallsClient(), addresses: f.NewPublicIPAddressesClient()}, nil
}

// target returns the clients for a firewall's subscription.
func (c *Client) target(id jit.ID) (*clients, error) {
	if !strings.EqualFold(id.Type, jit.TypeFirewall) {
		return nil, fmt.Errorf("%s is not an Azure Firewall", id)
	}
	return c.subscription(id.Subscription)
}
