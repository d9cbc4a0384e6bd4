package client

import (
	"context"
	"io"
	"net/url"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/handlers/api"
)

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

// Activity gives a page of the log, newest first. The query's names are those of GET /api/activity, without format.
func (c *Client) Activity(ctx context.Context, q url.Values) (api.List[api.Entry], error) {
	answer, _, err := activity.do(ctx, c, input[nothing]{query: q})
	return answer, err
}

// AllActivity gives the entries of all pages, newest first, at most the given number; 0 for all.
func (c *Client) AllActivity(ctx context.Context, q url.Values, most int) (api.List[api.Entry], error) {
	return all(q, most, func(q url.Values) (api.List[api.Entry], error) { return c.Activity(ctx, q) })
}

// Download writes the log as the app writes it in a format: csv or jsonl.
func (c *Client) Download(ctx context.Context, q url.Values, format string, into io.Writer) error {
	q = sized(q, 0)
	q.Del("top")
	q.Set("format", format)
	req, err := activity.request(ctx, c, input[nothing]{query: q})
	if err != nil {
		return err
	}
	runtime.SkipBodyDownload(req)
	resp, err := activity.send(ctx, c, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(into, resp.Body); err != nil {
		return &Unreachable{c.App(), err}
	}
	return nil
}
