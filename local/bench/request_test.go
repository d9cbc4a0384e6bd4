package bench

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// shape is a request: machines behind so many groups, and ports of each.
type shape struct{ machines, groups, ports int }

// measured is what one request cost and how long it took, opening and closing apart.
type measured struct {
	open, close         cost
	opened, closed      time.Duration // until every rule was confirmed
	boundOpen           time.Duration // the slowest write
	opensLeft, failures int           // rules that stand after all ended; requests that failed
}

// ours makes runs requests of a shape one after the other, each from its opening to its closing. The first finds nothing
// in the app's memory, the later ones what the one before left there.
func ours(t *testing.T, s shape, m mode, low, high time.Duration, runs int) []measured {
	return oursIn(t, setting{seed: 1}, s, m, low, high, runs)
}

// oursIn is ours in a world of a setting.
func oursIn(t *testing.T, in setting, s shape, m mode, low, high time.Duration, runs int) []measured {
	in.estate = estate{machines: s.machines, groups: s.groups}
	var out []measured
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, in)
		w.enable(s.machines, s.ports)
		time.Sleep(30 * time.Second) // the tokens that this took come back
		defer w.serve(w.hostWidth(), w.revoke)()
		for range runs {
			var one measured
			one.boundOpen = armTrip + max(m.retryAfter, w.draw(low, high, m))
			before, began := w.cost(), time.Now()
			w.call(http.MethodPost, "/api/request", request(0, s.machines, s.ports, length, "198.51.100.7"))
			one.opened, one.open = time.Since(began), w.cost().minus(before)
			if got := w.allows(); got != s.groups {
				t.Fatalf("%d rules stand after the request, want one for each of %d groups", got, s.groups)
			}
			before = w.cost()
			time.Sleep(time.Until(began.Add(length)) + settled)
			one.closed = w.lastWrite().Sub(began.Add(length))
			one.close, one.opensLeft = w.cost().minus(before), w.allows()
			out = append(out, one)
		}
	})
	return out
}

// How long the windows of a request are, and how long after their end nothing can be under way any more.
const (
	length  = 5 * time.Minute
	settled = 5 * time.Minute
)

// hostWidth is how many messages the host hands to the app at a time, as host.json says.
func (w *world) hostWidth() int {
	w.tb.Helper()
	text, err := os.ReadFile("../../host.json")
	w.check(err)
	var host struct {
		Extensions struct {
			ServiceBus struct{ MaxConcurrentCalls int }
		}
	}
	w.check(json.Unmarshal(text, &host))
	if host.Extensions.ServiceBus.MaxConcurrentCalls < 1 {
		w.tb.Fatal("host.json does not say how many messages are handled at a time")
	}
	return host.Extensions.ServiceBus.MaxConcurrentCalls
}

// peers is ours for the obvious design.
func peers(t *testing.T, s shape, m mode, low, high time.Duration, runs int, best bool) []measured {
	var out []measured
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setting{estate: estate{machines: s.machines, groups: s.groups}, seed: 1})
		p := w.newPeer(best)
		defer w.serve(p.width(), p.close)()
		for range runs {
			var one measured
			one.boundOpen = armTrip + max(m.retryAfter, w.draw(low, high, m))
			before, began := w.cost(), time.Now()
			end := began.Add(24 * time.Hour) // far enough for all to be open by then
			one.failures = p.open(t.Context(), 0, s.machines, s.ports, end)
			one.opened, one.open = time.Since(began), w.cost().minus(before)
			before = w.cost()
			time.Sleep(time.Until(end) + 24*time.Hour)
			one.closed = time.Unix(0, p.last.Load()).Sub(end)
			one.close, one.opensLeft = w.cost().minus(before), w.allows()
			out = append(out, one)
		}
	})
	return out
}
