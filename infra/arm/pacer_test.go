package arm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

// resourceManager implements ARM's throttling as documented, independently of the pacer. It is a transport.
type resourceManager struct {
	mu       sync.Mutex
	buckets  map[string]*serverBucket
	windows  map[string][]time.Time // the network provider's, sliding, which is the strictest form
	others   map[string]int         // tokens taken by other processes, by bucket
	refused  int
	sent     []sent
	refuse   func(*http.Request) *http.Response // if not nil, its response replaces the normal one
	took     time.Duration                      // the duration of a write
	tellRest bool                               // reports the remaining tokens in headers
}

type serverBucket struct {
	tokens float64
	at     time.Time
}

type sent struct {
	what string
	at   time.Time
}

func answer(req *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

func throttle(req *http.Request, after string) *http.Response {
	return answer(req, 429, `{"error":{"code":"SubscriptionRequestsThrottled","message":"too many"}}`, "Retry-After", after)
}

func (a *resourceManager) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if text, err := io.ReadAll(req.Body); err != nil || string(text) != "body" {
			return nil, fmt.Errorf("the body is %q, error %v", text, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != nil {
		if resp := a.refuse(req); resp != nil {
			a.refused++
			return resp, nil
		}
	}
	size, rate, kind := 250.0, 25.0, "reads"
	if req.Method == http.MethodPut {
		size, rate, kind = 200, 10, "writes"
	}
	sub := strings.Split(req.URL.Path, "/")[2]
	b := a.buckets[sub+kind]
	if b == nil {
		b = &serverBucket{size, time.Now()}
		a.buckets[sub+kind] = b
	}
	b.tokens, b.at = min(size, b.tokens+time.Since(b.at).Seconds()*rate), time.Now()
	b.tokens -= float64(a.others[sub+kind])
	delete(a.others, sub+kind)
	if b.tokens < 1-1e-6 {
		a.refused++
		return throttle(req, strconv.Itoa(1+int((1-b.tokens)/rate))), nil
	}
	if kind == "writes" {
		w := a.windows[sub]
		for len(w) > 0 && time.Since(w[0]) >= 5*time.Minute {
			w = w[1:]
		}
		if len(w) >= 1000 {
			a.refused++
			return throttle(req, "60"), nil
		}
		a.windows[sub] = append(w, time.Now())
	}
	b.tokens--
	a.sent = append(a.sent, sent{req.URL.Path, time.Now()})
	resp := answer(req, 200, "{}")
	if a.tellRest {
		resp.Header.Set("x-ms-ratelimit-remaining-subscription-"+kind, strconv.Itoa(int(b.tokens)))
	}
	if a.took > 0 && kind == "writes" {
		a.mu.Unlock()
		time.Sleep(a.took)
		a.mu.Lock()
	}
	return resp, nil
}

// rig is an SDK pipeline with a pacer in front of a resourceManager.
type rig struct {
	*resourceManager
	pacer    *arm.Pacer
	pipeline runtime.Pipeline
}

func newRig(limits arm.Limits) *rig {
	r := &rig{resourceManager: &resourceManager{buckets: map[string]*serverBucket{}, windows: map[string][]time.Time{}, others: map[string]int{}}}
	r.pacer = arm.NewPacer(arm.Config{Subscriptions: []string{"one", "TWO"}, Limits: limits})
	r.pipeline = runtime.NewPipeline("test", "v1", runtime.PipelineOptions{}, &policy.ClientOptions{Transport: r.resourceManager, PerRetryPolicies: []policy.Policy{r.pacer}})
	return r
}

func (r *rig) call(ctx context.Context, method, sub, name string) (int, error) {
	req, err := runtime.NewRequest(ctx, method, "https://arm.test/subscriptions/"+sub+"/"+name)
	if err != nil {
		return 0, err
	}
	if method == http.MethodPut {
		if err := req.SetBody(nopCloser{strings.NewReader("body")}, "application/json"); err != nil {
			return 0, err
		}
	}
	resp, err := r.pipeline.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func closing(ctx context.Context, since time.Time) context.Context {
	return arm.WithPriority(ctx, network.Closing(since))
}

// after returns how long after the start the call with the name was last sent.
func (r *rig) after(t *testing.T, start time.Time, name string) time.Duration {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Duration(-1)
	for _, s := range r.sent {
		if strings.HasSuffix(s.what, "/"+name) {
			at = s.at.Sub(start)
		}
	}
	if at < 0 {
		t.Errorf("%s was never sent", name)
	}
	return at
}

// storm sends n closing writes at once and waits until all are answered. If think is not 0, each waits for its
// turn and then takes that long before it writes.
func (r *rig) storm(t *testing.T, n int, think time.Duration) {
	t.Helper()
	since := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			ctx, cancel := context.WithCancel(closing(t.Context(), since))
			defer cancel()
			if think > 0 {
				var err error
				if ctx, _, err = r.pacer.Turn(ctx, network.Closing(since), "one", ""); err != nil {
					t.Error(err)
				}
				time.Sleep(think)
			}
			if status, err := r.call(ctx, http.MethodPut, "one", fmt.Sprint("nsg", i)); err != nil || status != 200 {
				t.Errorf("write %d: status %d, error %v", i, status, err)
			}
		})
	}
	all.Wait()
}

func TestNothingIsRefused(t *testing.T) {
	for _, tc := range []struct {
		writes int
		think  time.Duration
		within time.Duration // the best that the buckets allow, plus 1 %
	}{
		{200, 0, time.Second}, {1000, 0, 81 * time.Second}, {2000, 0, 382 * time.Second},
		{200, 10 * time.Millisecond, time.Second}, {2000, 10 * time.Millisecond, 384 * time.Second}, {5000, 10 * time.Millisecond, 1296 * time.Second},
	} {
		t.Run(fmt.Sprint(tc.writes, tc.think), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, start := newRig(arm.Limits{}), time.Now()
				r.storm(t, tc.writes, tc.think)
				if took := time.Since(start); r.refused > 0 || took > tc.within {
					t.Errorf("%d writes took %s, %d refused; want %s and none", tc.writes, took, r.refused, tc.within)
				}
				if len(r.sent) != tc.writes {
					t.Errorf("%d calls for %d writes", len(r.sent), tc.writes)
				}
			})
		})
	}
}

func TestReadsKeepTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(arm.Limits{})
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				if status, err := r.call(t.Context(), http.MethodGet, "one", fmt.Sprint(i)); err != nil || status != 200 {
					t.Errorf("read %d: status %d, error %v", i, status, err)
				}
			})
		}
		all.Wait()
		if r.refused > 0 {
			t.Errorf("%d reads were refused", r.refused)
		}
	})
}

// Another instance of the app is known only by ARM's headers.
func TestHeadersCorrectTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(arm.Limits{})
		r.tellRest = true
		r.others["onewrites"] = 190
		if _, err := r.call(t.Context(), http.MethodPut, "one", "first"); err != nil {
			t.Fatal(err)
		}
		r.storm(t, 50, 0)
		if r.refused > 0 {
			t.Errorf("%d writes were refused although the headers told what was left", r.refused)
		}
	})
}

func TestThrottlingClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{}), time.Now()
		r.refuse = func(req *http.Request) *http.Response { // for 90 s, longer than the SDK waits
			if left := 90*time.Second - time.Since(start); req.Method == http.MethodPut && left > 0 {
				return throttle(req, strconv.Itoa(int(left.Seconds())))
			}
			return nil
		}
		var all sync.WaitGroup
		all.Go(func() {
			if status, err := r.call(t.Context(), http.MethodPut, "one", "a"); err != nil || status != 200 {
				t.Errorf("the refused write: status %d, error %v", status, err)
			}
		})
		synctest.Wait()
		for i := range 20 {
			all.Go(func() {
				if status, err := r.call(t.Context(), http.MethodPut, "one", fmt.Sprint("b", i)); err != nil || status != 200 {
					t.Errorf("write %d: status %d, error %v", i, status, err)
				}
			})
		}
		brief, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := r.call(brief, http.MethodPut, "one", "brief")
		down, ok := errors.AsType[*store.Unavailable](err)
		if !ok || down.RetryAfter != 90*time.Second || time.Since(start) > 0 {
			t.Errorf("who cannot wait: error %v after %s, want an Unavailable for 90 s at once", err, time.Since(start))
		}
		if _, err := r.call(t.Context(), http.MethodGet, "one", "read"); err != nil || time.Since(start) > 0 {
			t.Errorf("a read waited %s for the writes' gate, error %v", time.Since(start), err)
		}
		all.Wait()
		if r.refused > 1 {
			t.Errorf("%d calls were refused, want the first alone", r.refused)
		}
		if took := time.Since(start); took < 90*time.Second || took > 95*time.Second {
			t.Errorf("all were through after %s, want soon after 90 s", took)
		}
	})
}

// A waiting call learns at once if the gate closes for longer than its context lasts.
func TestWaitersLearnThatTheGateCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(arm.Limits{Writes: arm.Bucket{Size: 1, PerSecond: 0.01}})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		r.refuse = func(req *http.Request) *http.Response {
			time.Sleep(time.Second)
			return throttle(req, "600")
		}
		go r.call(ctx, http.MethodPut, "one", "a")
		synctest.Wait()
		start := time.Now()
		_, err := r.call(ctx, http.MethodPut, "one", "b")
		if down, ok := errors.AsType[*store.Unavailable](err); !ok || down.RetryAfter != 10*time.Minute || time.Since(start) > time.Second {
			t.Errorf("error %v after %s, want an Unavailable for 10 min after 1 s", err, time.Since(start))
		}
	})
}

func TestBusyClosesNothing(t *testing.T) {
	for _, body := range []string{
		`{"error":{"code":"RetryableErrorDueToAnotherOperation","message":"busy"}}`,
		`{"error":{"code":"RetryableError","message":"busy","details":[]}}`,
		`{"error":{"code":"Conflict","message":"busy","details":[{"code":"ReferencedResourceNotProvisioned"}]}}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			r, start := newRig(arm.Limits{}), time.Now()
			left := 2
			r.refuse = func(req *http.Request) *http.Response {
				if strings.HasSuffix(req.URL.Path, "/busy") && left > 0 {
					left--
					return answer(req, 429, body, "Retry-After", "20")
				}
				return nil
			}
			var all sync.WaitGroup
			all.Go(func() {
				if status, err := r.call(t.Context(), http.MethodPut, "one", "busy"); err != nil || status != 200 {
					t.Errorf("the busy one: status %d, error %v", status, err)
				}
			})
			synctest.Wait()
			r.storm(t, 50, 0)
			if took := time.Since(start); took > time.Second {
				t.Errorf("others waited %s because one group is busy", took)
			}
			all.Wait()
		})
	}
}

func TestClosingsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(arm.Limits{Writes: arm.Bucket{Size: 1, PerSecond: 1}})
		start := time.Now()
		var all sync.WaitGroup
		call := func(ctx context.Context, name string) {
			all.Go(func() {
				if _, err := r.call(ctx, http.MethodPut, "one", name); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait()
		}
		call(t.Context(), "first")
		call(t.Context(), "open")
		call(closing(t.Context(), start.Add(-time.Minute)), "late")
		call(closing(t.Context(), start.Add(-time.Hour)), "latest")
		all.Wait()
		latest, late, open := r.after(t, start, "latest"), r.after(t, start, "late"), r.after(t, start, "open")
		if latest >= late || late >= open {
			t.Errorf("sent after %s (an hour late), %s (a minute late), %s (an opening)", latest, late, open)
		}
	})
}

func TestReserveIsForClosings(t *testing.T) {
	for _, tc := range []struct {
		name           string
		closings       int           // before the openings
		ago            time.Duration // how long before them
		want, reserved int           // openings sent at once, and the closings that follow
	}{
		{"closings a moment ago", 25, 30 * time.Second, 80, 20},
		{"a few of them", 3, 30 * time.Second, 97, 3},
		{"closings long ago", 25, time.Minute + time.Second, 100, 0},
		{"no closings", 0, time.Minute, 100, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(arm.Limits{Writes: arm.Bucket{Size: 100, PerSecond: 1}, Reserve: 20})
				close := func(name string) {
					began := time.Now()
					if _, err := r.call(closing(t.Context(), began), http.MethodPut, "one", name); err != nil || time.Since(began) > 0 {
						t.Fatalf("closing %s waited %s, error %v", name, time.Since(began), err)
					}
				}
				for i := range tc.closings {
					close(fmt.Sprint("before", i))
				}
				time.Sleep(tc.ago)
				var all sync.WaitGroup
				for i := range 110 {
					all.Go(func() { r.call(t.Context(), http.MethodPut, "one", fmt.Sprint("open", i)) })
				}
				synctest.Wait()
				r.mu.Lock()
				got := len(r.sent) - tc.closings
				r.mu.Unlock()
				if got != tc.want {
					t.Errorf("%d openings were sent at once, want %d of 100 tokens", got, tc.want)
				}
				for i := range tc.reserved {
					close(fmt.Sprint("behind", i))
				}
				all.Wait()
			})
		})
	}
}

// During a storm of closings somebody opens a port every ten seconds.
func TestOpeningsGetTheirShare(t *testing.T) {
	for _, writes := range []int{900, 3000} {
		synctest.Test(t, func(t *testing.T) {
			r, start := newRig(arm.Limits{}), time.Now()
			var over atomic.Bool
			var mu sync.Mutex
			var storm, opens sync.WaitGroup
			storm.Go(func() { r.storm(t, writes, 0); over.Store(true) })
			synctest.Wait()
			var longest time.Duration
			for i := 0; !over.Load(); i++ {
				opens.Go(func() {
					asked := time.Now()
					if _, err := r.call(t.Context(), http.MethodPut, "one", fmt.Sprint("open", i)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, time.Since(asked))
				})
				time.Sleep(10 * time.Second)
			}
			storm.Wait()
			opens.Wait()
			if longest > 5*time.Second || r.refused > 0 {
				t.Errorf("%d writes: an opening waited %s, %d calls were refused", writes, longest, r.refused)
			}
			t.Logf("%d writes: %s in all, an opening waited %s at most", writes, time.Since(start), longest)
		})
	}
}

// TestMadeUpSubscriptionsShareOnePace: made-up subscriptions get no buckets of their own, do not slow managed
// ones, and leave nothing behind.
func TestMadeUpSubscriptionsShareOnePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{}), time.Now()
		size := arm.Documented().Reads.Size
		var before, after goruntime.MemStats
		var all sync.WaitGroup
		for i := range size + 100 {
			all.Go(func() {
				if _, err := r.call(t.Context(), http.MethodGet, fmt.Sprint("made-up-", i), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		if _, err := r.call(t.Context(), http.MethodGet, "two", "x"); err != nil || time.Since(start) > 0 {
			t.Errorf("a managed subscription waited %s, error %v", time.Since(start), err)
		}
		all.Wait()
		if took, least := time.Since(start), time.Duration(100/arm.Documented().Reads.PerSecond*float64(time.Second)); took < least-time.Millisecond {
			t.Errorf("%d reads of made-up subscriptions took %s, want %s at least", size+100, took, least)
		}
		const many = 50_000
		goruntime.GC()
		goruntime.ReadMemStats(&before)
		for i := range many {
			_, done := r.pacer.Polling(fmt.Sprint("made-up-", i), time.Second)
			done()
		}
		goruntime.GC()
		goruntime.ReadMemStats(&after)
		if grew := int64(after.HeapAlloc) - int64(before.HeapAlloc); grew > many { // a byte each; a map entry takes about a hundred
			t.Errorf("%d made-up subscriptions left %d bytes", many, grew)
		}
		if n := r.pacer.Unfinished("made-up-1"); n != 0 {
			t.Errorf("%d operations are looked at", n)
		}
	})
}

func TestSubscriptionsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{}), time.Now()
		var all sync.WaitGroup
		all.Go(func() { r.storm(t, 400, 0) })
		synctest.Wait()
		if _, err := r.call(t.Context(), http.MethodPut, "two", "nsg"); err != nil || time.Since(start) > 0 {
			t.Errorf("the other subscription waited %s, error %v", time.Since(start), err)
		}
		all.Wait()
	})
}

func TestRegionsAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := arm.Limits{NetworkWrites: 2, NetworkWindow: time.Minute}
		r, start := newRig(limits), time.Now()
		var all sync.WaitGroup
		for _, region := range []string{"westeurope", "WestEurope", "westeurope"} {
			all.Go(func() { r.call(arm.WithRegion(closing(t.Context(), start), region), http.MethodPut, "one", region) })
		}
		synctest.Wait()
		if _, err := r.call(arm.WithRegion(closing(t.Context(), start), "northeurope"), http.MethodPut, "one", "north"); err != nil || time.Since(start) > 0 {
			t.Errorf("another region waited %s, error %v", time.Since(start), err)
		}
		all.Wait()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the third write to one region was sent after %s, want a minute", took)
		}
	})
}

func TestATurnIsOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{Writes: arm.Bucket{Size: 1, PerSecond: 0.1}}), time.Now()
		ctx, cancel := context.WithCancel(closing(t.Context(), start))
		mine, waited, err := r.pacer.Turn(ctx, network.Closing(start), "one", "westeurope")
		if err != nil || waited {
			t.Fatalf("turn: waited %t, error %v", waited, err)
		}
		time.Sleep(time.Minute) // the bucket does not exceed its size meanwhile
		for range 2 {
			if _, err := r.call(mine, http.MethodPut, "one", "mine"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 70*time.Second {
			t.Errorf("the second write was sent after %s, want 10 s after the first", took)
		}
		cancel()
	})
}

func TestATurnThatIsNotUsedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{Writes: arm.Bucket{Size: 1, PerSecond: 0.1}, NetworkWrites: 1, NetworkWindow: time.Hour}), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		if _, _, err := r.pacer.Turn(ctx, network.Ordinary(), "one", ""); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := r.call(t.Context(), http.MethodPut, "one", "next"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if got := r.pacer.Queues()[1]; got != (arm.Queue{Kind: arm.Writes, Openings: 1}) {
			t.Errorf("queue %+v, want one opening", got)
		}
		cancel()
		all.Wait()
		if took := time.Since(start); took > 0 {
			t.Errorf("the next write waited %s for a turn that was given back", took)
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRig(arm.Limits{Writes: arm.Bucket{Size: 1, PerSecond: 0.01}}), time.Now()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := r.call(ctx, http.MethodPut, "one", "x")
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %s, want 5 s", took)
		}
		if got := r.pacer.Queues()[1]; got.Openings+got.Closings != 0 {
			t.Errorf("queue %+v after all have left", got)
		}
	})
}

func TestLooksSpreadOut(t *testing.T) {
	p := arm.NewPacer(arm.Config{})
	var ends []func()
	var every func() time.Duration
	for range 400 {
		var done func()
		every, done = p.Polling("one", time.Second)
		ends = append(ends, done)
	}
	if got := 400 / every().Seconds(); got > 25 {
		t.Errorf("400 operations are looked at every %s: %.0f reads a second of 25", every(), got)
	}
	for _, done := range ends[1:] {
		done()
	}
	if every() != time.Second {
		t.Errorf("one operation is looked at every %s, want 1 s", every())
	}
	every, done := (*arm.Pacer)(nil).Polling("one", time.Second)
	if done(); every() != time.Second {
		t.Errorf("without a pacer: every %s", every())
	}
}
