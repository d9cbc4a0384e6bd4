// Package logs sends the activity log to Log Analytics by the Logs Ingestion API, over the azlogs client, with a token of the app's identity: a data collection rule
// takes the events (package ocsf) and puts them into a table.
//
// The API's limits (https://learn.microsoft.com/azure/azure-monitor/service-limits, "Logs ingestion API"): 1 MB in a call, compressed or not, 64 KB in a field, and of one rule
// 2 GB and 12,000 calls in a minute. A call here holds at most [maxBody] bytes; one that is refused as too large is halved. One look of the stream makes some twenty calls. It answers 204
// without a body; that says that the events are taken, not that they stand in the table yet.
//
// It tries each call once; when to try again is the stream's (core/stream). Redirects are not followed, since they would take the token elsewhere. No error holds an event, a token or what the
// service wrote.
package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/monitor/ingestion/azlogs"

	"portcullis/core/store"
	"portcullis/core/stream"
	"portcullis/infra/logs/ocsf"
	"portcullis/infra/loopback"
	"portcullis/infra/reply"
)

var _ stream.Receiver = (*Client)(nil)

// Config is where the events go. All but ClientOptions must be set.
type Config struct {
	Endpoint string // of the rule, https; or http on a loopback address by number
	Rule     string // its immutable id, dcr-...
	Stream   string // Custom-...
	Version  string // of the app
	Identity azcore.TokenCredential
	azcore.ClientOptions
}

// Client sends events to one rule. It is safe for concurrent use.
type Client struct {
	config Config
	client *azlogs.Client
}

// Dependency is what errors call the service.
const Dependency = "the log ingestion"

const (
	maxBody = 1_000_000 // bytes of a call, of 1,048,576
	timeout = 10 * time.Second
)

// New returns a client. It makes no call.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback.Number(u.Hostname())) {
		return nil, errors.New("the endpoint is neither https nor http on a loopback address")
	}
	o := azlogs.ClientOptions{ClientOptions: c.ClientOptions}
	o.Retry = policy.RetryOptions{MaxRetries: -1}
	if o.Transport == nil {
		o.Transport = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if u.Scheme == "http" {
		o.Transport = loopback.Plain{Next: o.Transport, Host: u.Host}
		u.Scheme = "https"
	}
	client, err := azlogs.NewClient(strings.TrimSuffix(u.String(), "/"), c.Identity, &o)
	if err != nil {
		return nil, err
	}
	return &Client{config: c, client: client}, nil
}

// Send makes one call for each [maxBody] bytes, one after the other, and stops at the first that fails.
func (c *Client) Send(ctx context.Context, events []stream.Event) (int, error) {
	rows := make([]json.RawMessage, len(events))
	for i, e := range events {
		row, err := json.Marshal(ocsf.Of(e, c.config.Version))
		if err != nil {
			return 0, fmt.Errorf("write an event: %w", err)
		}
		rows[i] = row
	}
	taken, most := 0, len(rows)
	for taken < len(rows) {
		n := fitting(rows[taken:min(len(rows), taken+most)])
		body, err := json.Marshal(rows[taken : taken+n])
		if err != nil {
			return taken, fmt.Errorf("write events: %w", err)
		}
		status, err := c.call(ctx, body)
		if status == http.StatusRequestEntityTooLarge && n > 1 {
			most = n / 2 // its idea of the limit is not ours
			continue
		}
		if err != nil {
			return taken, err
		}
		taken += n
	}
	return taken, nil
}

// fitting returns how many of the first rows a call holds, at least one.
func fitting(rows []json.RawMessage) int {
	bytes := 1
	for i, r := range rows {
		if bytes += len(r) + 1; bytes > maxBody && i > 0 {
			return i
		}
	}
	return len(rows)
}

// call makes one call, and returns the status of a refusal.
func (c *Client) call(ctx context.Context, body []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.client.Upload(ctx, c.config.Rule, c.config.Stream, body, nil)
	if err == nil {
		return 0, nil
	}
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return 0, &store.Unavailable{Dependency: Dependency, Err: errors.New(reason(err))}
	}
	after := time.Duration(0)
	if answer.RawResponse != nil {
		after = reply.RetryAfter(answer.RawResponse.Header.Get("Retry-After"), time.Now())
	}
	why := fmt.Sprintf("it answered %d", answer.StatusCode)
	if answer.StatusCode == http.StatusForbidden {
		why += ": the app's identity needs Monitoring Metrics Publisher on the data collection rule"
	}
	return answer.StatusCode, &store.Unavailable{Dependency: Dependency, RetryAfter: after, Err: errors.New(why)}
}

// reason says why there was no answer.
func reason(err error) string {
	if _, ok := errors.AsType[interface {
		error
		NonRetriable()
	}](err); ok {
		return "the identity gets no token for it, or it answered what nobody can read"
	}
	return reply.Missing(err)
}
