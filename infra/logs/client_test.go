package logs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/core/stream"
	"portcullis/infra/logs"
	"portcullis/local/logsim"
)

const (
	rule   = "dcr-00000000000000000000000000000001"
	name   = "Custom-Portcullis"
	secret = "s3cr3t-token"
)

// identity gives a token, for the audience of the public cloud alone.
type identity struct{ err error }

func (i identity) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if i.err == nil && !slices.Equal(o.Scopes, []string{"https://monitor.azure.com//.default"}) {
		return azcore.AccessToken{}, fmt.Errorf("a token for %v", o.Scopes)
	}
	return azcore.AccessToken{Token: secret, ExpiresOn: time.Now().Add(time.Hour)}, i.err
}

var morning = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// served starts the stand-in and returns a client of it.
func served(t *testing.T, s *logsim.Service, change ...func(*logs.Config)) *logs.Client {
	t.Helper()
	s.Rule, s.Stream = rule, name
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c := logs.Config{Endpoint: server.URL, Rule: rule, Stream: name, Version: "test", Identity: identity{}}
	for _, f := range change {
		f(&c)
	}
	client, err := logs.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func events(n, bytes int) []stream.Event {
	var out []stream.Event
	for i := range n {
		out = append(out, stream.Event{Day: morning, Entry: &store.Linked{Seq: i + 1, Hash: fmt.Sprintf("%064d", i+1),
			Entry: store.Entry{ID: fmt.Sprint("event ", i+1), Time: morning, Operation: store.OpSweep, Result: store.Succeeded, Message: strings.Repeat("m", bytes)}}})
	}
	return out
}

// places returns the places in the chain of what was taken.
func places(s *logsim.Service) []int {
	var out []int
	for _, r := range s.Rows() {
		out = append(out, int(r["metadata"].(map[string]any)["sequence"].(float64)))
	}
	return out
}

func upTo(n int) []int {
	var out []int
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// TestRefuses: every answer but 204 leaves events to be sent again, and no error holds a token or what the service wrote.
func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		status, after int
		why           string
	}{
		{200, 0, "it answered 200"}, {202, 0, "it answered 202"}, {302, 0, "it answered 302"}, {307, 0, "it answered 307"}, {400, 0, "it answered 400"}, {401, 0, "it answered 401"},
		{403, 0, "Monitoring Metrics Publisher"}, {404, 0, "it answered 404"}, {408, 0, "it answered 408"}, {413, 0, "it answered 413"}, {429, 17, "it answered 429"}, {500, 0, "it answered 500"}, {503, 60, "it answered 503"},
	} {
		s := &logsim.Service{Answer: func(int) (int, int) { return c.status, c.after }}
		n, err := served(t, s).Send(t.Context(), events(1, 10))
		down, ok := errors.AsType[*store.Unavailable](err)
		if n != 0 || !ok || down.RetryAfter != time.Duration(c.after)*time.Second || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%d: %d taken, %v", c.status, n, err)
		}
		if s.Calls() != 1 || len(s.Rows()) != 0 {
			t.Errorf("%d: %d calls, %d rows", c.status, s.Calls(), len(s.Rows()))
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "what the service writes") || strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%d: the error says %v", c.status, err)
		}
	}
}

// TestNoAnswer: no token, nobody there, and a service that hangs.
func TestNoAnswer(t *testing.T) {
	for what, c := range map[string]struct {
		service *logsim.Service
		change  func(*logs.Config)
		why     string
	}{
		"no token":  {&logsim.Service{}, func(c *logs.Config) { c.Identity = identity{errors.New("no " + secret)} }, "the identity gets no token"},
		"nobody":    {&logsim.Service{}, func(c *logs.Config) { c.Endpoint = "http://127.0.0.1:1" }, "it could not be reached"},
		"it hangs":  {&logsim.Service{Answer: func(int) (int, int) { return logsim.Hangs, 0 }}, func(*logs.Config) {}, "it did not answer in time"},
		"no rule":   {&logsim.Service{}, func(c *logs.Config) { c.Rule = "dcr-other" }, "it answered 403"},
		"no stream": {&logsim.Service{}, func(c *logs.Config) { c.Stream = "Custom-Other" }, "it answered 404"},
	} {
		client := served(t, c.service, c.change)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		n, err := client.Send(ctx, events(1, 10))
		cancel()
		if down, ok := errors.AsType[*store.Unavailable](err); n != 0 || !ok || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), secret) || down.RetryAfter != 0 {
			t.Errorf("%s: %d taken, %v", what, n, err)
		}
	}
}

// TestNotInClear: a token goes nowhere in clear, but to this machine.
func TestNotInClear(t *testing.T) {
	for _, endpoint := range []string{"", "http://example.com", "http://localhost:1", "ftp://127.0.0.1", "https://user@example.com", "https://example.com/?a=b", "%"} {
		if _, err := logs.New(logs.Config{Endpoint: endpoint, Rule: rule, Stream: name, Identity: identity{}}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
	if _, err := logs.New(logs.Config{Endpoint: "https://dce.westeurope-1.ingest.monitor.azure.com", Rule: rule, Stream: name, Identity: identity{}}); err != nil {
		t.Error(err)
	}
}

// TestRedirect: a redirect is not followed, so the token does not go elsewhere.
func TestRedirect(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	client, err := logs.New(logs.Config{Endpoint: server.URL, Rule: rule, Stream: name, Identity: identity{}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := client.Send(t.Context(), events(1, 1)); n != 0 || err == nil || reached {
		t.Errorf("%d taken, %v; reached %t", n, err, reached)
	}
}

// TestCalls: events go in as few calls as the limit allows, in their order.
func TestCalls(t *testing.T) {
	s := &logsim.Service{}
	if n, err := served(t, s).Send(t.Context(), events(500, 6000)); n != 500 || err != nil {
		t.Fatal(n, err)
	}
	if got := places(s); !slices.Equal(got, upTo(500)) {
		t.Errorf("places %v", got)
	}
	if sizes := s.Sizes(); len(sizes) != 4 || slices.Max(sizes) > 1_000_000 {
		t.Errorf("calls of %v bytes", sizes)
	}
	if n, err := served(t, &logsim.Service{}).Send(t.Context(), nil); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestTooLarge: a call that is refused as too large is halved, and one event that is too large alone is an error after those before it.
func TestTooLarge(t *testing.T) {
	s := &logsim.Service{Max: 30_000}
	if n, err := served(t, s).Send(t.Context(), events(40, 5000)); n != 40 || err != nil || !slices.Equal(places(s), upTo(40)) {
		t.Errorf("%d taken, %v: %v", n, err, places(s))
	}
	s = &logsim.Service{Max: 3000}
	mixed := append(events(2, 10), events(3, 5000)[2:]...)
	if n, err := served(t, s).Send(t.Context(), mixed); n != 2 || err == nil || !strings.Contains(err.Error(), "413") {
		t.Errorf("%d taken, %v", n, err)
	}
}

// TestPart: what was taken before the receiver stops is told.
func TestPart(t *testing.T) {
	s := &logsim.Service{Answer: func(call int) (int, int) { return map[int]int{3: 429}[call], 30 }}
	n, err := served(t, s).Send(t.Context(), events(500, 6000))
	if down, ok := errors.AsType[*store.Unavailable](err); !ok || down.RetryAfter != 30*time.Second || n != len(s.Rows()) || n == 0 || n == 500 {
		t.Errorf("%d taken, %d there, %v", n, len(s.Rows()), err)
	}
}

// TestGoneAndBack streams a log to a service that fails, hangs, answers 429, loses answers and comes back, through restarts: each entry is there at the end, the
// first copies in their order, and a copy is known by its uid.
func TestGoneAndBack(t *testing.T) {
	const loses = 2
	var mu sync.Mutex
	var answers []int // of the next calls
	next := func() int {
		if len(answers) == 0 {
			return 0
		}
		return answers[0]
	}
	s := &logsim.Service{}
	s.Answer = func(int) (int, int) {
		mu.Lock()
		defer mu.Unlock()
		switch a := next(); a {
		case 0, loses:
			return 0, 0
		default:
			answers = answers[1:]
			return a, 60
		}
	}
	s.Lost = func(int) bool {
		mu.Lock()
		defer mu.Unlock()
		lost := next() == loses
		if lost {
			answers = answers[1:]
		}
		return lost
	}
	client, memory, now := served(t, s), coretest.NewMemory(), morning
	appended := 0
	for round, a := range [][]int{{}, {503}, {loses}, {429}, {logsim.Hangs}, {loses, loses}, {500}, {}, {413}, {401}, {loses}} {
		mu.Lock()
		answers = a
		mu.Unlock()
		for range 3 {
			appended++
			if err := memory.Append(t.Context(), store.Entry{ID: fmt.Sprint("entry ", appended), Time: now, Operation: store.OpSweep, Result: store.Succeeded}); err != nil {
				t.Fatal(err)
			}
		}
		str := &stream.Stream{Log: memory, Record: memory, Receiver: client, Now: func() time.Time { return now }} // a new process each time
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if _, err := str.Swept(ctx); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			cancel()
			now = now.Add(20 * time.Minute)
		}
	}
	mu.Lock()
	answers = nil
	mu.Unlock()
	for range 2 {
		str := &stream.Stream{Log: memory, Record: memory, Receiver: client, Now: func() time.Time { return now }}
		if found, err := str.Swept(t.Context()); err != nil || len(found) > 0 {
			t.Error(found, err)
		}
		now = now.Add(time.Hour)
	}
	first, copies := map[string]int{}, 0
	var order []string
	for _, r := range s.Rows() {
		m := r["metadata"].(map[string]any)
		uid := m["uid"].(string)
		if first[uid]++; first[uid] > 1 {
			copies++
			continue
		}
		if id, ok := m["original_event_uid"].(string); ok {
			order = append(order, id)
		}
	}
	for i := range appended {
		if i >= len(order) || order[i] != fmt.Sprint("entry ", i+1) {
			t.Fatalf("%d entries were appended, and came in the order %q", appended, order)
		}
	}
	if len(order) != appended || copies == 0 {
		t.Errorf("%d entries came of %d, %d copies", len(order), appended, copies)
	}
}
