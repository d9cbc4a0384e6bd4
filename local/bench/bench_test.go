package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"portcullis/local/armsim"
)

var (
	into = flag.String("into", "", "write the report to this file; without it TestBench does nothing")
	only = flag.String("only", "", "run these sections only, such as B1,B3")
)

// What Azure's write takes, and how it answers, where a row does not say otherwise.
const (
	slowest  = 10 * time.Second
	quickest = 2 * time.Second
)

func usual() mode { return mode{retryAfter: 3 * time.Second} }

func shapes() []shape { return []shape{{1, 1, 1}, {10, 2, 2}, {50, 5, 3}, {200, 200, 1}} }

func (s shape) String() string { return fmt.Sprintf("%d, %d, %d", s.machines, s.groups, s.ports) }

// TestBench measures everything and writes the report. It holds no times: the guard is TestCounts.
func TestBench(t *testing.T) {
	if *into == "" {
		t.Skip("runs with -into FILE, by make bench")
	}
	var r report
	r.heading()
	for _, s := range []struct {
		name string
		run  func(*testing.T, *report)
	}{
		{"B1", benchCounts}, {"B3", benchCrowd}, {"B4", benchStorms},
	} {
		if *only != "" && !strings.Contains(*only, s.name) {
			continue
		}
		began := time.Now()
		s.run(t, &r)
		t.Logf("%s took %s", s.name, time.Since(began).Round(time.Second))
	}
	t.Log("\n" + r.b.String())
	if err := os.WriteFile(*into, []byte(strings.TrimRight(r.b.String(), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *report) heading() {
	commit := "unknown"
	if out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	r.text("# Benchmarks")
	r.text("Measured on %s at commit %s with %d cores (%s/%s, %s) by `make bench`, which writes this file.",
		time.Now().UTC().Format(time.DateOnly), commit, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	r.text("How to read it. Every table has three designs. *Ours* is this app, with its own handlers, verbs and adapters. *Obvious* is the design " +
		"that comes to mind first: one rule for each port of each machine, written one after the other with the SDK's own poller (30 s), one message and one delete for each. " +
		"*Obvious, at its best* writes all rules at the same time and polls every second. All three call the same simulated Resource Manager through the same SDK in the same run. " +
		"The *bound* is what no design can beat, from the platform's limits alone. Counts are exact and the same in every run. Times in seconds are simulated: " +
		"a write to a security group takes 2 to 10 s, drawn for each group from a seed; a call to Resource Manager 50 ms more, one to Table Storage or Service Bus 10 ms (assumed, not measured). " +
		"Nothing here was measured against Azure. What is simulated and what is left out: the package comment of `local/bench`.")
}

// designs are the three that every table compares.
func designs(t *testing.T, s shape, m mode, low, high time.Duration, runs, peerRuns int) map[string][]measured {
	return map[string][]measured{
		us:      ours(t, s, m, low, high, runs),
		obvious: peers(t, s, m, low, high, peerRuns, false),
		best:    peers(t, s, m, low, high, peerRuns, true),
	}
}

const us, obvious, best = "ours", "obvious", "obvious, at its best"

func names() []string { return []string{us, obvious, best} }

// benchCounts are B1 and B2: what one request costs, and how long it takes.
func benchCounts(t *testing.T, r *report) {
	var counts, times [][]string
	for i, s := range shapes() {
		runs, peerRuns := []int{100, 100, 50, 20}[i], []int{100, 20, 5, 5}[i]
		all := designs(t, s, usual(), quickest, slowest, runs, peerRuns)
		g := s.groups
		counts = append(counts, []string{s.String(), "bound", fmt.Sprintf("%d / 0 to %d", g, g), "0 / 0", "1 / 0", "1 / 2"})
		for _, name := range names() {
			ms := all[name]
			m := ms[len(ms)-1]
			pair := func(a, b int) string { return thousands(a) + " / " + thousands(b) }
			counts = append(counts, []string{"", name, pair(m.open.Writes, m.close.Writes), pair(m.open.Reads, m.close.Reads),
				pair(m.open.Table, m.close.Table), pair(m.open.Bus.operations(), m.close.Bus.operations())})
			var opened, closed, ratios []time.Duration
			for _, m := range ms {
				opened, closed = append(opened, m.opened), append(closed, m.closed)
				ratios = append(ratios, time.Duration(float64(m.opened)/float64(m.boundOpen)*float64(time.Second)))
				if m.failures+m.opensLeft > 0 {
					t.Errorf("%s of %s: %d failures, %d rules left", name, s, m.failures, m.opensLeft)
				}
			}
			first := ""
			if name == us {
				first = s.String()
			}
			times = append(times, []string{first, name, fmt.Sprint(len(ms)), seconds(percentile(opened, .5)), seconds(percentile(opened, .99)),
				fmt.Sprintf("%.2f", percentile(ratios, .5).Seconds()), seconds(percentile(closed, .5)), seconds(percentile(closed, .99))})
		}
	}
	r.text("## B1: what one request costs")
	r.text("V machines behind G security groups, P ports of each. Each cell is opening / closing. Reads are everything that Resource Manager's read limit counts: reads, lists, polls. " +
		"A table operation is one request to Table Storage, transactions and pages among them. A bus operation is one call that schedules, one message received, one completed.")
	r.table([]string{"V, G, P", "design", "writes", "reads", "table", "bus"}, counts)
	r.text("## B2: how long it takes")
	r.text("Until every rule is confirmed; closing is counted from the end of the window. The bound is one round trip and the slowest of the G writes; x bound is the median. With fewer than 100 runs p99 is the slowest.")
	r.table([]string{"V, G, P", "design", "runs", "open p50", "open p99", "x bound", "close p50", "close p99"}, times)
}

// benchCrowd is B3.
func benchCrowd(t *testing.T, r *report) {
	const n = 32
	var rows [][]string
	for _, c := range []struct {
		name    string
		mode    mode
		latency time.Duration
	}{
		{"write takes 2 s", usual(), 2 * time.Second},
		{"write takes 5 s", usual(), 5 * time.Second},
		{"write takes 10 s", usual(), 10 * time.Second},
		{"5 s, a second write meanwhile is refused (429)", mode{retryAfter: 3 * time.Second, concurrent: armsim.Reject}, 5 * time.Second},
		{"5 s, a second write cancels the first", mode{retryAfter: 3 * time.Second, concurrent: armsim.Supersede}, 5 * time.Second},
	} {
		for _, name := range names() {
			out := crowd(t, n, c.mode, c.latency, map[string]func(*world) func(int) bool{us: byUs, obvious: byPeer(false), best: byPeer(true)}[name])
			first := ""
			if name == us {
				first = c.name
			}
			rows = append(rows, []string{first, name, seconds(out.lastOpen), ratio(out.lastOpen, 2*c.latency), fmt.Sprint(out.cost.Writes), thousands(out.cost.Reads),
				fmt.Sprint(out.failed), fmt.Sprint(out.lost)})
			if name == us && out.failed+out.lost > 0 {
				t.Errorf("%s: %d failed, %d lost", c.name, out.failed, out.lost)
			}
		}
	}
	r.text("## B3: %d requests within a second on one security group", n)
	r.text("Each is for another machine. A group takes one write at a time, so the bound is two of them: the one under way, and one for all who came meanwhile. " +
		"Lost are rules that do not stand although their request was answered as open.")
	r.table([]string{"Resource Manager", "design", "last open", "x 2 L", "writes", "reads", "failed", "lost"}, rows)
}

// benchStorms is B4.
func benchStorms(t *testing.T, r *report) {
	var rows [][]string
	for _, s := range []storm{{windows: 2000, groups: 10}, {windows: 2000, groups: 100}} {
		out := s.run(t, usual(), quickest, slowest)
		rows = append(rows, []string{thousands(s.groups), us, seconds(out.bound), seconds(out.lastClose), ratio(out.lastClose, out.bound), thousands(out.cost.Writes), thousands(out.cost.Reads),
			thousands(out.cost.Rejected), fmt.Sprint(out.cost.Bus.Dead)})
	}
	r.text("## B4: windows that end at the same time")
	r.table([]string{"groups", "design", "bound", "last close", "x bound", "writes", "reads", "rejected", "dead letters"}, rows)
}
