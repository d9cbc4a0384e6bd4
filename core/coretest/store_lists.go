package coretest

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// nasty are texts that end a string, or a query, in some syntax.
var nasty = []string{
	"' or PartitionKey ne '", "'", "''", "x' or true or 'x' eq 'x", "%27 or 1 eq 1", "a&$filter=true", "\\", "/", "#?",
	"\"; drop", "\u2019", "*", "null", "d\r\nX-Header: y", "\x00",
}

var badCursors = []string{"x", "!", "====", "1", base64.RawURLEncoding.EncodeToString([]byte("1 2")), base64.RawURLEncoding.EncodeToString([]byte("9 -1 x")),
	base64.RawURLEncoding.EncodeToString([]byte("1 99999999999999999999999 x")), "' or 1 eq 1"}

func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*jit.Error](err); !ok {
		t.Errorf("%s: got error %v, want a *jit.Error", what, err)
	}
}

// pages reads a whole list in pages of the given size.
func pages[T any](t *testing.T, limit int, list func(cursor string, limit int) ([]T, string, error)) []T {
	t.Helper()
	var all []T
	cursor := ""
	for n := range 100 {
		items, next, err := list(cursor, limit)
		if err != nil {
			t.Fatalf("page %d: %v", n, err)
		}
		if len(items) > limit {
			t.Fatalf("page %d has %d items, the limit is %d", n, len(items), limit)
		}
		all = append(all, items...)
		if cursor = next; cursor == "" {
			return all
		}
	}
	t.Fatal("a list that does not end")
	return nil
}

// TestHistory is the suite of store.History.
func TestHistory(t *testing.T, open func(*testing.T) Store) {
	t.Run("cursors", func(t *testing.T) {
		s := open(t)
		for _, c := range badCursors {
			_, _, err := s.ListGrants(t.Context(), store.GrantFilter{}, c, 10)
			wantRefused(t, fmt.Sprintf("cursor %q", c), err)
		}
		got, next, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 10)
		if err != nil || len(got) != 0 || next != "" {
			t.Errorf("list of an empty store: %v, %q, %v", got, next, err)
		}
	})
	t.Run("filters", func(t *testing.T) {
		s := open(t)
		want := fillHistory(t, s)
		for _, text := range nasty {
			for _, f := range []store.GrantFilter{{VM: text}, {Status: text}, {Requestor: text}} {
				if got := pages(t, 10, listGrants(t, s, f)); len(got) != 0 {
					t.Errorf("filter %q gave %d grants", f, len(got))
				}
			}
		}
		starts := func(n int) time.Time { return want[n].Start }
		rows := map[string]store.GrantFilter{
			"all":              {},
			"machine":          {VM: machine(2).Key()},
			"no machine":       {VM: machine(99).Key()},
			"initiating":       {Status: "Initiating"},
			"initiated":        {Status: "Initiated"},
			"revoked":          {Status: "Revoked"},
			"status by case":   {Status: "revoked"},
			"requestor":        {Requestor: "ann@example.com"},
			"any casing":       {Requestor: "ANN@Example.com"},
			"object id":        {Object: objectOne},
			"object, upper":    {Object: strings.ToUpper(objectOne)},
			"unknown object":   {Object: "' or Object ne '"},
			"quoted requestor": {Requestor: "o'neil@example.com"},
			"from":             {From: starts(4)},
			"to":               {To: starts(4)},
			"from to":          {From: starts(9), To: starts(3)},
			"nothing":          {From: starts(3), To: starts(3)},
			"before all":       {To: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)},
			"after all":        {From: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
			"everything":       {VM: machine(2).Key(), Status: "Revoked", Requestor: "o'neil@example.com", From: starts(len(want) - 1), To: starts(0)},
		}
		for name, f := range rows {
			var matching []jit.Grant
			for _, g := range want {
				if matchesGrant(f, g) {
					matching = append(matching, g)
				}
			}
			for _, limit := range []int{1, 3, 1000} {
				wantSame(t, fmt.Sprintf("%s in pages of %d", name, limit), pages(t, limit, listGrants(t, s, f)), matching)
			}
		}
	})
	t.Run("closing between pages", func(t *testing.T) {
		s := open(t)
		fillHistory(t, s)
		before := pages(t, 1000, listGrants(t, s, store.GrantFilter{}))
		first, cursor, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())) {
			must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closedAt(g, morning.Add(time.Minute))))
		}
		rest := pages(t, 3, func(c string, limit int) ([]jit.Grant, string, error) {
			if c == "" {
				c = cursor
			}
			return s.ListGrants(t.Context(), store.GrantFilter{}, c, limit)
		})
		var got, want []string
		for _, g := range append(first, rest...) {
			got = append(got, g.ID)
		}
		for _, g := range before {
			want = append(want, g.ID)
		}
		wantSame(t, "ids over all pages", got, want)
	})
}

func listGrants(t *testing.T, s Store, f store.GrantFilter) func(string, int) ([]jit.Grant, string, error) {
	return func(cursor string, limit int) ([]jit.Grant, string, error) {
		return s.ListGrants(t.Context(), f, cursor, limit)
	}
}

// fillHistory stores grants over several days, every third of them open, and returns them newest first.
func fillHistory(t *testing.T, s Store) []jit.Grant {
	t.Helper()
	var out []jit.Grant
	for n := range 14 {
		// Some share a day, two share a start, one has no UUID.
		start := morning.Add(-time.Duration(n/2) * 9 * time.Hour).Add(-time.Duration(n%3/2) * time.Millisecond)
		g := grantOf(start, n%4, n%3)
		g.Grant.ID = idAt(start, n)
		if n == 7 {
			g.Grant.ID = "not-a-uuid"
		}
		if n%5 == 0 {
			g.Grant.Requestor, g.Grant.RequestorID = "ann@example.com", subscriptionTwo+"/"+objectOne
		}
		rec := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), g, nil, start))
		switch n % 3 {
		case 1:
			rec.Grant = rec.Grant.Opened(start)
			rec = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), rec))[0]
		case 2:
			rec = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closedAt(rec, start.Add(time.Minute))))[0]
		}
		out = append(out, rec.Grant)
	}
	var items []placed[jit.Grant]
	for _, g := range out {
		items = append(items, placed[jit.Grant]{g.Start, g.ID, g})
	}
	sorted, _, err := pageOf(items, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	return sorted
}

// TestActivity is the suite of store.Activity.
func TestActivity(t *testing.T, open func(*testing.T) Store) {
	t.Run("cursors", func(t *testing.T) {
		s := open(t)
		for _, c := range badCursors {
			_, _, err := s.Entries(t.Context(), store.EntryFilter{}, c, 10)
			wantRefused(t, fmt.Sprintf("cursor %q", c), err)
		}
		got, next, err := s.Entries(t.Context(), store.EntryFilter{}, "", 10)
		if err != nil || len(got) != 0 || next != "" {
			t.Errorf("list of an empty log: %v, %q, %v", got, next, err)
		}
		if err := s.Append(t.Context()); err != nil {
			t.Errorf("append of nothing: %v", err)
		}
	})
	t.Run("once each", func(t *testing.T) {
		s := open(t)
		entries := manyEntries(130)
		first := entries[:120]
		if err := s.Append(t.Context(), first...); err != nil {
			t.Fatal(err)
		}
		changed := entries[3]
		changed.Message, changed.Time = "told again", changed.Time.Add(time.Second)
		// Appended again: one by one, among new ones, and twice in one call.
		for _, again := range [][]store.Entry{{changed}, first, append(append([]store.Entry{changed}, entries[115:]...), entries[129])} {
			if err := s.Append(t.Context(), again...); err != nil {
				t.Fatal(err)
			}
		}
		got := pages(t, 1000, listEntries(t, s, store.EntryFilter{}))
		wantSame(t, "log", got, newestFirst(entries))
	})
	t.Run("once whatever the day", func(t *testing.T) {
		s := open(t)
		since := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
		var want []store.Entry
		for i, first := range []time.Duration{0, 2 * time.Second, 25 * time.Hour} { // told first on the day, the next and the one after
			e := manyEntries(1)[0]
			e.ID, e.Since, e.Time = fmt.Sprint("event ", i), since, since.Add(first)
			want = append(want, e)
			for _, again := range []time.Duration{0, 0, 3 * time.Second, 24 * time.Hour, 80 * time.Hour} {
				if err := s.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				e.Time = e.Time.Add(again)
			}
		}
		for i := range want {
			want[i].Since = time.Time{} // it is not kept
		}
		got := pages(t, 1000, listEntries(t, s, store.EntryFilter{}))
		for i := range got {
			got[i].Since = time.Time{}
		}
		wantSame(t, "log", got, newestFirst(want))
	})
	t.Run("at once", func(t *testing.T) {
		s := open(t)
		entries := manyEntries(20)
		done := race(6, func(n int) (int, error) { return n, s.Append(t.Context(), entries[n:n+10]...) })
		if done.odd != nil || len(done.values) != 6 {
			t.Fatalf("%d of 6 appended, error %v", len(done.values), done.odd)
		}
		wantSame(t, "log", pages(t, 7, listEntries(t, s, store.EntryFilter{})), newestFirst(entries[:15]))
	})
	t.Run("filters", func(t *testing.T) {
		s := open(t)
		entries := manyEntries(24)
		for i, text := range nasty[:len(nasty)-1] {
			entries[i].Requestor, entries[i].Message, entries[i].Justification = text, text, text
		}
		entries[3].Result, entries[4].Result, entries[7].Result = store.Refused, store.Failed, store.Refused
		if err := s.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		rows := map[string]store.EntryFilter{
			"all":                   {},
			"subscription":          {Subscription: subscriptionOne},
			"other subscription":    {Subscription: subscriptionTwo},
			"located":               {Located: true},
			"located there":         {Located: true, Subscription: subscriptionOne},
			"unknown subscription":  {Subscription: "' or Subscription ne '"},
			"machine":               {VM: machine(2).Key()},
			"operation":             {Operation: store.OpSweep},
			"result":                {Result: store.Refused},
			"operation and result":  {Operation: store.OpOpen, Result: store.Succeeded},
			"object id":             {Object: objectTwo},
			"object id, any casing": {Object: strings.ToUpper(objectTwo)},
			"unknown object id":     {Object: "' or Object ne '"},
			"name, any casing":      {Requestor: "ANN@example.COM"},
			"name and object id":    {Requestor: "ann@example.com", Object: objectOne},
			"from":                  {From: entries[9].Time},
			"to":                    {To: entries[9].Time},
			"from to":               {From: entries[4].Time, To: entries[20].Time},
			"all of it":             {Subscription: subscriptionOne, VM: machine(2).Key(), Requestor: "ann@example.com", Object: objectOne, Operation: store.OpOpen, From: entries[0].Time, To: entries[23].Time},
			"machine by any casing": {VM: machine(2).String()},
		}
		for _, text := range nasty {
			rows["requestor "+text] = store.EntryFilter{Requestor: text}
			rows["operation "+text] = store.EntryFilter{Operation: store.Operation(text)}
			rows["result "+text] = store.EntryFilter{Result: store.Result(text)}
		}
		for name, f := range rows {
			var matching []store.Entry
			for _, e := range entries {
				if matchesEntry(f, e) {
					matching = append(matching, e)
				}
			}
			for _, limit := range []int{5, 1000} {
				wantSame(t, fmt.Sprintf("%q in pages of %d", name, limit), pages(t, limit, listEntries(t, s, f)), newestFirst(matching))
			}
		}
	})
}

// TestVerifier is the suite of store.Verifier, as far as it can be tested through the adapter: the adapter's own
// tests break chains.
func TestVerifier(t *testing.T, open func(*testing.T) Store) {
	t.Run("nothing", func(t *testing.T) {
		s := open(t)
		for _, sub := range []string{"", subscriptionOne} {
			wantSame(t, "an empty chain", must[store.VerifyResult](t)(s.Verify(t.Context(), sub, morning)), store.VerifyResult{})
		}
	})
	t.Run("whole", func(t *testing.T) {
		s := open(t)
		entries := manyEntries(30)
		for i, text := range nasty[:len(nasty)-1] {
			entries[i].Message, entries[i].Justification, entries[i].Requestor = text, text+text, text
		}
		type chain struct{ sub, day string }
		want := map[chain]int{}
		heads := map[chain]string{}
		for i := 0; i < len(entries); i += 3 { // in parts, so that chains are continued
			if err := s.Append(t.Context(), entries[i:i+3]...); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(t.Context(), entries[:9]...); err != nil { // appended again
			t.Fatal(err)
		}
		for _, e := range entries {
			want[chain{cmp.Or(e.VM.Subscription, e.Target.Subscription), e.Time.Format(time.DateOnly)}]++
		}
		for c, n := range want {
			at := must[time.Time](t)(time.Parse(time.DateOnly, c.day))
			got := must[store.VerifyResult](t)(s.Verify(t.Context(), strings.ToUpper(c.sub), at.Add(23*time.Hour)))
			if got.FirstBroken != nil || got.Entries != n || len(got.Head) != 64 {
				t.Errorf("chain %v: %+v, want %d entries and none broken", c, got, n)
			}
			heads[c] = got.Head
		}
		more := entries[0]
		more.ID += "more"
		if err := s.Append(t.Context(), more); err != nil {
			t.Fatal(err)
		}
		c := chain{more.VM.Subscription, more.Time.Format(time.DateOnly)}
		if got := must[store.VerifyResult](t)(s.Verify(t.Context(), c.sub, more.Time)); got.Head == heads[c] || got.Entries != want[c]+1 {
			t.Errorf("one entry more gives %+v, before it the head was %s", got, heads[c])
		}
	})
}

func listEntries(t *testing.T, s Store, f store.EntryFilter) func(string, int) ([]store.Entry, string, error) {
	return func(cursor string, limit int) ([]store.Entry, string, error) {
		return s.Entries(t.Context(), f, cursor, limit)
	}
}

func newestFirst(entries []store.Entry) []store.Entry {
	var items []placed[store.Entry]
	for _, e := range entries {
		items = append(items, placed[store.Entry]{e.Time, e.ID, e})
	}
	out, _, _ := pageOf(items, "", 1000) // it cannot fail without a cursor
	return out
}

// ann returns one of two people who have a name in common.
func ann(i int) jit.Actor {
	return jit.Actor{Tenant: subscriptionTwo, Object: []string{objectOne, objectTwo}[i%2], Kind: jit.Person, Client: subscriptionOne, SignIn: "pwd mfa", Address: netip.MustParseAddr("2001:db8::7")}
}

const (
	objectOne = "eeeeeeee-0000-4000-8000-000000000001"
	objectTwo = "eeeeeeee-0000-4000-8000-000000000002"
)

// manyEntries returns entries over several days, no two of the same time.
func manyEntries(n int) []store.Entry {
	var out []store.Entry
	for i := range n {
		e := store.Entry{ID: fmt.Sprintf("%s/1/%d/it's", idAt(morning, i), i), Time: morning.Add(time.Duration(i) * 3 * time.Hour).Add(time.Duration(i)),
			Operation: store.OpOpen, Result: store.Succeeded, VM: machine(i % 5), Target: nsg(i % 3), Requestor: "ann@example.com", Actor: ann(i), Grant: idAt(morning, i),
			Ports: []uint16{22, 3389}, Sources: []string{"203.0.113.7", "2001:db8::/32"}, End: morning.Add(time.Hour), Justification: "règle", Reason: "Expired",
			Message: "it's", Correlation: "c-1"}
		switch i % 6 {
		case 1:
			e.VM = jit.ID{}
		case 2:
			e.VM.Subscription = subscriptionTwo
		case 3:
			e = store.Entry{ID: e.ID, Time: e.Time, Operation: store.OpSweep, Result: store.Failed, Requestor: "portcullis"}
		}
		out = append(out, e)
	}
	return out
}
