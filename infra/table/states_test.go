package table_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

// inOrder gives the targets of a crowd of n as they stand in the table.
func inOrder(s *table.Store, n int) []jit.ID {
	var out []jit.ID
	for i := range n {
		out = append(out, nsg(i))
	}
	slices.SortFunc(out, func(a, b jit.ID) int { return strings.Compare(s.Order(a.Key()), s.Order(b.Key())) })
	return out
}

func every(all []jit.ID, nth int) []jit.ID {
	var out []jit.ID
	for i := 0; i < len(all); i += nth {
		out = append(out, all[i])
	}
	return out
}

// same holds that many states are those of the targets by themselves.
func same(t *testing.T, s *table.Store, targets []jit.ID, got []roster.State, err error) {
	t.Helper()
	if err != nil || len(got) != len(targets) {
		t.Fatalf("%d states of %d targets, %v", len(got), len(targets), err)
	}
	for i, target := range targets {
		if diff := cmp.Diff(must(s.State(t.Context(), target)), got[i], sameState); diff != "" {
			t.Fatalf("state of %s (-by itself +among many):\n%s", target.Name, diff)
		}
	}
}

// TestStatesCost holds what it costs to read what is stored of many targets: pages where they are neighbours, and never more than a query for each and
// one to see how far apart they are.
func TestStatesCost(t *testing.T) {
	sim, url := simulator(t)
	s := fresh(t, url, impatient())
	const n = 3000
	crowd(t, s, sim, 0, n)
	all := inOrder(s, n)
	for _, row := range []struct {
		name       string
		knowing    bool // how many rows there are
		targets    []jit.ID
		calls      int
		mostToRead int
	}{
		{"none", true, nil, 0, 0},
		{"one", true, all[:1], 1, 1},
		{"all", false, all, 4, n + 3}, // the last of a page is read anew, since more may stand behind it
		{"all, once more", true, all, 4, n + 3},
		{"four hundred neighbours", true, all[1000:1400], 1, 400},
		{"two neighbours", true, all[7:9], 1, 2},
		{"every 50th", true, every(all, 50), 4, n + 3},
		{"every 300th", true, every(all, 300), 10, 10},
		{"every 300th, before it is known how far apart they are", false, every(all, 300), 10, 1010},
		{"the first and the last", true, []jit.ID{all[n-1], all[0]}, 2, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			of := s
			if !row.knowing {
				of = fresh(t, url, impatient())
			}
			sim.ResetStats()
			got, err := of.States(t.Context(), row.targets)
			stats := sim.Stats()
			if total(stats.Operations) > row.calls || stats.EntitiesRead > row.mostToRead {
				t.Errorf("%d targets cost %v and read %d rows, want at most %d queries and %d", len(row.targets), stats.Operations, stats.EntitiesRead, row.calls, row.mostToRead)
			}
			if len(row.targets) <= 400 {
				same(t, s, row.targets, got, err)
			}
			_, _ = s.States(t.Context(), all[:500]) // now it is known
		})
	}
}

// TestStatesOverPages: pages that end anywhere, also within the rows of one target, and pages with nothing in them.
func TestStatesOverPages(t *testing.T) {
	sim, url := simulator(t)
	s := fresh(t, url, impatient())
	const n = 40
	for i := range n {
		if _, err := s.PutPolicy(t.Context(), ofCrowd(i)); err != nil {
			t.Fatal(err)
		}
		for id := range i % 5 { // of several rows
			if _, err := s.InsertGrant(t.Context(), asked(i, 100*i+id, day), nil, day); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := inOrder(s, n+2) // of two nothing is stored
	for page := 1; page <= 9; page++ {
		t.Run(fmt.Sprint("pages of ", page), func(t *testing.T) {
			sim.SetMaxPage(page)
			of := fresh(t, url, impatient())
			sim.ResetStats()
			got, err := of.States(t.Context(), all)
			if calls := total(sim.Stats().Operations); calls > 9*len(all) {
				t.Errorf("%d calls for %d targets", calls, len(all))
			}
			same(t, s, all, got, err)
		})
	}
	sim.SetMaxPage(0)
	for empty := 1; empty <= 3; empty++ {
		sim.EmptyPages(empty)
		got, err := fresh(t, url, impatient()).States(t.Context(), all)
		sim.ClearFailures()
		same(t, s, all, got, err)
	}
}

// TestStatesFail: an error of any of the calls is told, and nothing passes for a state.
func TestStatesFail(t *testing.T) {
	sim, url := simulator(t)
	crowd(t, fresh(t, url, impatient()), sim, 0, 1500)
	targets := append(inOrder(fresh(t, url, impatient()), 1500), nsg(9999)) // of which nothing is stored, which one more call tells
	for calls := range 4 {
		o := impatient()
		o.Transport = &downAfter{sim: sim, left: calls}
		got, err := fresh(t, url, o).States(t.Context(), targets)
		sim.SetDown(false)
		if calls == 3 { // two pages and the mark
			if err != nil || len(got) != len(targets) || got[1500].Known {
				t.Errorf("%d states, %v", len(got), err)
			}
			continue
		}
		if _, down := errors.AsType[*store.Unavailable](err); !down {
			t.Errorf("after %d calls: %d states, %v", calls, len(got), err)
		}
	}
}

// downAfter lets so many calls through, and then the table is down.
type downAfter struct {
	sim  *tablesim.Server
	left int
}

func (d *downAfter) Do(r *http.Request) (*http.Response, error) {
	if d.left--; d.left < 0 {
		d.sim.SetDown(true)
	}
	return http.DefaultClient.Do(r)
}

// fresh opens a store that knows nothing yet.
func fresh(t *testing.T, url string, o table.Options) *table.Store {
	t.Helper()
	s := must(table.New(url, token{}, o))
	if _, ok := o.Transport.(*downAfter); !ok {
		if err := s.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
