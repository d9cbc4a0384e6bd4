package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// watch stands before Resource Manager and notes what became of one security group, exactly: since writes to a group
// take effect one after the other, there is one look after the end of each.
type watch struct {
	to    http.Handler
	write time.Duration              // what a write takes
	group string                     // the id, in lower case
	look  func() map[netip.Addr]bool // the destinations that are open now
	mu    sync.Mutex
	looks sync.WaitGroup

	accepted   int                        // writes that were taken
	overlapped int                        // of these, those that were sent while another was under way
	ends       time.Time                  // of the last write
	first      time.Time                  // when the first was sent
	stood      map[netip.Addr][]time.Time // when a rule began to stand, and when it stopped, and so on
}

// ServeHTTP implements http.Handler.
func (t *watch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.look == nil || r.Method != http.MethodPut && r.Method != http.MethodDelete || !strings.HasPrefix(strings.ToLower(r.URL.Path), t.group) {
		t.to.ServeHTTP(w, r)
		return
	}
	out := httptest.NewRecorder()
	t.to.ServeHTTP(out, r)
	for name, values := range out.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(out.Code)
	_, _ = w.Write(out.Body.Bytes()) // the reader is a recorder
	if out.Code >= 300 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.accepted++; t.first.IsZero() {
		t.first = now
	}
	if now.Before(t.ends) {
		t.overlapped++
	} else {
		t.ends = now
	}
	t.ends = t.ends.Add(t.write)
	end := t.ends
	t.looks.Go(func() {
		time.Sleep(time.Until(end))
		t.note(end)
	})
}

// note compares what stands now with what stood after the write before.
func (t *watch) note(at time.Time) {
	open := t.look()
	t.mu.Lock()
	defer t.mu.Unlock()
	for a := range open {
		if len(t.stood[a])%2 == 0 {
			t.stood[a] = append(t.stood[a], at)
		}
	}
	for a, times := range t.stood {
		if !open[a] && len(times)%2 == 1 {
			t.stood[a] = append(times, at)
		}
	}
}

// gone returns when the rule of a destination stopped to stand; the first time where that was several times.
// The flags report whether it ever stood, and whether it does still.
func (t *watch) gone(a netip.Addr) (at time.Time, ever, still bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := t.stood[a]
	if len(times) > 1 {
		at = times[1]
	}
	return at, len(times) > 0, len(times)%2 == 1
}

// destinations returns those of the allow rules on a group that are in effect, but for the rule it began with.
func (w *world) destinations(n int) map[netip.Addr]bool {
	text, ok := w.arm.Effective(groupID(n).String())
	if !ok {
		w.tb.Fatalf("%s is gone", groupID(n).Name)
	}
	var doc struct {
		Properties struct {
			SecurityRules []struct {
				Name       string
				Properties struct {
					Access                     string
					DestinationAddressPrefix   string
					DestinationAddressPrefixes []string
				}
			}
		}
	}
	w.check(json.Unmarshal(text, &doc))
	open := map[netip.Addr]bool{}
	for _, r := range doc.Properties.SecurityRules {
		if r.Name == "AllowWeb" || r.Properties.Access != "Allow" {
			continue
		}
		for _, d := range append(r.Properties.DestinationAddressPrefixes, r.Properties.DestinationAddressPrefix) {
			if d == "" {
				continue
			}
			p, err := netip.ParsePrefix(d)
			if err != nil {
				a, err := netip.ParseAddr(d)
				w.check(err)
				p = netip.PrefixFrom(a, a.BitLen())
			}
			open[p.Addr()] = true
		}
	}
	return open
}
