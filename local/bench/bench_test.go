package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/local/armsim"
)

var (
	into  = flag.String("into", "", "write the report to this file; without it TestBench does nothing")
	only  = flag.String("only", "", "run these sections only, such as B1,B3")
	cells = flag.String("cells", "", "of B7 run these only, by rate, write and window, such as 5/2s/10s,10/2s/10m0s")
	some  = flag.String("storms", "", "of B4 run these only, by their number from 0, such as 0,3")
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
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the stand-ins keep much; what is measured of ours runs in its own process or counts the collector
	var r report
	r.heading()
	for _, s := range []struct {
		name string
		run  func(*testing.T, *report)
	}{
		{"B1", benchCounts}, {"B3", benchCrowd}, {"B6", benchSweep}, {"B7", benchSteady}, {"ours", benchOurs}, {"B4", benchStorms},
	} {
		if *only != "" && !strings.Contains(*only, s.name) {
			continue
		}
		began := time.Now()
		s.run(t, &r)
		t.Logf("%s took %s", s.name, time.Since(began).Round(time.Second))
		r.write(t)
	}
	t.Log("\n" + r.b.String())
}

func (r *report) write(t *testing.T) {
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
		"Nothing here was measured against Azure. What is simulated and what is left out: the package comment of `local/bench`. " +
		"How cost grows with what is stored: [scale.md](scale.md).")
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
		runs, peerRuns := []int{100, 100, 30, 10}[i], []int{50, 10, 3, 3}[i]
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
		"A table operation is one request to Table Storage, transactions and pages among them. A bus operation is one call that schedules, one message received, one completed. " +
		"Of our reads 3 are what the caller may do, remembered for a minute, and 3 are where the machines stand; the rest follows unfinished writes.")
	r.table([]string{"V, G, P", "design", "writes", "reads", "table", "bus"}, counts)
	r.text("The same where Resource Manager's answer to a write says Succeeded, as it has been seen to for groups that nothing uses: nobody has to look again.")
	var quick [][]string
	for _, s := range shapes() {
		all := designs(t, s, mode{answer: armsim.AnswerSucceeded}, quickest, slowest, 2, 1)
		first := s.String()
		for _, name := range names() {
			m := all[name][len(all[name])-1]
			quick = append(quick, []string{first, name, thousands(m.open.Writes) + " / " + thousands(m.close.Writes), thousands(m.open.Reads) + " / " + thousands(m.close.Reads)})
			first = ""
		}
	}
	r.table([]string{"V, G, P", "design", "writes", "reads"}, quick)
	r.text("## B2: how long it takes")
	r.text("Until every rule is confirmed; closing is counted from the end of the window. The bound is one round trip and the slowest of the G writes, or the 3 s for which Resource Manager asks to be left alone; x bound is the median. With fewer than 100 runs p99 is the slowest.")
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
			rows = append(rows, []string{first, name, seconds(out.lastOpen), ratio(out.lastOpen, 2*max(c.latency, c.mode.retryAfter)), fmt.Sprint(out.cost.Writes), thousands(out.cost.Reads),
				fmt.Sprint(out.failed), fmt.Sprint(out.lost), fmt.Sprint(out.stray)})
			if name == us && out.failed+out.lost > 0 {
				t.Errorf("%s: %d failed, %d lost", c.name, out.failed, out.lost)
			}
		}
	}
	r.text("## B3: %d requests within a second on one security group", n)
	r.text("Each is for another machine. A group takes one write at a time, so the bound is two of them: the one under way, and one for all who came meanwhile; Resource Manager asks to be left alone for 3 s after a write, so that one takes no less. " +
		"Lost are rules that do not stand although their request was answered as open, stray those that stand although it was answered as failed.")
	r.table([]string{"Resource Manager", "design", "last open", "x bound", "writes", "reads", "failed", "lost", "stray"}, rows)
}

// benchStorms is B4 and B5.
func benchStorms(t *testing.T, r *report) {
	var rows, opens [][]string
	before := r.b.String()
	tell := func() {
		r.b.Reset()
		r.b.WriteString(before)
		r.storms(rows, opens)
		r.write(t)
	}
	for i, s := range storms() {
		if *some != "" && !slices.Contains(strings.Split(*some, ","), fmt.Sprint(i)) {
			continue
		}
		limit := "ARM"
		if s.network {
			limit = "ARM and network"
		}
		for _, name := range names() {
			began := time.Now()
			out := s.of(t, name)
			t.Logf("%d groups, %s: %s", s.groups, name, time.Since(began).Round(time.Second))
			first := []string{thousands(s.groups), limit, seconds(out.bound)}
			if name != us {
				first = []string{"", "", ""}
			}
			last, times, left := seconds(out.lastClose), ratio(out.lastClose, out.bound), thousands(out.left)
			if out.left > 0 {
				last, times = "never", ""
			}
			if out.unfinished {
				left += " after " + seconds(patience)
			}
			if s.opens > 0 {
				opens = append(opens, append(first[:2:2], name, seconds(percentile(out.opened, .5)), seconds(percentile(out.opened, .99)),
					fmt.Sprintf("%.2f", percentile(out.opened, .99).Seconds()/usualWrite.Seconds()), fmt.Sprint(out.openFailures)))
			} else {
				rows = append(rows, append(first, name, last, times, thousands(out.cost.Writes), thousands(out.cost.Reads),
					thousands(out.cost.Rejected), thousands(out.cost.Bus.Dead), left))
			}
			if name == us && (out.left > 0 || out.cost.Bus.Dead > 0) {
				t.Errorf("%d groups: %d rules left, %d dead letters", s.groups, out.left, out.cost.Bus.Dead)
			}
			tell() // what comes next takes minutes
		}
	}
}

func (r *report) storms(rows, opens [][]string) {
	r.text("## B4: %s windows that end at the same instant", thousands(stormWindows))
	r.text("On so many security groups, with full token buckets. The bound is the round trip and the last of one write for each group, as early as the buckets give it; since nobody knows beforehand which group is slow, it is the mean over a thousand orders. " +
		"Last close is when the last rule was confirmed gone, and with it the longest that a door stood open after its end. Rejected are calls answered with an error, dead letters messages that were given up after ten deliveries, " +
		"left are rules that stand for ever. A group holds 1,000 rules, of which one is our deny and one somebody else's: with 10 groups there are 9,980 windows. " +
		"Where the network provider has no limit the app is told so (PORTCULLIS_NETWORK_WRITE_LIMIT=off). " +
		"The obvious design handles 16 messages at a time, the host's default, and at its best 16 on each of 100 instances.")
	r.table([]string{"groups", "limits", "bound", "design", "last close", "x bound", "writes", "reads", "rejected", "dead letters", "left"}, rows)
	r.text("## B5: requests during a storm")
	r.text("One each second for a minute, each for another machine behind a group of its own, from the instant on. A write takes 6 s on average (L).")
	r.table([]string{"groups", "limits", "design", "open p50", "open p99", "p99 / L", "failed"}, opens)
}

const stormWindows = 10_000

// usualWrite is how long a write takes on average.
const usualWrite = (quickest + slowest) / 2

// storms are those of B4, and the one of B5, in which there are requests meanwhile. The provider takes 1,000 writes in
// five minutes, so that its limit shows where there are more.
func storms() []storm {
	return []storm{
		{windows: 9980, groups: 10, network: true}, {windows: stormWindows, groups: 100, network: true}, {windows: stormWindows, groups: 200, network: true},
		{windows: stormWindows, groups: 1000, network: true},
		{windows: stormWindows, groups: 5000}, {windows: stormWindows, groups: 5000, network: true},
		{windows: stormWindows, groups: 1000, opens: 60},
	}
}

func (s storm) of(t *testing.T, name string) stormed {
	if name == us {
		return s.ours(t, usual(), quickest, slowest)
	}
	return s.peers(t, usual(), quickest, slowest, name == best)
}

// benchSweep is B6.
func benchSweep(t *testing.T, r *report) {
	const groups = 5000
	var rows [][]string
	for _, name := range names() {
		out := sweeps(t, groups, map[string]func(*world) func() int{us: sweepByUs, obvious: sweepByPeer(false), best: sweepByPeer(true)}[name])
		rows = append(rows, []string{name, thousands(out.cost.Reads), thousands(out.cost.Writes), thousands(out.cost.Rejected), thousands(out.cost.Table), seconds(out.took), fmt.Sprint(out.failed)})
	}
	r.text("## B6: a look at %s security groups on which nothing is wrong", thousands(groups))
	r.text("One machine behind each, a window open on every tenth. A page of a list holds 1,000 (Resource Manager's page size is not documented); five lists of a page or more is the bound. " +
		"The obvious design lists the rules of each group, one after the other, or 16 at a time.")
	r.table([]string{"design", "reads", "writes", "rejected", "table", "took", "failed"}, rows)
}
