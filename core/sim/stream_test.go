package sim_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/core/stream"
)

// outside is what the security team's own system has of the activity log, where the app cannot write anything else.
type outside struct {
	on    bool
	run   *run
	has   map[string]store.Linked // by chain, place and hash
	upTo  map[string]int          // by chain, the last place before which nothing lacks
	Taken int                     // events that were taken
	Again int                     // of these, those that it had
	Cut   int                     // calls of which the receiver took a part
	Lost  int                     // calls that it took, and whose answer was lost
}

// streamer returns what an instance streams the log with, nil in the runs that do not.
func (a *app) streamer(log tables) *stream.Stream {
	if !a.run.outside.on {
		return nil
	}
	return &stream.Stream{Log: log, Record: log, Receiver: port{a}, Now: func() time.Time { return time.Now().Add(a.skew) }}
}

// Send is the receiver: a fault takes nothing, or the first half, or all without an answer.
func (p port) Send(ctx context.Context, events []stream.Event) (int, error) {
	step := coretest.Step{Op: "Send"}
	if err := p.stop(ctx, step); err != nil {
		if p.dead() || len(events) < 2 || !p.run.chance(50) {
			return 0, err
		}
		p.run.outside.Cut++
		return p.run.outside.take(events[:len(events)/2]), err
	}
	n := p.run.outside.take(events)
	step.After = true
	if err := p.stop(ctx, step); err != nil {
		p.run.outside.Lost++
		return 0, err
	}
	return n, nil
}

// chainName names a chain as it is compared.
func chainName(day time.Time, subscription string) string {
	return day.UTC().Format(time.DateOnly) + " " + subscription
}

// take is I17 for what is sent: it is what the log has, and nothing lacks before it. What was put back or lost may be sent anew, with other hashes.
func (o *outside) take(events []stream.Event) int {
	for _, e := range events {
		o.Taken++
		if e.Entry == nil {
			continue
		}
		chain := chainName(e.Day, e.Subscription)
		key := fmt.Sprint(chain, " ", e.Entry.Seq, " ", e.Entry.Hash)
		if had, again := o.has[key]; again {
			if o.Again++; had.ID != e.Entry.ID || had.Message != e.Entry.Message {
				o.run.violate("I17", "%s was sent as %q, and now as %q", key, had.Message, e.Entry.Message)
			}
		}
		o.has[key] = *e.Entry
		switch {
		case o.run.bereft:
		case e.Entry.Seq > o.upTo[chain]+1:
			o.run.violate("I17", "%s is sent, and the receiver has %d", key, o.upTo[chain])
		default:
			o.upTo[chain] = max(o.upTo[chain], e.Entry.Seq)
		}
	}
	return len(events)
}

// lacking returns an entry of the log that the receiver does not have, and whether there is one.
func (o *outside) lacking(log map[string][]store.Linked) (string, bool) {
	for _, chain := range slices.Sorted(maps.Keys(log)) {
		for _, e := range log[chain] {
			if _, ok := o.has[fmt.Sprint(chain, " ", e.Seq, " ", e.Hash)]; !ok {
				return fmt.Sprintf("%s %d, %s %s of %s", chain, e.Seq, e.Operation, e.Result, e.Time.Format(time.TimeOnly)), true
			}
		}
	}
	return "", false
}

// chains returns all of the log.
func (t *table) chains() map[string][]store.Linked {
	out := map[string][]store.Linked{}
	ctx, days := context.Background(), map[time.Time]bool{}
	for _, e := range t.told {
		days[e.Time.UTC().Truncate(24*time.Hour)] = true
	}
	for day := range days {
		heads, _, _ := t.Heads(ctx, day)
		for _, h := range heads {
			out[chainName(day, h.Subscription)], _ = t.Follow(ctx, h.Subscription, day, store.Place{}, h.Entries, h.Entries)
		}
	}
	return out
}

// streamedWell is I17 in the end: some sweeps after the last fault the receiver has every entry of the log, in whatever pause it was.
func (r *run) streamedWell() {
	if !r.outside.on || r.broken() {
		return
	}
	log := r.table.chains()
	lacks, some := "", true
	for i := 0; i < 20 && some && !r.broken(); i++ {
		rec, _ := r.table.Stream(context.Background())
		r.sleep(max(period, time.Until(rec.Next)+2*skewMax))
		r.sweep(r.apps[0])
		r.drain(true)
		lacks, some = r.outside.lacking(log)
	}
	if some && !r.broken() {
		r.violate("I17", "nobody sends %s", lacks)
	}
}

// TestStreamed: the log streams while instances die, the receiver fails, takes a part or loses its answer, and older tables are put back.
func TestStreamed(t *testing.T) {
	var all outside
	seeds := uint64(24)
	if raceDetector {
		seeds = 8
	}
	for seed := range seeds {
		violation, r := simulate(t, config{seed: 4*seed + 3, steps: *stepsFlag, streams: true})
		if violation != "" {
			t.Fatalf("seed %d violates %s\n%s", r.seed, violation, r.text(80))
		}
		all.Taken, all.Again, all.Cut, all.Lost = all.Taken+r.outside.Taken, all.Again+r.outside.Again, all.Cut+r.outside.Cut, all.Lost+r.outside.Lost
	}
	t.Logf("%d events taken, %d of them again; %d calls cut, %d whose answer was lost", all.Taken, all.Again, all.Cut, all.Lost)
	if seeds == 24 && min(all.Taken, all.Again, all.Cut, all.Lost) == 0 {
		t.Errorf("something never happens: %+v", all)
	}
}
