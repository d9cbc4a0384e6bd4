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

// Config says which Resource Manager to speak to and how.
type Config struct {
	arm.Connection
	// PollEvery is the time between looks at a write that is under way, ours or another's; 0 is five seconds.
	PollEvery time.Duration
	// Differs, where it is set, is told that the answer to a write shows something else than was sent, in
	// members of the firewall that are not ours: for the log. It must not block.
	Differs func(firewall jit.ID, members []string)
	// Now is the clock by which public addresses are forgotten; nil is time.Now.
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

// address is what a public IP address resource was when it was read.
type address struct {
	addr netip.Addr
	at   time.Time
}

// clients are the SDK's clients for one subscription. They share one pipeline.
type clients struct {
	firewalls *armnetwork.AzureFirewallsClient
	addresses *armnetwork.PublicIPAddressesClient
}

// New gives a client that calls ARM as cred. It calls nothing yet.
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

// subscription gives the clients for a subscription, made when first asked for.
func (c *Client) subscription(id string) (*clients, error) { return c.subs.Of(id, c.clientsOf) }

func (c *Client) clientsOf(id string) (*clients, error) {
	f, err := armnetwork.NewClientFactory(id, c.cred, &c.options)
	if err != nil {
		return nil, err
	}
	return &clients{firewalls: f.NewAzureFirewallsClient(), addresses: f.NewPublicIPAddressesClient()}, nil
}

// target gives the clients for a firewall's subscription.
func (c *Client) target(id jit.ID) (*clients, error) {
	if !strings.EqualFold(id.Type, jit.TypeFirewall) {
		return nil, fmt.Errorf("%s is not an Azure Firewall", id)
	}
	return c.subscription(id.Subscription)
}
