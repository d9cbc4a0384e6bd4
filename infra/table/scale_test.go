package table_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/access"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

var scale = flag.Int("scale", 200, "the most policies that TestARequestDoesNotGrow stores; ten times as many past grants come with them")

// crowd stores policies, each at a target of its own, and ten past grants for each.
func crowd(t *testing.T, s *table.Store, from, to int) {
	t.Helper()
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for n := from + k; n < to; n += 8 {
				p := policyRecord(n, 0)
				p.Placements = []access.Placement{{Target: nsg(n), Addresses: nil}}
				if _, err := s.PutPolicy(t.Context(), p); err != nil {
					t.Error(err)
					return
				}
				for i := range 10 {
					g := grantRecord(n*10+i, 0)
					g.Grant.Start = day.Add(-time.Duration(n*10+i) * time.Second)
					g, err := s.InsertGrant(t.Context(), g, nil, day)
					if err == nil {
						_, err = s.UpdateGrants(t.Context(), closed(g))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// request is what a request and its end ask of the store, in the order in which package access does.
func request(t *testing.T, s *table.Store, n int) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Policy(ctx, vm(1))
	must(err)
	g := grantRecord(1<<30+n, 2)
	if _, err := s.FindKey(ctx, "ann", fmt.Sprint("digest", n), day); err == nil {
		t.Fatal("a key is known that nobody used")
	}
	for range 3 { // the preview, the round, and the look after its write
		_, err = s.State(ctx, nsg(1))
		must(err)
	}
	must(s.Append(ctx, access.Entry{ID: fmt.Sprint("request", n), Time: day, Operation: access.OpRequest, VM: vm(1), Grant: g.Grant.ID}))
	g, err = s.InsertGrant(ctx, g, []access.Key{key(fmt.Sprint("digest", n), g)}, day)
	must(err)
	g, err = s.Grant(ctx, g.Grant.ID)
	must(err)
	g.Grant = g.Grant.Opened(day)
	updated, err := s.UpdateGrants(ctx, g)
	must(err)
	must(s.Append(ctx, access.Entry{ID: fmt.Sprint("close", n), Time: day, Operation: access.OpClose, VM: vm(1), Grant: g.Grant.ID}))
	_, err = s.UpdateGrants(ctx, closed(updated[0]))
	must(err)
}

// TestARequestDoesNotGrow holds that what is stored of others costs a request nothing: the same operations
// and the same entities read whatever there is. `-scale 100000 -v` prints how long it takes with as many policies and a million past
// grants; the times are for people, the counts are held.
func TestARequestDoesNotGrow(t *testing.T) {
	s, sim := store(t)
	crowd(t, s, 0, 2)
	request(t, s, 0) // the chain of the day begins
	var first counts
	var read uint64
	stored := 2
	for _, n := range slices.Compact([]int{*scale / 100, *scale / 10, *scale}) {
		crowd(t, s, stored, n)
		stored = max(stored, n)
		sim.ResetStats()
		began := time.Now()
		request(t, s, n)
		took, stats := time.Since(began), sim.Stats()
		t.Logf("%7d policies, %8d past grants: %d operations, %d entities read, %s", n, 10*n, total(stats.Operations), stats.EntitiesRead, took.Round(time.Microsecond))
		if first == nil {
			first, read = stats.Operations, uint64(stats.EntitiesRead)
			continue
		}
		if diff := cmp.Diff(first, stats.Operations); diff != "" || uint64(stats.EntitiesRead) != read {
			t.Errorf("with %d policies a request reads %d entities instead of %d; operations (-before +now):\n%s", n, stats.EntitiesRead, read, diff)
		}
	}
}

func total(c map[tablesim.Operation]int) int {
	n := 0
	for v := range maps.Values(c) {
		n += v
	}
	return n
}
