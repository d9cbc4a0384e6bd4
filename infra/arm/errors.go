package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// This file is the only place that knows what errors of a write mean to the verbs.

// CodeRefused says that ARM rejected the content of a write, such as a limit of the target or a priority that is
// taken. The message contains ARM's own code and text.
const CodeRefused jit.Code = "RefusedByAzure"

// Dependency is the dependency named by a [store.Unavailable] of these adapters.
const Dependency = "Azure Resource Manager"

// maxReason bounds how much of ARM's message is passed on, in bytes.
const maxReason = 1000

// Refusal returns the response that an SDK error stands for, or nil if ARM did not answer.
func Refusal(err error) *azcore.ResponseError {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// Translate returns an SDK error as an error of the ports. what is the id of the resource, for the reader of a
// refusal.
func Translate(ctx context.Context, doing, what string, err error) error {
	r := Refusal(err)
	if r == nil {
		if _, paced := errors.AsType[*store.Unavailable](err); paced || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return fmt.Errorf("%s: %w", doing, &store.Unavailable{Dependency: Dependency, Err: err})
	}
	reason := reasonOf(r)
	switch r.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w: %s", doing, store.ErrNotFound, reason)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w: %s", doing, store.ErrConflict, reason)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: %w: %s", doing, store.ErrForbidden, reason)
	}
	switch {
	case strings.EqualFold(r.ErrorCode, "ScopeLocked"), strings.EqualFold(r.ErrorCode, "ReadOnlyDisabledSubscription"):
		return fmt.Errorf("%s: %w: %s", doing, store.ErrLocked, reason)
	case passing(r):
		return fmt.Errorf("%s: %w", doing, &store.Unavailable{Dependency: Dependency, RetryAfter: retryAfter(r.RawResponse), Err: reason})
	}
	return fmt.Errorf("%s: %w", doing, &jit.Error{Code: CodeRefused, Target: what, Message: "Azure refused it: " + reason.Error()})
}

// Unknown returns the error for a write that was sent and may or may not have taken effect: the caller reads
// again.
func Unknown(doing string, err error) error {
	if r := Refusal(err); r != nil {
		return fmt.Errorf("%s: %w, or not known to have taken effect: %w", doing, store.ErrConflict, reasonOf(r))
	}
	return fmt.Errorf("%s: %w, or not known to have taken effect: %w", doing, store.ErrConflict, err)
}

// passing reports whether the same call may succeed later by itself: throttling, a fault of ARM, or another
// operation on the resource, which the network provider answers with 429 or, for some resources, 409.
func passing(r *azcore.ResponseError) bool {
	switch {
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return true
	case r.StatusCode == http.StatusConflict:
		return r.ErrorCode == "AnotherOperationInProgress" || strings.HasPrefix(r.ErrorCode, "RetryableError")
	}
	return false
}

// reason is ARM's message in one line. It wraps the SDK's error, whose own text has many lines.
type reason struct {
	text string
	err  *azcore.ResponseError
}

// Error returns ARM's code and message.
func (r reason) Error() string { return r.text }

// Unwrap returns the SDK's error.
func (r reason) Unwrap() error { return r.err }

// reasonOf extracts the code and message of a response, and those of its details, which ARM often uses for the
// specific reason.
func reasonOf(r *azcore.ResponseError) reason {
	text := fmt.Sprintf("%d %s", r.StatusCode, r.ErrorCode)
	if r.RawResponse != nil {
		if body, err := runtime.Payload(r.RawResponse); err == nil {
			text = strings.Join(append([]string{text}, wordsOf(body)...), ": ")
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	return reason{store.Cut(text, maxReason), r}
}

func wordsOf(body []byte) []string {
	type part struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var answer struct {
		Error struct {
			part
			Details []part `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	var out []string
	if answer.Error.Message != "" {
		out = append(out, answer.Error.Message)
	}
	for _, d := range answer.Error.Details {
		if d.Code != "" || d.Message != "" {
			out = append(out, d.Code+" "+d.Message)
		}
	}
	return out
}

// retryAfter returns how long ARM asks to wait, in any of the forms that the SDK understands; 0 if it does not
// say. A date is compared with the response's own.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	for _, h := range []string{"retry-after-ms", "x-ms-retry-after-ms"} {
		if n, err := strconv.Atoi(resp.Header.Get(h)); err == nil && n > 0 {
			return time.Duration(n) * time.Millisecond
		}
	}
	v := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	at, err1 := http.ParseTime(v)
	now, err2 := http.ParseTime(resp.Header.Get("Date"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
