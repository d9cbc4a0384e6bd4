package realhost_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The envelopes that the host posts to the two triggers.
const (
	timerEnvelope   = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"sweep"}}}`
	messageEnvelope = `{"Data":{"message":"\"{}\""},"Metadata":{"sys":{"MethodName":"revoke"}}}`
)

// outside are requests of somebody outside who wants to be taken for the host: what it sends, to
// every spelling of a trigger's path.
func outside() []string {
	var out []string
	forged := []string{"Content-Type: application/json; charset=utf-8", "User-Agent: Azure-Functions-Host/4.1045.200.25556", "X-Azure-Functions-HostVersion: 4.1045.200.25556",
		"X-Azure-Functions-InvocationId: f8a4b0de-6b5c-4f0f-9d0e-0f5b8f0c6f11"}
	for _, door := range []string{"sweep", "revoke"} {
		envelope := timerEnvelope
		if door == "revoke" {
			envelope = messageEnvelope
		}
		for _, target := range []string{"/%s", "/%s/", "//%s", "/./%s", "/x/../%s", "/%%2e%%2e/%s", "/api/%s", "/api/../%s", "/api/any/../../%s", "/api/any/../..//%s", "/api/any/%%2e%%2e/%%2e%%2e/%s", "/api/any/..%%2F..%%2F%s", "/api/any/..%%252F..%%252F%s",
			"/api/any/%%252e%%252e/%%252e%%252e/%s", "/api/any/..;/..;/%s", "/api/any/%%2F%s", "/api/any//%s", "/%s?x", "/%s#x", "/api/items/..%%2F..%%2F%s", "http://127.0.0.1/%s", "/api/any/http://127.0.0.1/%s"} {
			out = append(out, post(fmt.Sprintf(target, door), envelope, forged...))
		}
		for _, header := range []string{"X-Original-URL", "X-Rewrite-URL", "X-WAWS-Unencoded-URL", "X-Forwarded-Prefix", "X-Forwarded-Path"} {
			out = append(out, post("/api/any/a", envelope, append(forged, header+": /"+door)...))
		}
	}
	return out
}

// TestNothingReachesATrigger: on the host that Azure runs no request from outside arrives at the
// path of a trigger, and every one that arrives at all is marked as one of HTTP. What the host itself
// starts arrives there without these marks.
func TestNothingReachesATrigger(t *testing.T) {
	t.Parallel()
	real, sim := pair(t)
	for _, h := range []host{real, sim} {
		for _, raw := range outside() {
			got := h.send(t, raw)
			if got.Call == nil {
				continue // it did not arrive
			}
			if !strings.HasPrefix(got.Call.Target, "/api/") {
				t.Errorf("%.200q\narrived at %s", raw, got.Call.Target)
			}
			for _, mark := range []string{"x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", "x-ms-invocation-id: one GUID"} {
				if !slices.Contains(got.Call.Headers, mark) {
					t.Errorf("%.200q\narrived without %q: %q", raw, mark, got.Call.Headers)
				}
			}
		}
		for _, line := range h.seen(t) {
			if _, target, _ := strings.Cut(line, " "); !strings.HasPrefix(target, "/api/") {
				t.Errorf("the handler saw %q", line)
			}
		}
	}
	if err := real.real.Trigger(t.Context(), "revoke", "{}"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host's own trigger arrives", func() bool { return slices.Contains(real.seen(t), "POST /revoke") })
}

// TestDroppedCalls: both hosts send a call again whose connection the handler drops unanswered, as often as each other.
func TestDroppedCalls(t *testing.T) {
	t.Parallel()
	real, sim := pair(t)
	for _, tc := range []struct {
		name, raw string
		times     int
	}{
		{"GET", get("/api/any/get?drop"), 40},
		{"DELETE", request("DELETE", "/api/any/delete?drop", ""), 40},
		{"GET that says its length", request("GET", "/api/any/said?drop", "", "Content-Length: 0"), 10},
		{"GET whose answer is none", get("/api/any/noise?noise"), 10},
		{"chunked POST", chunked("/api/any/chunked?drop", "application/json", "{}"), 1},
		{"POST without a body", post("/api/any/empty?drop", ""), 10},
		{"POST with a body", post("/api/any/body?drop", "{}"), 1},
	} {
		target := strings.Fields(tc.raw)[1]
		for name, h := range map[string]host{"real": real, "stand-in": sim} {
			got := h.send(t, tc.raw)
			n := 0
			for _, line := range h.seen(t) {
				if strings.HasSuffix(line, " "+target) {
					n++
				}
			}
			if got.Status != 500 || n != tc.times {
				t.Errorf("%s at the %s host: sent %d times, then %d; want %d, 500", tc.name, name, n, got.Status, tc.times)
			}
		}
	}
}

// patience is how long anything may take on the slowest of machines. Only a test that fails waits for it.
const patience = 3 * time.Minute

// eventually waits until f reports true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}
