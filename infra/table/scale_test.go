package table_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

var (
	scale = flag.Int("scale", 500, "the most policies that TestARequestDoesNotGrow stores; ten times as many past grants come with them")
	into  = flag.String("into", "", "write what TestARequestDoesNotGrow measures to this file")
)

// measurement is a call as it is at one scale.
type measurement struct {
	stats tablesim.Stats
	p50   time.Duration
}

// measure makes the call again and again; each has to cost the same.
func measure(t *testing.T, sim *tablesim.Server, times int, call func(i int)) measurement {
	t.Helper()
	var m measurement
	var took []time.Duration
	for i := range times {
		sim.ResetStats()
		began := time.Now()
		call(i)
		took = append(took, time.Since(began))
		stats := sim.Stats()
		if i == 0 {
			m.stats = stats
		}
		if diff := cmp.Diff(m.stats, stats); diff != "" {
			t.Errorf("call %d costs something else (-first +now):\n%s", i, diff)
		}
	}
	slices.Sort(took)
	m.p50 = took[len(took)/2]
	return m
}

func total(c map[tablesim.Operation]int) int {
	n := 0
	for v := range maps.Values(c) {
		n += v
	}
	return n
}

// TestARequestDoesNotGrow holds that what is stored of others costs a request nothing: the same operations, and the same
// entities read, looked at and written, whatever there is. So it is with the first page of a list. The times are for
// people, the counts are held. `make scale` has 100,000 policies and a million past grants.
func TestARequestDoesNotGrow(t *testing.T) {
	s, sim := newStore(t)
	a := newApp(s)
	calls := []struct {
		name string
		call func(n int)
	}{
		{"a request and its end", func(n int) { a.request(t, n) }},
		{"first page of the requests", func(int) {
			if got, _, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 50); err != nil || len(got) != 50 {
				t.Fatalf("%d grants, %v", len(got), err)
			}
		}},
		{"first page of the activity log", func(int) {
			if got, _, err := s.Entries(t.Context(), store.EntryFilter{}, "", 50); err != nil || len(got) != 50 {
				t.Fatalf("%d entries, %v", len(got), err)
			}
		}},
		{"first page of the log of one day", func(int) {
			if got, _, err := s.Entries(t.Context(), store.EntryFilter{From: day, To: day.Add(12 * time.Hour)}, "", 50); err != nil || len(got) != 50 {
				t.Fatalf("%d entries, %v", len(got), err)
			}
		}},
	}
	first := map[string]tablesim.Stats{}
	var rows, walks [][]string
	stored, logged := 0, 0
	for _, n := range []int{*scale / 100, *scale / 10, *scale} {
		began := time.Now()
		crowd(t, s, sim, stored, n)
		entries := max(60, 3*n*pastEach/100) // the day's part of what the grants have left: request, open and close
		chronicle(t, s, logged, entries)
		stored, logged = n, entries
		t.Logf("%d policies and %d past grants stored in %s", n, n*pastEach, time.Since(began).Round(time.Millisecond))
		times := 49
		if *into == "" {
			times = 3
		}
		for i := range times { // the first request on a group also writes its denies, and notes them
			a.place(n * i / times)
			a.request(t, n*i/times)
		}
		for _, c := range calls {
			m := measure(t, sim, times, func(i int) { c.call(n * i / times) })
			if _, ok := first[c.name]; !ok {
				first[c.name] = m.stats
			}
			if diff := cmp.Diff(first[c.name], m.stats); diff != "" {
				t.Errorf("with %d policies, %s (-fewer +now):\n%s", n, c.name, diff)
			}
			rows = append(rows, []string{c.name, fmt.Sprint(n), fmt.Sprint(n * pastEach), fmt.Sprint(entries), fmt.Sprint(total(m.stats.Operations)), fmt.Sprint(m.stats.EntitiesRead),
				fmt.Sprint(m.stats.EntitiesVisited), fmt.Sprint(m.stats.EntitiesWritten), fmt.Sprintf("%.1f", float64(m.p50.Microseconds())/1000)})
			t.Log(rows[len(rows)-1])
		}
		a.ended(t)
		walks = append(walks, walk(t, s, sim, n))
		t.Log(walks[len(walks)-1])
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	report(t, rows, walks)
}

// walk goes through all policies as the sweep does, and once more holding them all.
func walk(t *testing.T, s *table.Store, sim *tablesim.Server, n int) []string {
	t.Helper()
	base := heap()
	var most uint64
	given := 0
	sim.ResetStats()
	began := time.Now()
	var looked time.Duration
	err := s.EachPolicy(t.Context(), func(store.PolicyRecord) error {
		if given == 0 && total(sim.Stats().Operations) != 1 {
			t.Errorf("the first policy was given after %d pages were read", total(sim.Stats().Operations))
		}
		if given++; given%(max(n, 5)/5) == 0 {
			from := time.Now()
			most = max(most, heap())
			looked += time.Since(from)
		}
		return nil
	})
	took, stats := time.Since(began)-looked, sim.Stats()
	if pages := (n + 999) / 1000; err != nil || given != n || total(stats.Operations) > pages+1 || stats.EntitiesVisited != n {
		t.Errorf("a walk of %d policies gave %d, %v; it cost %+v", n, given, err, stats)
	}
	all, err := store.AllPolicies(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	held := heap()
	runtime.KeepAlive(all)
	mib := func(h uint64) string { return fmt.Sprintf("%.1f", float64(h-min(h, base))/(1<<20)) }
	return []string{fmt.Sprint(n), fmt.Sprint(total(stats.Operations)), fmt.Sprint(stats.EntitiesVisited), mib(most), mib(held), fmt.Sprintf("%.0f", float64(took.Microseconds())/1000)}
}

// heap gives the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// report writes the page that `make scale` makes.
func report(t *testing.T, rows, walks [][]string) {
	if *into == "" {
		return
	}
	commit := "unknown"
	if out, err := exec.CommandContext(context.Background(), "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# How cost grows with what is stored\n\nMeasured on %s at commit %s with %d cores (%s/%s, %s) by `make scale`, which writes this file.\n\n%s\n\n",
		time.Now().UTC().Format(time.DateOnly), commit, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), scaleText)
	grid := func(columns []string, rows [][]string) {
		for _, row := range append([][]string{columns, slices.Repeat([]string{"---"}, len(columns))}, rows...) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	grid([]string{"call", "policies", "past grants", "log entries of the day", "operations", "entities read", "looked at", "written", "p50, ms"}, rows)
	fmt.Fprintf(&b, "\n## The sweep's walk\n\n%s\n\n", walkText)
	grid([]string{"policies", "operations", "looked at", "MiB held", "MiB if all were held", "took, ms"}, walks)
	if err := os.WriteFile(*into, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

const scaleText = "What the verbs ask of Table Storage, by the store and the client that ships, over loopback, of the stand-in `local/tablesim`, which keeps rows in the order of their keys in a B+tree, " +
	"as the service keeps them in order. Every machine has a policy and a target of its own and ten past grants, each with its row in the history; their idempotency keys are gone, since sweeps remove those that have expired. These rows are put into the " +
	"stand-in's file directly, as the store encodes them (a test compares them with what the store writes). The day's activity log is appended through the store. " +
	"Resource Manager and Service Bus are in memory and answer at once. A request opens one port of one machine, until its alarm closes it and it is history. " +
	"Each call is made 49 times, of machines spread over all; counts are the same in every one, or the test fails. Times are those of this machine and not of Azure; what they show is that they do not grow. " +
	"*Looked at* are the entities that the queries touch: a table scan would show there."

const walkText = "A sweep goes through all policies, page by page, twice: to move those whose machines have moved, and to look what else can be reached. This is one such walk, " +
	"through the same client: it grows with the policies, as it must, and holds a page. Memory is the heap in use after a collection, beyond what it was before, with the client's and the stand-in's share; nothing else of a sweep is in it."
