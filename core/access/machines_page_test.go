package access_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestMachinePages: every machine is on one page, in every order, while machines come and go elsewhere.
func TestMachinePages(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.place(fmt.Sprintf("VM-%02d", i), "apps-nsg", fmt.Sprintf("10.0.2.%d", i))
	}
	for _, sort := range []inventory.MachineSort{"", inventory.SortByState, inventory.SortByRequests, inventory.SortByLastAccess, inventory.SortBySubscription, inventory.SortByResourceGroup} {
		for _, descending := range []bool{false, true} {
			w.leap(time.Minute)
			q := inventory.MachineQuery{Sort: sort, Descending: descending}
			all := briefly(w.machines(q).Machines)
			var got []string
			q.Limit = 7
			for range 10 {
				page := w.machines(q)
				got = append(got, briefly(page.Machines)...)
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
				w.leap(time.Minute)
				w.place("aaa", "apps-nsg", "10.0.3.1") // before all that follows, where names decide
			}
			w.cloud.RemoveMachine(vmID("aaa"))
			got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "aaa") })
			if diff := cmp.Diff(all, got); diff != "" || len(all) != 33 {
				t.Errorf("%s %t (-whole +pages):\n%s", sort, descending, diff)
			}
		}
	}
}

// TestMachinesReadThePastOnce: the history is read once, then only what is new.
func TestMachinesReadThePastOnce(t *testing.T) {
	w, _ := inventoryWorld(t)
	counting := &countingHistory{History: w.mem}
	w.startWith(func(p *core.Ports) { p.History = counting })
	for i := range 3 {
		w.mustAsk(want(fmt.Sprint("user", i), 22, time.Hour, fmt.Sprintf("203.0.113.%d", i), "web"))
		w.pass(26 * time.Hour)
	}
	web := inventory.MachineQuery{VM: vmID("web").Key()}
	if got := w.machines(web).Machines[0]; got.Requests != 3 || counting.grants != 3 {
		t.Errorf("%d requests, %d grants read", got.Requests, counting.grants)
	}
	calls := counting.calls
	w.machines(web)
	if counting.calls != calls {
		t.Error("read again at once")
	}
	w.leap(11 * time.Second)
	w.machines(web)
	if counting.grants != 3 || counting.calls != calls+1 {
		t.Errorf("%d grants in %d calls", counting.grants, counting.calls-calls)
	}
}

type countingHistory struct {
	store.History
	mu            sync.Mutex
	calls, grants int
}

func (c *countingHistory) ListGrants(ctx context.Context, f store.GrantFilter, cursor string, limit int) ([]jit.Grant, string, error) {
	out, next, err := c.History.ListGrants(ctx, f, cursor, limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.grants = c.calls+1, c.grants+len(out)
	return out, next, err
}

// TestMachinesAtScale measures a page of 10,000 machines of which a tenth is configured, beside ARM's own time.
func TestMachinesAtScale(t *testing.T) {
	w := newWorld(t)
	const machines = 10_000
	for i := range machines {
		w.place(fmt.Sprintf("vm-%05d", i), fmt.Sprintf("nsg-%03d", i%100), fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&255, i&255))
	}
	for i := range 100 {
		w.cloud.SetRules(nsgID(fmt.Sprintf("nsg-%03d", i)))
	}
	for i := range machines / 10 {
		rec := store.PolicyRecord{Policy: policyOf(fmt.Sprintf("vm-%05d", i), 22), ChangedAt: noon}
		if _, err := w.mem.PutPolicy(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	guard := w.permitted(holders()["all"])
	var before, after runtime.MemStats
	for _, what := range []string{"first call", "next call"} {
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		page, err := guard.Machines(t.Context(), ann, inventory.MachineQuery{State: inventory.MachineConfigured})
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if err != nil || len(page.Machines) != 100 || page.Counts[inventory.MachineConfigured] != machines/10 {
			t.Fatalf("%d machines, %v, %v", len(page.Machines), page.Counts, err)
		}
		t.Logf("%s: a page of 100 of %d machines in %v, %d MiB allocated", what, machines, took.Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}
