package client

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// Options are what a client needs beside the app's address.
type Options struct {
	Version string           // of this program, for the User-Agent
	Now     func() time.Time // the machine's clock
	// RetryDelay is how long the client waits before it sends a call again the first time; it doubles then. 0 for 800 ms.
	RetryDelay time.Duration
	// Transport sends the calls; nil for one over the network. It must not follow redirects.
	Transport policy.Transporter
}

// Client calls one app. Several goroutines may use it. Its zero value is not usable; see [New].
type Client struct {
	app  *url.URL
	o    Options
	open runtime.Pipeline // without a token
	pipe runtime.Pipeline // with one
	seen *clock
}

// New gives a client that calls only what needs no token; see [Client.SignedIn]. The address of the app is a URL such as
// https://app.example: what stands below /api in it is dropped, so that the address of the page is good too.
func New(app string, o Options) (*Client, error) {
	base, err := Address(app)
	if err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = network()
	}
	c := &Client{app: base, o: o, seen: &clock{}}
	c.open = c.pipeline()
	return c, nil
}

// network sends calls without following redirects, which would lead the token elsewhere.
func network() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Address reads the address of an app. Only https is taken, and http where the app is on this machine, by its loopback address.
func Address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is not the address of an app, such as https://portcullis.example", text)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u)) {
		return nil, fmt.Errorf("%q does not begin with https://: no token is sent over http, except to a loopback address such as 127.0.0.1", text)
	}
	if path := strings.TrimSuffix(u.Path, "/"); path != "" && path != "/api" && !strings.HasPrefix(path, "/api/") {
		return nil, fmt.Errorf("%q has a path that no app has; the address is https:// and the name of the host", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func loopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// App gives the address of the app, without a slash at its end.
func (c *Client) App() string { return c.app.String() }

// OnLoopback reports whether the app is on this machine, as that of make run is.
func (c *Client) OnLoopback() bool { return loopback(c.app) }

// SignedIn gives a client that sends tokens for an audience, such as api://portcullis.
func (c *Client) SignedIn(cred azcore.TokenCredential, audience string) *Client {
	out := *c
	out.pipe = out.pipeline(runtime.NewBearerTokenPolicy(cred, []string{Scope(audience)}, &policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: c.OnLoopback()}))
	return &out
}

// Scope gives what to ask a token for.
func Scope(audience string) string { return strings.TrimSuffix(audience, "/") + "/.default" }

// longest is how long one answer may take: longer than the 230 seconds after which the platform gives up on it.
const longest = 4 * time.Minute

func (c *Client) pipeline(each ...policy.Policy) runtime.Pipeline {
	return runtime.NewPipeline("portcullis", strings.Fields(c.o.Version + " unknown")[0], runtime.PipelineOptions{PerRetry: append(each, c.seen.watch(c.o.Now))},
		&policy.ClientOptions{Transport: c.o.Transport, Retry: policy.RetryOptions{RetryDelay: c.o.RetryDelay, MaxRetryDelay: 30 * time.Second, TryTimeout: longest},
			Telemetry: policy.TelemetryOptions{ApplicationID: "portcullis-cli"}})
}

// ClockDifference gives how far the app's clock is ahead of this machine's, to a second, as the last answer had it. It is not known
// before an answer.
func (c *Client) ClockDifference() (ahead time.Duration, known bool) { return c.seen.difference() }

// Now gives the time by the app's clock where that is known, and by this machine's otherwise.
func (c *Client) Now() time.Time {
	ahead, _ := c.ClockDifference()
	return c.o.Now().Add(ahead)
}

// clock compares two clocks.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	known bool
}

func (k *clock) difference() (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ahead, k.known
}

// watch compares the Date of each answer with the middle of its call.
func (k *clock) watch(now func() time.Time) policy.Policy {
	return policyFunc(func(req *policy.Request) (*http.Response, error) {
		began := now()
		resp, err := req.Next()
		if err != nil {
			return resp, err
		}
		ended := now()
		if date, bad := http.ParseTime(resp.Header.Get("Date")); bad == nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.ahead, k.known = date.Sub(began.Add(ended.Sub(began)/2)).Round(time.Second), true
			if k.ahead.Abs() <= time.Second { // a Date has whole seconds
				k.ahead = 0
			}
		}
		return resp, nil
	})
}

type policyFunc func(*policy.Request) (*http.Response, error)

func (f policyFunc) Do(req *policy.Request) (*http.Response, error) { return f(req) }

// Pause waits, but not beyond the end of ctx.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
