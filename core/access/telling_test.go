package access_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/core/tell"
)

// told is a channel that keeps what it is told, unless it is down.
type told struct {
	mu   sync.Mutex
	down bool
	got  []string
}

func (c *told) Send(_ context.Context, card tell.Card) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return errors.New("down")
	}
	c.got = append(c.got, card.Title)
	return nil
}

// telling starts the service with a courier. Two channels get the same.
func (w *world) telling(channels ...*told) *tell.Courier {
	c := &tell.Courier{Outbox: w.store, Page: "https://app.example/api/portal", Now: w.now}
	for i, ch := range channels {
		c.Channels = append(c.Channels, tell.Named{Name: fmt.Sprint("channel-", i), Channel: ch})
	}
	w.startWith(func(p *core.Ports) { p.Courier = c })
	return c
}

// TestTellingAddsNoCall: with people to be told, every verb makes exactly the calls that it makes without; what delivers comes beside them.
func TestTellingAddsNoCall(t *testing.T) {
	count := func(channels ...*told) (calls, background map[string]int) {
		w := newWorld(t)
		w.enable("web", "app1")
		courier := (*tell.Courier)(nil)
		if len(channels) > 0 {
			courier = w.telling(channels...)
		}
		calls, background = map[string]int{}, map[string]int{}
		var mu sync.Mutex
		note := func(_ context.Context, s coretest.Step) error {
			mu.Lock()
			defer mu.Unlock()
			if s.After {
				return nil
			}
			if slices.Contains([]string{"Letters", "PutOff", "DropLetter"}, s.Op) {
				background[s.Op]++
			} else {
				calls[s.Op]++
			}
			return nil
		}
		w.store.Fault, w.bell.Fault = note, note
		one := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"))
		w.mustAsk(want("bob", 22, 2*time.Hour, "203.0.113.8", "web"))
		w.mustAsk(want("bob", 22, 3*time.Hour, "203.0.113.8", "web")) // takes the place of the one before
		if _, err := w.Revoke(t.Context(), who("alice"), one); err != nil {
			t.Fatal(err)
		}
		courier.Wait()
		return calls, background
	}
	silent, none := count()
	loud, some := count(&told{}, &told{})
	if diff := cmp.Diff(silent, loud); diff != "" {
		t.Errorf("telling changes the calls (-without +with):\n%s", diff)
	}
	if len(none) != 0 || some["DropLetter"] != 2*5 { // three openings and two endings, to each of two channels
		t.Errorf("in the background: without %v, with %v", none, some)
	}
	if calls := slices.Sorted(maps.Keys(silent)); !slices.Contains(calls, "InsertGrant") || !slices.Contains(calls, "Schedule") {
		t.Errorf("counted are %v", calls)
	}
}

// TestTold: what people are told of a window from its opening to its end, through a bus that reminds, and of a repair.
func TestTold(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	ch := &told{}
	courier := w.telling(ch)
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	for range 70 {
		w.mu.Lock()
		w.clock = w.clock.Add(time.Minute)
		w.mu.Unlock()
		for _, wake := range w.bell.Due(w.now()) {
			do := func() error { return w.Wake(t.Context(), wake.Grant, wake.Generation) }
			if wake.Remind {
				do = func() error { return courier.Remind(t.Context(), wake.Grant, wake.Generation) }
			}
			for range 2 { // delivered twice
				if err := do(); err != nil {
					t.Fatal(err)
				}
			}
		}
		courier.Wait()
	}
	w.cloud.SetRules(nsgID("web-nsg"), foreignRules()...)
	w.sweep()
	courier.Wait()
	want := []string{"Open: web port 22", "Ends soon: web port 22", "Ended: web port 22", "Repaired: rules were changed by others"}
	if diff := cmp.Diff(want, ch.got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestToldLater: while a channel is down everything works; the sweep says so, and tells when it is back.
func TestToldLater(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	ch := &told{down: true}
	courier := w.telling(ch)
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	courier.Wait() // until the first try has failed
	w.pass(15 * time.Minute)
	if n := len(found(w.sweep(), store.FindingUndelivered)); n != 1 {
		t.Errorf("%d findings", n)
	}
	if _, err := w.Revoke(t.Context(), who("alice"), id); err != nil {
		t.Fatal(err)
	}
	courier.Wait()
	ch.mu.Lock()
	ch.down = false
	ch.mu.Unlock()
	w.pass(2 * time.Hour)
	if n := len(found(w.sweep(), store.FindingUndelivered)); n != 0 {
		t.Errorf("%d findings although it is back", n)
	}
	courier.Wait()
	if want := []string{"Open: web port 22", "Ended: web port 22"}; !slices.Equal(ch.got, want) {
		t.Errorf("told %q, want %q", ch.got, want)
	}
}
