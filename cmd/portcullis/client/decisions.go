package client

import (
	"context"
	"net/http"
	"net/url"

	"portcullis/handlers/api"
)

// The operations of who decides about the access of others. A test holds them to the OpenAPI document.
var (
	approve    = operation[api.ApproveBody, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/approve", query: []string{dryRun}, headers: []string{"Prefer"}}
	deny       = operation[api.DenyBody, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/deny", query: []string{dryRun}}
	review     = operation[api.ReviewBody, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/review", query: []string{dryRun}}
	lockdown   = operation[api.LockdownBody, api.LockdownAnswer]{method: http.MethodPost, path: "/api/lockdown", query: []string{dryRun}}
	oneRun     = operation[nothing, api.LockdownAnswer]{method: http.MethodGet, path: "/api/lockdown/{id}"}
	everyHold  = operation[nothing, api.HoldsAnswer]{method: http.MethodGet, path: "/api/lockdown"}
	liftOfHold = operation[api.LiftBody, api.Hold]{method: http.MethodPost, path: "/api/lockdown/{id}/lift", query: []string{dryRun}}
)

// Approve approves exactly the request that has the digest. A dry run needs none. What opens then is a Pending, as that of [Client.Request].
func (c *Client) Approve(ctx context.Context, id, digest string, h How) (Pending, error) {
	return pendingOf(approve.do(ctx, c, input[api.ApproveBody]{id: id, query: h.query(), header: h.header(), body: &api.ApproveBody{Digest: digest}}))
}

// Deny denies a request that waits for approval, with the reason why.
func (c *Client) Deny(ctx context.Context, id, reason string, h How) (api.GrantAnswer, error) {
	answer, _, err := deny.do(ctx, c, input[api.DenyBody]{id: id, query: h.query(), body: &api.DenyBody{Justification: reason}})
	return answer, err
}

// Review writes what happened after somebody else's break-glass.
func (c *Client) Review(ctx context.Context, id, text string, h How) (api.GrantAnswer, error) {
	answer, _, err := review.do(ctx, c, input[api.ReviewBody]{id: id, query: h.query(), body: &api.ReviewBody{Review: text}})
	return answer, err
}

// Lockdown closes every window in a scope. What is not closed yet is awaited with [Client.AwaitLockdown].
func (c *Client) Lockdown(ctx context.Context, body api.LockdownBody, h How) (api.LockdownAnswer, error) {
	answer, _, err := lockdown.do(ctx, c, input[api.LockdownBody]{query: h.query(), body: &body})
	return answer, err
}

// AwaitLockdown looks at a lock-down until all that it found is confirmed closed, and tells each look, as [Client.Await] does.
func (c *Client) AwaitLockdown(ctx context.Context, a api.LockdownAnswer, tell func(api.LockdownAnswer)) (api.LockdownAnswer, error) {
	return await(ctx, c, a, retryAfter(http.Header{}), func(a api.LockdownAnswer) bool { return a.Done }, tell, func() (api.LockdownAnswer, error) {
		now, _, err := oneRun.do(ctx, c, input[nothing]{id: a.ID})
		return now, err
	})
}

// Holds gives the holds that stand, as far as the caller may see them.
func (c *Client) Holds(ctx context.Context) (api.HoldsAnswer, error) {
	answer, _, err := everyHold.do(ctx, c, input[nothing]{query: url.Values{}})
	return answer, err
}

// Lift ends a hold, so that windows may open in its scope again.
func (c *Client) Lift(ctx context.Context, id, reason string, h How) (api.Hold, error) {
	answer, _, err := liftOfHold.do(ctx, c, input[api.LiftBody]{id: id, query: h.query(), body: &api.LiftBody{Reason: reason}})
	return answer, err
}
