package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
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
	again      = operation[nothing, api.GrantAnswer]{method: http.MethodPost, path: "/api/requests/{id}/again", query: []string{dryRun}, headers: []string{"Idempotency-Key", "Prefer"}}
)

// Operations gives every operation that the client calls.
func Operations() []Operation {
	return []Operation{endpoints.described(), machines.described(), request.described(), requests.described(), oneRequest.described(),
		revoke.described(), extend.described(), again.described()}
}

// How says how a call that writes is made.
type How struct {
	DryRun bool   // say what would happen, and write nothing
	Key    string // the Idempotency-Key, where the operation takes one; "" for none
}

func (h How) query() url.Values {
	if h.DryRun {
		return url.Values{dryRun: {"true"}}
	}
	return nil
}

func (h How) header() http.Header {
	if h.Key == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {h.Key}}
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

// Requests gives a page of requests, newest first. The query's names are those of GET /api/requests.
func (c *Client) Requests(ctx context.Context, q url.Values) (api.List[api.GrantAnswer], error) {
	answer, _, err := requests.do(ctx, c, input[nothing]{query: q})
	return answer, err
}

// RequestByID gives one request as it stands.
func (c *Client) RequestByID(ctx context.Context, id string) (api.GrantAnswer, error) {
	answer, _, err := oneRequest.do(ctx, c, input[nothing]{id: id})
	return answer, err
}

// Await looks at a request that is under way, as often as the app asks, until done says so, and tells each look. It ends with ctx: exit
// code 5 where its time is over.
func (c *Client) Await(ctx context.Context, p Pending, done func(api.GrantAnswer) bool, tell func(api.GrantAnswer)) (api.GrantAnswer, error) {
	g := p.GrantAnswer
	for !done(g) {
		tell(g)
		if err := pause(ctx, p.After); err != nil {
			return g, c.failure(ctx, err)
		}
		var err error
		if g, err = c.RequestByID(ctx, p.ID); err != nil {
			return p.GrantAnswer, err
		}
	}
	return g, nil
}

// pages walks over the pages of a list, at most limit of them: more than that is no list that somebody reads.
func pages[T any](q url.Values, limit int, page func(url.Values) (T, string, error), each func(T) (more bool)) error {
	for range limit {
		answer, link, err := page(q)
		if err != nil {
			return err
		}
		if !each(answer) || link == "" {
			return nil
		}
		if q, err = next(link); err != nil {
			return err
		}
	}
	return nil
}

// mostPages bounds a list: of a thousand each, as many as an installation can have machines, with room.
const mostPages = 200

// AllMachines gives the machines of all pages, at most the given number; 0 for all.
func (c *Client) AllMachines(ctx context.Context, q url.Values, most int) (api.MachinesAnswer, error) {
	var out api.MachinesAnswer
	err := pages(sized(q, most), mostPages, func(q url.Values) (api.MachinesAnswer, string, error) {
		page, err := c.Machines(ctx, q)
		return page, page.NextLink, err
	}, func(page api.MachinesAnswer) bool {
		value := append(out.Value, page.Value...)
		out = page
		out.Value, out.NextLink = value, ""
		return most == 0 || len(value) < most
	})
	if most > 0 && len(out.Value) > most {
		out.Value = out.Value[:most]
	}
	return out, err
}

// AllRequests gives the requests of all pages, at most the given number; 0 for all.
func (c *Client) AllRequests(ctx context.Context, q url.Values, most int) (api.List[api.GrantAnswer], error) {
	return all(q, most, func(q url.Values) (api.List[api.GrantAnswer], error) { return c.Requests(ctx, q) })
}

// all gives the values of all pages, at most the given number; 0 for all.
func all[T any](q url.Values, most int, page func(url.Values) (api.List[T], error)) (api.List[T], error) {
	out := api.List[T]{Value: []T{}}
	err := pages(sized(q, most), mostPages, func(q url.Values) ([]T, string, error) {
		answer, err := page(q)
		return answer.Value, answer.NextLink, err
	}, func(value []T) bool {
		out.Value = append(out.Value, value...)
		return most == 0 || len(out.Value) < most
	})
	if most > 0 && len(out.Value) > most {
		out.Value = out.Value[:most]
	}
	return out, err
}

// sized asks for pages of a thousand, or of as many as are wanted.
func sized(q url.Values, most int) url.Values {
	out := url.Values{"top": {"1000"}}
	if most > 0 && most < 1000 {
		out.Set("top", strconv.Itoa(most))
	}
	for name, values := range q {
		out[name] = values
	}
	return out
}
