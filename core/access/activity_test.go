package access_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// counting counts what is asked about each scope.
type counting struct {
	permit.Authority
	asked map[string]int
}

func (a counting) Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	a.asked[scope]++
	return a.Authority.Missing(ctx, who, scope, actions...)
}

// pages counts what is read of the log.
type pages struct {
	store.Activity
	read *int
}

func (p pages) Entries(ctx context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	*p.read++
	return p.Activity.Entries(ctx, f, cursor, limit)
}

// TestReadingTheLogAsksOnce: what a page of the log costs does not grow with its entries, and refusals about nothing that is managed
// hide nothing from anybody.
func TestReadingTheLogAsksOnce(t *testing.T) {
	const refusals = 100_000
	w := newWorld(t)
	w.enable("web", "app1")
	var entries []store.Entry
	for i := range refusals {
		entries = append(entries, store.Entry{ID: fmt.Sprint("refused ", i), Time: noon.Add(time.Hour + time.Duration(i)*time.Millisecond), Operation: store.OpDisable, Result: store.Refused})
	}
	for i := range 1000 {
		e := store.Entry{ID: fmt.Sprint("open ", i), Time: noon.Add(time.Minute + time.Duration(i)), Operation: store.OpOpen, Result: store.Succeeded, VM: vmID([]string{"web", "app1"}[i%2])}
		entries = append(entries, e)
	}
	if err := w.mem.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		filter      store.EntryFilter
		asked, read int
		first       store.Operation
	}{
		"admin":     {store.EntryFilter{}, 1, 1, store.OpDisable},
		"webreader": {store.EntryFilter{}, 3, 1, store.OpOpen}, // not of all; web, app1
		"openings":  {store.EntryFilter{Result: store.Succeeded, Operation: store.OpOpen}, 3, 1, store.OpOpen},
		"nobody":    {store.EntryFilter{}, 3, 2, ""},
	} {
		read := 0
		a := counting{roles{"admin": at("/subscriptions/"+sub, permit.ActionRead), "openings": at("/subscriptions/"+sub, permit.ActionRead), "webreader": at(vmID("web").String(), permit.ActionRead), "nobody": nil}, map[string]int{}}
		w.startWith(func(p *core.Ports) { p.Activity = pages{w.store, &read} })
		got, _, err := w.permitted(a).Entries(t.Context(), person(name), tc.filter, "", 1000)
		if err != nil {
			t.Fatal(name, err)
		}
		if (len(got) > 0) != (tc.first != "") || len(got) > 0 && got[0].Operation != tc.first {
			t.Errorf("%s is shown %d entries", name, len(got))
		}
		for scope, n := range a.asked {
			if n != 1 {
				t.Errorf("%s: asked %d times about %s", name, n, scope)
			}
		}
		if len(a.asked) != tc.asked || read != tc.read {
			t.Errorf("%s: asked about %d scopes and read %d pages, want %d and %d: %v", name, len(a.asked), read, tc.asked, tc.read, a.asked)
		}
	}
}
