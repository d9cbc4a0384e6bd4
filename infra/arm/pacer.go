package arm

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/network"
)

var _ policy.Policy = (*Pacer)(nil)

// Config configures a Pacer.
type Config struct {
	// Subscriptions each have their own rate: the managed ones. All others share one, since callers may name any
	// subscription.
	Subscriptions []string
	// Limits are those for one subscription; the zero value is [Documented].
	Limits Limits
	// Waited, if set, is called with how long each call waited. It must not block.
	Waited func(kind Kind, closing bool, waited time.Duration)
}

// Pacer keeps the calls of one identity within ARM's limits. It is a policy of the SDK's pipeline that belongs
// after its retry policy (PerRetryPolicies), so that every try counts. All clients of one identity share one. It
// is safe for concurrent use; a nil Pacer does nothing.
type Pacer struct {
	cfg   Config
	own   map[string]bool // the subscriptions with their own rate, in lower case
	mu    sync.Mutex
	gates map[gateKey]*gate
	polls map[string]*atomic.Int64 // operations being polled, by subscription
}

type gateKey struct {
	subscription string // in lower case; "" for all without their own rate
	kind         Kind
}

// NewPacer returns a pacer with full buckets.
func NewPacer(cfg Config) *Pacer {
	if cfg.Limits == (Limits{}) {
		cfg.Limits = Documented()
	}
	own := map[string]bool{}
	for _, sub := range cfg.Subscriptions {
		own[strings.ToLower(sub)] = true
	}
	return &Pacer{cfg: cfg, own: own, gates: map[gateKey]*gate{}, polls: map[string]*atomic.Int64{}}
}

// paced returns the subscription whose rate applies to a call; "" for all that share one.
func (p *Pacer) paced(subscription string) string {
	if subscription = strings.ToLower(subscription); p.own[subscription] {
		return subscription
	}
	return ""
}

func (p *Pacer) gate(subscription string, kind Kind) *gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := gateKey{p.paced(subscription), kind}
	g := p.gates[key]
	if g == nil {
		g = newGate(kind, p.cfg.Limits, p.cfg.Waited)
		p.gates[key] = g
	}
	return g
}

// maxTries bounds how often one call is sent because ARM throttles it.
const maxTries = 10

// Do sends the call when its turn comes, and again if ARM throttles it.
func (p *Pacer) Do(req *policy.Request) (*http.Response, error) {
	if p == nil {
		return req.Next()
	}
	ctx, body := req.Raw().Context(), req.Raw().Body
	g := p.gate(subscriptionOf(req.Raw().URL.Path), kindOf(req.Raw().Method))
	for try := 1; ; try++ {
		if !turnOf(ctx).use(g) {
			if _, _, err := g.wait(ctx, priorityOf(ctx), regionOf(ctx), false); err != nil {
				return nil, err
			}
		}
		resp, err := req.Next()
		if err != nil {
			return resp, err
		}
		g.learn(resp.Header)
		wait, throttling := Throttled(resp)
		switch {
		case !throttling:
			return resp, nil
		case wait == 0: // the SDK then chooses its own wait
			g.empty()
			return resp, nil
		}
		g.close(wait)
		if try == maxTries {
			return resp, nil
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err := req.RewindBody(); err != nil {
			return nil, err
		}
		if body != nil {
			req.Raw().Body = body // the retry policy's body, which it closes when it is done
		}
	}
}

func kindOf(method string) Kind {
	switch method {
	case http.MethodGet, http.MethodHead:
		return Reads
	case http.MethodDelete:
		return Deletes
	}
	return Writes
}

// subscriptionOf returns the subscription in an ARM path; "" if there is none.
func subscriptionOf(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) > 1 && strings.EqualFold(segments[0], "subscriptions") {
		return strings.ToLower(segments[1])
	}
	return ""
}

// Throttled reports whether a response says that the identity calls too often, and how long it asks to wait; 0 if
// it does not say. A 429 for another operation in progress on the resource does not count.
func Throttled(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests || busy(resp) {
		return 0, false
	}
	return retryAfter(resp), true
}

// busy reports whether the network provider refuses because another operation is in progress on the resource or on
// one that it refers to.
func busy(resp *http.Response) bool {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Details []struct {
				Code string `json:"code"`
			} `json:"details"`
		} `json:"error"`
	}
	text, err := runtime.Payload(resp)
	if err != nil || json.Unmarshal(text, &answer) != nil {
		return false
	}
	codes := []string{answer.Error.Code}
	for _, d := range answer.Error.Details {
		codes = append(codes, d.Code)
	}
	for _, code := range codes {
		for _, prefix := range []string{"RetryableError", "AnotherOperationInProgress", "ReferencedResourceNotProvisioned", "CanceledAndSuperseded"} {
			if strings.HasPrefix(code, prefix) {
				return true
			}
		}
	}
	return false
}

type priorityKey struct{}

// WithPriority returns a context for calls with the priority. Callers pass a priority as an argument up to the SDK's client; from
// there to [Pacer.Do], in its HTTP pipeline, only the context goes. Without one a call is ordinary.
func WithPriority(ctx context.Context, p network.Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

func priorityOf(ctx context.Context) network.Priority {
	p, _ := ctx.Value(priorityKey{}).(network.Priority)
	return p
}

type regionKey struct{}

// WithRegion returns a context for writes to a resource in the region, such as westeurope: the network provider
// counts each region separately.
func WithRegion(ctx context.Context, region string) context.Context {
	return context.WithValue(ctx, regionKey{}, strings.ToLower(region))
}

func regionOf(ctx context.Context) string {
	r, _ := ctx.Value(regionKey{}).(string)
	return r
}
