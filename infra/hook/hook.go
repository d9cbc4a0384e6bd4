// Package hook posts messages to an address over HTTPS, for all channels: package webhook, teams and slack say what is posted.
//
// An address of a channel is a secret as a rule: whoever has it can post there. So no error and no log line holds any of it, nor what the receiver
// answers. Redirects are not followed, since they would take message and token elsewhere. Where the receiver has an audience, it gets a token of the app's
// identity for it.
//
// It tries once; when to try again is the courier's (package tell). It does not check where a host name leads: the address is the deployer's.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/store"
	"portcullis/infra/loopback"
	"portcullis/infra/reply"
)

// Config is where a channel posts. The name and the address must be set.
type Config struct {
	Name     string                 // of the channel, for errors
	URL      string                 // https, or http on a loopback address by number; or a Key Vault reference that the platform has not resolved
	Audience string                 // of the receiver, such as api://<app id>; "" where the address itself is the secret
	Identity azcore.TokenCredential // gives tokens for the audience
	Now      func() time.Time       // time.Now if nil
}

// Client posts to one address. It is safe for concurrent use.
type Client struct {
	config  Config
	address string // "" where it is not known yet
	client  *http.Client
}

// unresolved begins an app setting whose Key Vault reference the platform could not resolve.
const unresolved = "@Microsoft.KeyVault("

// timeout bounds one try, also where the caller does not.
const timeout = 10 * time.Second

// New returns a client. It makes no call. An address that the platform could not read from the Key Vault is no error, since an app that does not start closes nothing: every
// post fails until the app is started with it.
func New(c Config) (*Client, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Audience != "" && c.Identity == nil {
		return nil, fmt.Errorf("%s: an identity is needed for a token", c.Name)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	out := &Client{config: c, client: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if strings.HasPrefix(c.URL, unresolved) {
		return out, nil
	}
	if err := Check(c.URL); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	out.address = c.URL
	return out, nil
}

// Check refuses an address to which nothing secret may be sent: anything but https, or http on a loopback address by number. Its error does not hold the address.
func Check(address string) error {
	if strings.HasPrefix(address, unresolved) {
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return errors.New("the address is not a URL such as https://host/path")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback.Number(u.Hostname())):
		return errors.New("the address is neither https nor http on a loopback address")
	}
	return nil
}

// Post sends a body and returns nil for an answer of 2xx. An [*store.Unavailable] says that the receiver takes nothing now; any other error that it refuses this body.
func (c *Client) Post(ctx context.Context, contentType string, body []byte) error {
	if c.address == "" {
		return c.unavailable(0, "the Key Vault reference of its address is not resolved")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return c.unavailable(0, "its address cannot be used")
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "portcullis")
	if c.config.Audience != "" {
		token, err := c.config.Identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{strings.TrimSuffix(c.config.Audience, "/") + "/.default"}})
		if err != nil {
			return c.unavailable(0, "the identity gets no token for its audience")
		}
		r.Header.Set("Authorization", "Bearer "+token.Token)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return c.unavailable(0, reply.Missing(err)) // the error itself holds the address
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // so that the connection can be used again
	return c.judge(answer)
}

// judge says what an answer means.
func (c *Client) judge(answer *http.Response) error {
	status := answer.StatusCode
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return c.unavailable(0, fmt.Sprintf("it answered %d, a redirect, which is not followed", status))
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		return fmt.Errorf("%s refused the message with %d", c.config.Name, status)
	}
	return c.unavailable(reply.RetryAfter(answer.Header.Get("Retry-After"), c.config.Now()), fmt.Sprintf("it answered %d", status))
}

func (c *Client) unavailable(after time.Duration, why string) error {
	return &store.Unavailable{Dependency: c.config.Name, RetryAfter: after, Err: errors.New(why)}
}
