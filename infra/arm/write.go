package arm

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
)

// The relevant provisioning states. After Failed, the rules shown may not be in effect.
const (
	Succeeded = "Succeeded"
	Updating  = "Updating"
)

// Write is one conditional PUT of a whole resource, whose response is the SDK model T.
type Write[T any] struct {
	Doing   string // the operation, for errors
	Target  string // the resource's id, for the reader of a refusal
	Version string // the etag that the resource must still have
	Body    []byte // sent instead of the SDK model
	// Begin starts the SDK's operation; its context carries the body and the condition.
	Begin func(ctx context.Context) (*runtime.Poller[T], error)
	// State extracts the provisioning state from a response.
	State func(text []byte) (string, error)
	// PollEvery is the polling interval for an unfinished write if ARM names none. It grows with the number of
	// unfinished writes in the Subscription that Pacer knows of.
	PollEvery    time.Duration
	Pacer        *Pacer
	Subscription string
	// Look, if set, reads the resource. It is used instead of polling the operation, since the final state would have
	// to be read anyway. If it shows nothing of this write, or takes too long, the operation is polled.
	Look func(ctx context.Context) (text []byte, err error)
	// Listed, if set, returns the resource from a listing that began after a time, and when that listing began; no
	// text if a listing is not worthwhile or does not contain it. While many writes are unfinished, one listing covers
	// all of them.
	Listed func(ctx context.Context, after time.Time) (text []byte, began time.Time, err error)
}

// Do returns ARM's response once the write has succeeded: that of the PUT itself if it says so, else the response
// that shows success, or the GET after the operation's end. If another write is under way by then, overtaken is true
// and text is the PUT's own response: what it shows was confirmed, and has another version by now. Once the request was
// sent and may have taken effect, any other result is [store.ErrConflict].
func (w Write[T]) Do(ctx context.Context) (text []byte, overtaken bool, err error) {
	var fate fate
	var resp *http.Response
	begin := httptrace.WithClientTrace(ctx, fate.trace())
	begin = policy.WithHTTPHeader(begin, http.Header{"If-Match": {w.Version}})
	begin = policy.WithCaptureResponse(context.WithValue(begin, bodyKey{}, w.Body), &resp)
	poller, err := w.Begin(begin)
	switch {
	case err == nil:
	case fate.open(err):
		return nil, false, Unknown(w.Doing, err)
	default:
		return nil, false, Translate(ctx, w.Doing, w.Target, err)
	}
	begun, err := runtime.Payload(resp)
	if err != nil {
		return nil, false, Unknown(w.Doing, err)
	}
	if poller.Done() { // the PUT's own response is final, and no polling is needed
		state, err := w.State(begun)
		if err == nil && !strings.EqualFold(state, Succeeded) {
			err = fmt.Errorf("the write ended as %q", state)
		}
		if err != nil {
			return nil, false, Unknown(w.Doing, err)
		}
		return begun, false, nil
	}
	text, err = w.follow(ctx, poller, resp, begun)
	if err != nil {
		return nil, false, Unknown(w.Doing, err)
	}
	if text != nil {
		return text, false, nil
	}
	if _, err := poller.Result(policy.WithCaptureResponse(ctx, &resp)); err != nil { // the GET after the end
		return nil, false, Unknown(w.Doing, err)
	}
	if text, err = runtime.Payload(resp); err != nil {
		return nil, false, Unknown(w.Doing, err)
	}
	if state, err := w.State(text); err == nil && strings.EqualFold(state, Updating) {
		return begun, true, nil
	}
	return text, false, nil
}

// maxRetryAfter bounds how long the first poll waits because of the Retry-After of a write's response: it is
// advice, not a refusal, and writes often finish sooner.
const maxRetryAfter = 3 * time.Second

// maxResourcePolling is how long after a write the resource is read to see its end, twice the usual duration of a
// write. After that, Updating may mean that another write has superseded this one, and the operation is polled.
const maxResourcePolling = 20 * time.Second

// follow polls the write, whose PUT was answered with begun, until it has ended. It returns the resource if it has seen it.
func (w Write[T]) follow(ctx context.Context, poller *runtime.Poller[T], resp *http.Response, begun []byte) ([]byte, error) {
	version := versionOf(begun)
	every, done := w.Pacer.Polling(w.Subscription, w.PollEvery)
	defer done()
	sent := time.Now()
	seen := sent // when the last poll began
	advised := sent.Add(min(maxRetryAfter, retryAfter(resp)))
	for !poller.Done() {
		if w.Listed != nil {
			text, began, err := w.Listed(ctx, seen)
			if ended, tells := w.ended(text, version); err == nil && ended {
				return text, nil
			} else if err == nil && tells {
				seen = began
				continue
			}
		}
		if err := Wait(ctx, max(time.Until(seen.Add(every())), time.Until(advised))); err != nil {
			return nil, err
		}
		seen = time.Now()
		if w.Look != nil && time.Since(sent) < maxResourcePolling {
			text, err := w.Look(ctx)
			if ended, tells := w.ended(text, version); err == nil && ended {
				return text, nil
			} else if err == nil && tells {
				continue
			}
		}
		var err error
		if resp, err = poller.Poll(ctx); err != nil {
			return nil, err
		}
		advised = time.Now().Add(min(maxRetryAfter, retryAfter(resp)))
	}
	return nil, nil
}

// ended reports whether a resource that was read or listed shows that the write has succeeded, and whether it
// shows the write at all: an unchanged or failed one does not, and neither does one that is Updating in another version
// than that with which the write was begun, which may be another writer's that saw the end of this one first.
func (w Write[T]) ended(text []byte, begun string) (ended, tells bool) {
	if text == nil {
		return false, false
	}
	version := versionOf(text)
	state, err := w.State(text)
	if err != nil || version == "" || version == w.Version {
		return false, false
	}
	return strings.EqualFold(state, Succeeded), strings.EqualFold(state, Updating) && version == begun
}

// versionOf returns the etag of a resource, "" if it has none.
func versionOf(text []byte) string {
	top, err := Members(text, 0, "etag")
	if err != nil {
		return ""
	}
	return Text(top["etag"].Of(text))
}

// fate tracks the tries of one request, which the SDK repeats by itself.
type fate struct{ sent, answered atomic.Int32 }

func (f *fate) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteHeaders:         func() { f.sent.Add(1) },
		GotFirstResponseByte: func() { f.answered.Add(1) },
	}
}

// open reports whether the write may have taken effect although it ended with err: ARM did not answer a try, or
// refused a try after one that it did not answer. If ARM says that it is unavailable, the caller treats the result
// as unknown anyway.
func (f *fate) open(err error) bool {
	if r := Refusal(err); r != nil {
		return f.sent.Load() > f.answered.Load() && !passing(r)
	}
	return f.sent.Load() > 0
}

// bodyKey is the context key of the bytes that rawBody sends.
type bodyKey struct{}

// rawBody is a pipeline policy that sends the bytes in the request's context instead of the SDK model. It comes
// before the retry policy, which rewinds them.
type rawBody struct{}

// Do replaces the body if the context has one.
func (rawBody) Do(req *policy.Request) (*http.Response, error) {
	if body, ok := req.Raw().Context().Value(bodyKey{}).([]byte); ok {
		if err := req.SetBody(streaming.NopCloser(bytes.NewReader(body)), "application/json"); err != nil {
			return nil, err
		}
	}
	return req.Next()
}

// Answered reports whether ARM answered a read successfully, even if the SDK's model could not decode it.
func Answered(resp *http.Response) bool { return resp != nil && resp.StatusCode == http.StatusOK }
