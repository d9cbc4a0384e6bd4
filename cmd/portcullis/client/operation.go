package client

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/go-json-experiment/json"
)

// Operation is a call of the API, as its OpenAPI document names it.
type Operation struct {
	Method, Path   string
	Query, Headers []string
	Body, Answer   reflect.Type // nil for none
}

// operation is a call with what it takes and gives. nothing stands for no body.
type operation[B, A any] struct {
	method, path   string
	query, headers []string
	anybody        bool // needs no token
}

type nothing struct{}

func (o operation[B, A]) described() Operation {
	out := Operation{Method: o.method, Path: o.path, Query: o.query, Headers: o.headers, Answer: reflect.TypeFor[A]()}
	if body := reflect.TypeFor[B](); body != reflect.TypeFor[nothing]() {
		out.Body = body
	}
	return out
}

// input is what one call sends.
type input[B any] struct {
	id     string // for {id} in the path
	query  url.Values
	header http.Header
	body   *B
}

// request writes a call. What its operation does not name is an error of this program.
func (o operation[B, A]) request(ctx context.Context, c *Client, in input[B]) (*policy.Request, error) {
	for name := range in.query {
		if !slices.Contains(o.query, name) {
			return nil, fmt.Errorf("the operation %s %s is not known to take the parameter %q", o.method, o.path, name)
		}
	}
	for name := range in.header {
		if !slices.Contains(o.headers, name) {
			return nil, fmt.Errorf("the operation %s %s is not known to take the header %q", o.method, o.path, name)
		}
	}
	to := c.app.JoinPath(strings.Replace(o.path, "{id}", url.PathEscape(in.id), 1))
	to.RawQuery = in.query.Encode()
	req, err := runtime.NewRequest(ctx, o.method, to.String())
	if err != nil {
		return nil, err
	}
	for name, values := range in.header {
		req.Raw().Header[http.CanonicalHeaderKey(name)] = values
	}
	if in.body != nil {
		// What is left out is not null and not empty: absent members have meanings of their own.
		text, err := json.Marshal(in.body, json.OmitZeroStructFields(true))
		if err != nil {
			return nil, err
		}
		return req, req.SetBody(streaming.NopCloser(bytes.NewReader(text)), "application/json")
	}
	if o.method != http.MethodGet {
		return req, req.SetBody(streaming.NopCloser(bytes.NewReader([]byte("{}"))), "application/json")
	}
	return req, nil
}

// do sends a call and reads its answer. Members that this version does not know are dropped.
func (o operation[B, A]) do(ctx context.Context, c *Client, in input[B]) (A, *http.Response, error) {
	var answer A
	req, err := o.request(ctx, c, in)
	if err != nil {
		return answer, nil, err
	}
	resp, err := o.send(ctx, c, req)
	if err != nil {
		return answer, nil, err
	}
	text, err := runtime.Payload(resp)
	if err != nil {
		return answer, nil, &Unreachable{c.App(), err}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, nil, &Unreachable{c.App(), fmt.Errorf("what answers there is not Portcullis, or of a version that this one does not know: %w", err)}
	}
	return answer, resp, nil
}

// send gives the answer of a call where it is a success.
func (o operation[B, A]) send(ctx context.Context, c *Client, req *policy.Request) (*http.Response, error) {
	pipe := c.pipe
	if o.anybody {
		pipe = c.open
	}
	resp, err := pipe.Do(req)
	if err != nil {
		return nil, c.failure(ctx, err)
	}
	if !runtime.HasStatusCode(resp, http.StatusOK, http.StatusAccepted) {
		return nil, c.refusal(resp)
	}
	return resp, nil
}

// next gives the query of the page that follows, from a nextLink. Only its query is used: the call goes to the app itself.
func next(link string) (url.Values, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("the link to the next page: %w", err)
	}
	return u.Query(), nil
}
