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

// The provisioning states that matter. After Failed, what is shown may not be in force.
const (
	Succeeded = "Succeeded"
	Updating  = "Updating"
)

// Write is one conditional PUT of a whole resource, which gives the SDK's model T.
type Write[T any] struct {
	Doing   string // what is being done, for errors
	Target  string // the resource's id, for the person who reads a refusal
	Version string // the etag that the resource must still have
	Body    []byte // what is sent, in place of what the SDK's model would be
	// Begin starts the SDK's operation; its context carries the body and the condition.
	Begin func(ctx context.Context) (*runtime.Poller[T], error)
	// State reads the provisioning state out of an answer.
	State func(text []byte) (string, error)
	// PollEvery is the time between looks at an unfinished write where ARM does not say one. It grows
	// with the number of unfinished writes that Pacer knows of in the Subscription.
	PollEvery    time.Duration
	Pacer        *Pacer
	Subscription string
	// Look, where it is set, reads the resource. It is asked in place of the operation, since at the end it
	// shows what would have to be read then; where it does not tell of this write, or for long, the operation is asked.
	Look func(ctx context.Context) (text []byte, err error)
	// Listed, where it is set, gives the resource as a listing shows it that began after a time, and when
	// that was; no text where a listing is not worth it or does not show it. While many writes are unfinished one listing
	// tells of all of them.
	Listed func(ctx context.Context, after time.Time) (text []byte, began time.Time, err error)
}

// Do gives ARM's answer once the write has succeeded: that of the PUT itself where it says
// so, else what shows that it has, or the GET after the operation's end. If another's write is under way by then, overtaken
// is true and text is the PUT's own answer: what it shows was confirmed, and has another version by now. Whatever else comes after
// the request was sent and may have taken effect is [store.ErrConflict].
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
	if poller.Done() { // the PUT's own answer tells the end, and no look is needed
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

// mostAdvice bounds how long the first look waits because of the Retry-After of a write's answer: it
// is advice, not a refusal, and writes often end sooner.
const mostAdvice = 3 * time.Second

// mostLooking is how long after a write the resource is read to see its end, twice what writes take. What
// still shows as Updating may be another's write that has superseded this one: the operation tells.
const mostLooking = 20 * time.Second

// follow looks at the operation, whose PUT was answered with begun, until it has ended. It gives the resource where it has seen it.
func (w Write[T]) follow(ctx context.Context, poller *runtime.Poller[T], resp *http.Response, begun []byte) ([]byte, error) {
	version := versionOf(begun)
	every, done := w.Pacer.Polling(w.Subscription, w.PollEvery)
	defer done()
	sent := time.Now()
	seen := sent // when the last look began
	advised := sent.Add(min(mostAdvice, retryAfter(resp)))
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
		if w.Look != nil && time.Since(sent) < mostLooking {
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
		advised = time.Now().Add(min(mostAdvice, retryAfter(resp)))
	}
	return nil, nil
}

// ended reports whether a resource that was read or listed shows that the write has succeeded, and whether it
// tells anything of it: one that is as it was before, that has failed, or that is Updating in another version than that with
// which the write was begun does not. The last may be the write of another, who has seen the end of this one first.
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

// versionOf gives the etag that a resource shows; "" where it shows none.
func versionOf(text []byte) string {
	top, err := Members(text, 0, "etag")
	if err != nil {
		return ""
	}
	return Text(top["etag"].Of(text))
}

// fate follows the tries of one request, which the SDK repeats by itself.
type fate struct{ sent, answered atomic.Int32 }

func (f *fate) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteHeaders:         func() { f.sent.Add(1) },
		GotFirstResponseByte: func() { f.answered.Add(1) },
	}
}

// open reports whether the write may have taken effect although it ended with err: ARM
// did not answer what was sent, or refused a try after one that it did not answer.
// Where ARM says that it cannot now, nobody takes that for knowledge anyway.
func (f *fate) open(err error) bool {
	if r := Refusal(err); r != nil {
		return f.sent.Load() > f.answered.Load() && !passing(r)
	}
	return f.sent.Load() > 0
}

// bodyKey finds the bytes that rawBody sends in a context.
type bodyKey struct{}

// rawBody is a pipeline policy that sends the bytes in the request's context in
// place of what the SDK's model made. It stands before the retry policy, which rewinds them.
type rawBody struct{}

// Do replaces the body, if there is one to replace it with.
func (rawBody) Do(req *policy.Request) (*http.Response, error) {
	if body, ok := req.Raw().Context().Value(bodyKey{}).([]byte); ok {
		if err := req.SetBody(streaming.NopCloser(bytes.NewReader(body)), "application/json"); err != nil {
			return nil, err
		}
	}
	return req.Next()
}

// Answered reports whether ARM answered a read with what was asked for, whatever the SDK's model made of it.
func Answered(resp *http.Response) bool { return resp != nil && resp.StatusCode == http.StatusOK }
