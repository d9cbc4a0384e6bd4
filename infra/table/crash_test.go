package table_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

// sameState compares states; sources and addresses are compared by value.
var sameState = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}), cmp.Comparer(func(a, b jit.Sources) bool { return a.Equal(b) }),
	cmpopts.IgnoreFields(store.GrantRecord{}, "Version")}

// stops is a network that is gone from a store's nth write on, before that write
// takes effect or after: the process that ends there.
type stops struct {
	mu     sync.Mutex
	writes int
	at     int // 0 is never
	after  bool
}

func (s *stops) Do(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "$batch") {
		s.writes++
	}
	gone, last := s.at > 0 && s.writes >= s.at, s.at > 0 && s.writes == s.at
	s.mu.Unlock()
	if gone && !(last && s.after) {
		return nil, errors.New("the process has ended")
	}
	resp, err := http.DefaultClient.Do(r)
	if gone && err == nil {
		resp.Body.Close()
		return nil, errors.New("the process has ended")
	}
	return resp, err
}

func on(t *testing.T, url string, s *stops) *table.Store {
	t.Helper()
	options := impatient()
	options.Transport = s
	out, err := table.New(url, token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantHeaders compares the state of targets with what the grants' own rows say.
func wantHeaders(t *testing.T, s *table.Store, targets int) {
	t.Helper()
	grants, err := s.OpenGrants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.Known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, id := range ids {
		known[id.Key()] = true
	}
	var all []jit.ID
	var want []roster.State
	for n := range targets {
		all = append(all, nsg(n))
		want = append(want, coretest.StateOf(nsg(n), known[nsg(n).Key()], nil, grants))
	}
	got, err := s.StatesAtOnce(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, targets - 1} { // as the product asks; the others are read the same way
		state, err := s.State(t.Context(), nsg(n))
		if diff := cmp.Diff(got[n], state, sameState); err != nil || diff != "" {
			t.Fatalf("state of %s, %v (-all +one):\n%s", nsg(n).Name, err, diff)
		}
	}
	for n := range targets {
		if diff := cmp.Diff(want[n], got[n], sameState); diff != "" {
			t.Fatalf("state of %s (-headers +parts):\n%s", nsg(n).Name, diff)
		}
	}
}

// TestCrash ends the process at every write of grants at more targets than one
// transaction holds, before and after the write, and mends what is left as the
// sweep does: by storing every open grant again.
func TestCrash(t *testing.T) {
	const targets = 60
	rows := map[string]struct {
		before func(context.Context, *table.Store) (store.GrantRecord, error)
		call   func(context.Context, *table.Store, store.GrantRecord) error
	}{
		"insert": {
			before: func(context.Context, *table.Store) (store.GrantRecord, error) { return grantRecord(1, targets), nil },
			call: func(ctx context.Context, s *table.Store, g store.GrantRecord) error {
				_, err := s.InsertGrant(ctx, g, []store.Key{key("a", g)}, day)
				return err
			},
		},
		"update": {
			before: func(ctx context.Context, s *table.Store) (store.GrantRecord, error) {
				return s.InsertGrant(ctx, grantRecord(1, targets), []store.Key{key("a", grantRecord(1, 1))}, day)
			},
			call: func(ctx context.Context, s *table.Store, g store.GrantRecord) error {
				g.Grant = g.Grant.Revoke(day, jit.UserRequested)
				_, err := s.UpdateGrants(ctx, g)
				return err
			},
		},
		"close": {
			before: func(ctx context.Context, s *table.Store) (store.GrantRecord, error) {
				return s.InsertGrant(ctx, grantRecord(1, targets), []store.Key{key("a", grantRecord(1, 1))}, day)
			},
			call: func(ctx context.Context, s *table.Store, g store.GrantRecord) error {
				_, err := s.UpdateGrants(ctx, closed(g))
				return err
			},
		},
	}
	for name, row := range rows {
		for write := 1; write <= 4; write++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/write %d/after %t", name, write, after), func(t *testing.T) {
					_, url := simulator(t)
					healthy := on(t, url, &stops{})
					if err := healthy.Setup(t.Context()); err != nil {
						t.Fatal(err)
					}
					g, err := row.before(t.Context(), healthy)
					if err != nil {
						t.Fatal(err)
					}
					err = row.call(t.Context(), on(t, url, &stops{at: write, after: after}), g)
					if _, ok := errors.AsType[*store.Unavailable](err); err != nil && !ok {
						t.Fatalf("got %v, want *store.Unavailable", err)
					}
					if write < 3 && err == nil {
						t.Fatal("nothing was interrupted")
					}
					mended(t, healthy, g)
				})
			}
		}
	}
}

// mended wants what a crash left to be whole after each open grant is stored
// again, and gone once it is closed.
func mended(t *testing.T, s *table.Store, g store.GrantRecord) {
	t.Helper()
	open, err := s.OpenGrants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	named, err := s.FindKey(t.Context(), "ann", "a", day)
	read, found := s.Grant(t.Context(), g.Grant.ID)
	if err == nil && found != nil {
		t.Fatalf("the key names %s, which is not there: %v", named.Grant, found)
	}
	if err != nil && found == nil {
		t.Fatalf("the grant is there without its key: %v", err)
	}
	if found == nil && len(open) == 0 && !read.Grant.Closed() {
		t.Fatal("an open grant that OpenGrants does not give")
	}
	for _, g := range open {
		out, err := s.UpdateGrants(t.Context(), g)
		if err != nil {
			t.Fatalf("store it again: %v", err)
		}
		wantHeaders(t, s, len(g.Placements)+1)
		if _, err := s.UpdateGrants(t.Context(), closed(out[0])); err != nil {
			t.Fatalf("close it: %v", err)
		}
	}
	wantHeaders(t, s, len(g.Placements)+1)
	if found == nil {
		if last, err := s.Grant(t.Context(), g.Grant.ID); err != nil || !last.Grant.Closed() {
			t.Errorf("the grant at last: closed %t, %v", last.Grant.Closed(), err)
		}
	}
}

// TestCloseAfterCrash closes, without mending first, a grant of which parts are missing.
func TestCloseAfterCrash(t *testing.T) {
	_, url := simulator(t)
	s := on(t, url, &stops{})
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := grantRecord(1, 60)
	if _, err := on(t, url, &stops{at: 2}).InsertGrant(t.Context(), g, nil, day); err == nil {
		t.Fatal("nothing was interrupted")
	}
	open, err := s.OpenGrants(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("%d open grants, %v", len(open), err)
	}
	if _, err := s.UpdateGrants(t.Context(), closed(open[0])); err != nil {
		t.Fatalf("close: %v", err)
	}
	wantHeaders(t, s, 60)
}

// TestRestart reads with a new server and a new store what an earlier pair stored.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	serve := func(f func(*table.Store)) {
		sim, err := tablesim.Open(tablesim.Config{Dir: dir, Verify: func(string) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(sim)
		s := on(t, server.URL, &stops{})
		if err := s.Setup(t.Context()); err != nil {
			t.Error(err)
		}
		f(s)
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}
	var g store.GrantRecord
	serve(func(s *table.Store) {
		var err error
		if g, err = s.InsertGrant(t.Context(), grantRecord(1, 2), nil, day); err != nil {
			t.Error(err)
		}
	})
	serve(func(s *table.Store) {
		if _, err := s.UpdateGrants(t.Context(), closed(g)); err != nil {
			t.Errorf("close by the version of before: %v", err)
		}
	})
	serve(func(s *table.Store) {
		got, err := s.Grant(t.Context(), g.Grant.ID)
		if diff := cmp.Diff(closed(g), got, sameState); err != nil || diff != "" {
			t.Errorf("grant (-want +got), %v:\n%s", err, diff)
		}
		wantHeaders(t, s, 3)
	})
}
