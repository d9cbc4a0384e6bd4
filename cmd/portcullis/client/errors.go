package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/go-json-experiment/json"

	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

// Refusal is an answer of the app that is no success. Its code is stable; the OpenAPI document lists the codes.
type Refusal struct {
	api.ErrorDetail
	Status    int
	RequestID string // x-ms-request-id, under which the app's log has the call
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("%s (%s", strings.TrimSuffix(r.Message, "."), r.Code)
	if r.Status >= http.StatusInternalServerError && r.RequestID != "" {
		text += ", request id " + r.RequestID
	}
	return text + ")"
}

// ExitCode tells a refusal from an app that cannot answer.
func (r *Refusal) ExitCode() exit.Code {
	switch r.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exit.Unreachable
	case http.StatusInternalServerError:
		return exit.Failed
	}
	return exit.Refused
}

// Unreachable is a call that was not answered by an app.
type Unreachable struct {
	App string
	Err error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("%s cannot be reached: %v", u.App, u.Err)
}

func (u *Unreachable) Unwrap() error { return u.Err }

// ExitCode is that of everything that cannot be reached.
func (u *Unreachable) ExitCode() exit.Code { return exit.Unreachable }

// refusal reads an answer that is no success.
func (c *Client) refusal(resp *http.Response) error {
	body, err := runtime.Payload(resp)
	if err != nil {
		return &Unreachable{c.App(), err}
	}
	out := &Refusal{Status: resp.StatusCode, RequestID: resp.Header.Get("x-ms-request-id")}
	var told api.ErrorBody
	if json.Unmarshal(body, &told) == nil && told.Error.Code != "" {
		out.ErrorDetail = told.Error
		return out
	}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return &Unreachable{c.App(), fmt.Errorf("it leads to %q, and no redirect is followed with a token; is that the app's own address", resp.Header.Get("Location"))}
	case resp.StatusCode == http.StatusUnauthorized:
		out.ErrorDetail = api.ErrorDetail{Code: "Unauthenticated", Message: "the token is not accepted; sign in with portcullis login"}
	default:
		return &Unreachable{c.App(), fmt.Errorf("what answers there is not Portcullis: %s, without an error of the API", resp.Status)}
	}
	return out
}

// failure says what a call that has no answer failed from.
func (c *Client) failure(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exit.With(exit.TimedOut, errors.New("the time is over before the app has answered"))
	case errors.Is(ctx.Err(), context.Canceled):
		return exit.With(exit.Interrupted, errors.New("interrupted"))
	}
	if known, ok := errors.AsType[exit.Coder](err); ok { // of the sign-in
		return known
	}
	return &Unreachable{c.App(), err}
}

// retryAfter gives how long the app asks to be left alone, between a second and a minute.
func retryAfter(h http.Header) time.Duration {
	seconds, err := time.ParseDuration(h.Get("Retry-After") + "s")
	if err != nil {
		return 2 * time.Second
	}
	return min(max(seconds, time.Second), time.Minute)
}
