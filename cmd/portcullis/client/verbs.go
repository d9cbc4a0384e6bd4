package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"portcullis/handlers/api"
)

// dryRun is the parameter of every operation that writes.
const dryRun = "dryRun"

// The operations. A test holds them to the OpenAPI document.
var (
	endpoints  = operation[nothing, api.EndpointsAnswer]{method: http.MethodGet, path: "/api/metadata/endpoints", query: []string{"api-version"}, anybody: true}
	machines   = operation[nothing, api.MachinesAnswer]{method: http.MethodGet, path: "/api/machines", query: []string{"state", "q", "resourceGroup", "subscription", "vm", "sort", "top", "cursor"}}
	request    = operation[api.RequestBody, api.GrantAnswer]{method: http.MethodPost, path: "/api/request", query: []string{dryRun}, headers: []string{"Idempotency-Key", "Prefer"}}
	requests   = operation[nothing, api.List[api.GrantAnswer]]{method: http.MethodGet, path: "/api/requests", query: []string{"vm", "status", "requestor", "requestorObjectId", "from", "to", "top", "cursor"}}
	oneRequest = operation[nothing, api.GrantAnswer]{method: http.MethodGet, path: "/api/requests/{id}"}
	revoke     = operation[nothing, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/revoke", query: []string{dryRun}}
	extend     = operation[api.ExtendBody, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/extend", query: []string{dryRun}}
	enable     = operation[api.EnableBody, api.EnableAnswer]{method: http.MethodPost, path: "/api/enable", query: []string{dryRun}, headers: []string{"If-Match", "If-None-Match"}}
	disable    = operation[api.VmsBody, api.DisableAnswer]{method: http.MethodPost, path: "/api/disable", query: []string{dryRun}}
	activity   = operation[nothing, api.List[api.Entry]]{method: http.MethodGet, path: "/api/activity", query: []string{"subscription", "vm", "requestor", "requestorObjectId", "operation", "result", "from", "to", "format", "top", "cursor"}}
	compliance = operation[nothing, api.ComplianceAnswer]{method: http.MethodGet, path: "/api/compliance"}
	doctor     = operation[nothing, api.DoctorAnswer]{method: http.MethodGet, path: "/api/doctor"}
	again      = operation[nothing, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/again", query: []string{dryRun}, headers: []string{"Idempotency-Key", "Prefer"}}
)

// Operations gives every operation that the client calls.
func Operations() []Operation {
	return []Operation{endpoints.described(), machines.described(), request.described(), requests.described(), oneRequest.described(),
		revoke.described(), extend.described(), again.described(), enable.described(), disable.described(), activity.described(), compliance.described(), doctor.described(),
		approve.described(), deny.described(), review.described(), lockdown.described(), oneRun.described(), everyHold.described(), liftOfHold.described()}
}

// How says how a call that writes is made.
type How struct {
	DryRun bool   // say what would happen, and write nothing
	Key    string // the Idempotency-Key, where the operation takes one; "" for none
	Async  bool   // do not wait for the ports, where the operation can
	ETag   string // of the policy that is changed, "*" for one that must not be there yet; "" for whatever there is
}

func (h How) query() url.Values {
	if h.DryRun {
		return url.Values{dryRun: {"true"}}
	}
	return nil
}

func (h How) header() http.Header {
	out := http.Header{}
	if h.Key != "" {
		out["Idempotency-Key"] = []string{h.Key}
	}
	if h.Async {
		out["Prefer"] = []string{"respond-async"}
	}
	switch h.ETag {
	case "":
	case "*":
		out["If-None-Match"] = []string{"*"}
	default:
		out["If-Match"] = []string{h.ETag}
	}
	return out
}

// Pending is a request as it was answered: done, or (202) under way.
type Pending struct {
	api.GrantAnswer
	UnderWay bool
	After    time.Duration // when to look again, where it is under way
}

func pendingOf(g api.GrantAnswer, resp *http.Response, err error) (Pending, error) {
	if err != nil {
		return Pending{}, err
	}
	return Pending{GrantAnswer: g, UnderWay: resp.StatusCode == http.StatusAccepted, After: retryAfter(resp.Header)}, nil
}

// Endpoints says where to sign in and for what. It needs no token.
func (c *Client) Endpoints(ctx context.Context) (api.EndpointsAnswer, error) {
	answer, _, err := endpoints.do(ctx, c, input[nothing]{query: url.Values{"api-version": {"2022-09-01"}}})
	return answer, err
}

// Machines gives a page of machines. The query's names are those of GET /api/machines.
func (c *Client) Machines(ctx context.Context, q url.Values) (api.MachinesAnswer, error) {
	answer, _, err := machines.do(ctx, c, input[nothing]{query: q})
	return answer, err
}

// Request opens ports for a while. A Pending that is under way is awaited with [Client.Await].
func (c *Client) Request(ctx context.Context, body api.RequestBody, h How) (Pending, error) {
	return pendingOf(request.do(ctx, c, input[api.RequestBody]{query: h.query(), header: h.header(), body: &body}))
}

// Again asks once more for what an earlier request of the caller asked for.
func (c *Client) Again(ctx context.Context, id string, h How) (Pending, error) {
	return pendingOf(again.do(ctx, c, input[nothing]{id: id, query: h.query(), header: h.header()}))
}

// Revoke closes the ports of a request.
func (c *Client) Revoke(ctx context.Context, id string, h How) (Pending, error) {
	return pendingOf(revoke.do(ctx, c, input[nothing]{id: id, query: h.query()}))
}

// Extend moves the end of a request.
func (c *Client) Extend(ctx context.Context, id string, body api.ExtendBody, h How) (api.GrantAnswer, error) {
	answer, _, err := extend.do(ctx, c, input[api.ExtendBody]{id: id, query: h.query(), body: &body})
	return answer, err
}

// Enable protects machines. An ETag is only for one machine.
func (c *Client) Enable(ctx context.Context, body api.EnableBody, h How) (api.EnableAnswer, error) {
	answer, _, err := enable.do(ctx, c, input[api.EnableBody]{query: h.query(), header: h.header(), body: &body})
	return answer, err
}

// Disable ends the protection of machines.
func (c *Client) Disable(ctx context.Context, body api.VmsBody, h How) (api.DisableAnswer, error) {
	answer, _, err := disable.do(ctx, c, input[api.VmsBody]{query: h.query(), body: &body})
	return answer, err
}

// Compliance gives what the last sweep found.
func (c *Client) Compliance(ctx context.Context) (api.ComplianceAnswer, error) {
	answer, _, err := compliance.do(ctx, c, input[nothing]{})
	return answer, err
}

// Doctor gives the state of the installation, to who administers it.
func (c *Client) Doctor(ctx context.Context) (api.DoctorAnswer, error) {
	answer, _, err := doctor.do(ctx, c, input[nothing]{})
	return answer, err
}

// Await looks at a request that is under way, as often as the app asks, until done says so, and tells each look. It ends with ctx: exit
// code 5 where its time is over.
func (c *Client) Await(ctx context.Context, p Pending, done func(api.GrantAnswer) bool, tell func(api.GrantAnswer)) (api.GrantAnswer, error) {
	return await(ctx, c, p.GrantAnswer, p.After, done, tell, func() (api.GrantAnswer, error) { return c.RequestByID(ctx, p.ID) })
}

// await looks at what is under way until done says so, and tells each look before the next. With an error it gives what it saw last.
func await[A any](ctx context.Context, c *Client, seen A, every time.Duration, done func(A) bool, tell func(A), look func() (A, error)) (A, error) {
	for !done(seen) {
		tell(seen)
		if err := Pause(ctx, every); err != nil {
			return seen, c.failure(ctx, err)
		}
		now, err := look()
		if err != nil {
			return seen, err
		}
		seen = now
	}
	return seen, nil
}
