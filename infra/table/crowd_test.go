package table_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

// pastEach is how many grants each machine has had.
const pastEach = 10

// ofCrowd gives the policy of machine n, at a target of its own.
func ofCrowd(n int) store.PolicyRecord {
	p := policyRecord(n, 0)
	p.Placements = []store.Placement{{Target: nsg(n), Addresses: []netip.Addr{address(n)}}}
	return p
}

// pastOfCrowd gives grant n of those that are closed, one each half minute before the day.
func pastOfCrowd(n int) store.GrantRecord {
	return asked(n/pastEach, n, day.Add(-time.Duration(n+1)*30*time.Second))
}

// asked gives a new grant on machine n of the crowd, at its target.
func asked(n, id int, start time.Time) store.GrantRecord {
	g := store.GrantRecord{Grant: jit.Grant{ID: grantID(start, id), Requestor: "ann", Start: start, OpenBy: start.Add(jit.OpeningTimeout), Generation: 1,
		VMs: []jit.GrantVM{{VM: vm(n), Ports: []jit.Window{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), End: start.Add(time.Hour), Status: jit.Initiating}}}}}}
	g.Placements = []store.GrantPlacement{{Target: nsg(n), Addresses: map[string][]netip.Addr{vm(n).Key(): {address(n)}}}}
	return g
}

// grantID gives a UUID of version 7.
func grantID(start time.Time, id int) string {
	ms := start.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, id)
}

// ended gives the record after ten minutes of use.
func ended(g store.GrantRecord) store.GrantRecord {
	at := g.Grant.Start.Add(10 * time.Minute)
	g.Grant = g.Grant.Opened(g.Grant.Start).Revoke(at, jit.UserRequested).Settled(at)
	return g
}

// crowd puts policies and their past grants into the stand-in by the rows that the store would have written.
// The rows of the activity log are left out: see [chronicle].
func crowd(t testing.TB, s *table.Store, sim *tablesim.Server, from, to int) {
	t.Helper()
	const chunk = 5_000
	state, history := s.Tables()
	for ; from < to; from += chunk {
		var live, past [][]byte
		for n := from; n < min(from+chunk, to); n++ {
			rows, err := table.PolicyEntities(ofCrowd(n))
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, rows...)
			for i := range pastEach {
				closed, err := table.PastEntities(ended(pastOfCrowd(n*pastEach + i)))
				if err != nil {
					t.Fatal(err)
				}
				past = append(past, closed...)
			}
		}
		if err := sim.Load(state, live); err != nil {
			t.Fatal(err)
		}
		if err := sim.Load(history, past); err != nil {
			t.Fatal(err)
		}
	}
}

// chronicle appends entries to the chain of the day until it holds n, through the store.
func chronicle(t testing.TB, s *table.Store, from, to int) {
	t.Helper()
	for ; from < to; from += 490 {
		var entries []store.Entry
		for n := from; n < min(from+490, to); n++ {
			entries = append(entries, store.Entry{ID: fmt.Sprint("crowd", n), Time: day, Operation: store.OpRequest, Result: store.Succeeded, VM: vm(n), Requestor: "ann"})
		}
		if err := s.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrowdIsWhatTheStoreWrites stores the same through the store and by its rows, and finds the same rows.
func TestCrowdIsWhatTheStoreWrites(t *testing.T) {
	ctx := t.Context()
	written, _ := newStore(t)
	for n := range 3 {
		if _, err := written.PutPolicy(ctx, ofCrowd(n)); err != nil {
			t.Fatal(err)
		}
		for i := range pastEach {
			g := pastOfCrowd(n*pastEach + i)
			k := store.Key{Requestor: "ann", Value: g.Grant.ID, Digest: g.Grant.ID, Grant: g.Grant.ID, Expires: g.Grant.Start.Add(time.Minute)}
			g, err := written.InsertGrant(ctx, g, []store.Key{k}, g.Grant.Start)
			if err == nil {
				_, err = written.UpdateGrants(ctx, ended(g))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := written.DropKeys(ctx, day.Add(time.Hour), 1000); err != nil || n != 3*pastEach { // as sweeps do
		t.Fatalf("%d keys were removed, %v", n, err)
	}
	loaded, sim := newStore(t)
	crowd(t, loaded, sim, 0, 3)
	want, err := written.Rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := loaded.Rows(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 3*(4+pastEach) {
		t.Errorf("%d rows (-written +loaded):\n%s", len(want), diff)
	}
}
