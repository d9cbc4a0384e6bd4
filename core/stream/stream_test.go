package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/core/stream"
)

var morning = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

const subscription = "11111111-1111-1111-1111-111111111111"

// receiver takes events as tests say.
type receiver struct {
	most int // that one call takes; 0 for all
	fail error
	got  []string
	seen map[string]int // how often, by what was got
}

func (r *receiver) Send(_ context.Context, events []stream.Event) (int, error) {
	n := len(events)
	if r.fail != nil {
		n = min(n, r.most)
	}
	for _, e := range events[:n] {
		text := fmt.Sprintf("head %s %q %d", e.Day.Format("02"), e.Subscription, end(e).Entries)
		if end(e).Rewritten > 0 {
			text += fmt.Sprint(" rewritten ", end(e).Rewritten)
		}
		if end(e).Missing > 0 {
			text += fmt.Sprint(" missing ", end(e).Missing)
		}
		if e.Entry != nil {
			text = fmt.Sprintf("%s %d", e.Entry.ID, e.Entry.Seq)
		}
		r.got = append(r.got, text)
		if r.seen == nil {
			r.seen = map[string]int{}
		}
		r.seen[text]++
	}
	return n, r.fail
}

func end(e stream.Event) stream.End {
	if e.End == nil {
		return stream.End{}
	}
	return *e.End
}

// took returns what was taken since the last time.
func (r *receiver) took() []string {
	got := r.got
	r.got = nil
	return got
}

// rig is a stream over a store in memory, at a time that tests set.
type rig struct {
	t        *testing.T
	memory   *coretest.Memory
	faulty   *coretest.Faulty
	receiver *receiver
	stream   *stream.Stream
	time     time.Time
	entries  int
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, memory: coretest.NewMemory(), receiver: &receiver{}, time: morning}
	r.faulty = &coretest.Faulty{Store: r.memory}
	r.restart()
	return r
}

// restart begins with a new process.
func (r *rig) restart() {
	r.stream = &stream.Stream{Log: r.faulty, Record: r.faulty, Receiver: r.receiver, Now: func() time.Time { return r.time }}
}

// appended appends n entries, of a machine where located, now.
func (r *rig) appended(n int, located bool) {
	r.t.Helper()
	for range n {
		r.entries++
		e := store.Entry{ID: fmt.Sprintf("entry %03d", r.entries), Time: r.time, Operation: store.OpSweep, Result: store.Succeeded}
		if located {
			e.VM = jit.ID{Subscription: subscription, ResourceGroup: "rg", Type: jit.TypeVM, Name: "vm"}
		}
		if err := r.memory.Append(r.t.Context(), e); err != nil {
			r.t.Fatal(err)
		}
	}
}

// swept looks once, five minutes after the last time, and returns the findings.
func (r *rig) swept() []store.Finding {
	r.t.Helper()
	r.time = r.time.Add(5 * time.Minute)
	found, err := r.stream.Swept(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *rig) want(what string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.receiver.took()); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (r *rig) record() store.StreamRecord {
	r.t.Helper()
	rec, err := r.memory.Stream(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// TestInOrderAndOnce: what is new is sent in the order of each chain, then the head, and nothing where nothing is new.
func TestInOrderAndOnce(t *testing.T) {
	r := newRig(t)
	r.swept()
	r.want("an empty log")
	r.appended(2, false)
	r.appended(2, true)
	r.swept()
	r.want("the first entries", "entry 001 1", "entry 002 2", `head 02 "" 2`, "entry 003 1", "entry 004 2", `head 02 "`+subscription+`" 2`)
	r.swept()
	r.want("nothing is new")
	r.restart()
	r.appended(1, true)
	r.swept()
	r.want("after a restart", "entry 005 3", `head 02 "`+subscription+`" 3`)
	if rec := r.record(); !rec.Lease.IsZero() || len(rec.Days) != 2 {
		t.Errorf("the record is %+v", rec)
	}
}

// TestMidnight: an entry that comes to a day that has ended is sent, and a day is left two days after its beginning.
func TestMidnight(t *testing.T) {
	r := newRig(t)
	r.time = time.Date(2026, 3, 2, 23, 53, 0, 0, time.UTC)
	r.appended(1, false)
	r.swept()
	r.want("before midnight", "entry 001 1", `head 02 "" 1`)
	r.appended(1, false) // at 23:58
	r.swept()
	r.want("after midnight", "entry 002 2", `head 02 "" 2`)
	r.appended(1, false)
	r.swept()
	r.want("of the new day", "entry 003 1", `head 03 "" 1`)
	for range 12 * 47 {
		r.swept()
	}
	if rec := r.record(); len(rec.Days) != 2 || rec.Days[0].Day.Day() != 3 {
		t.Errorf("days %+v", rec.Days)
	}
	// The app was off for days: what it left behind may still come to the days in between.
	r.time = r.time.AddDate(0, 0, 5)
	r.swept()
	late := store.Entry{ID: "late", Time: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), Operation: store.OpSweep, Result: store.Succeeded}
	if err := r.memory.Append(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	r.swept()
	r.want("an entry of a day that had ended", "late 1", `head 04 "" 1`)
}

// TestReceiverDown: for hours nothing is taken; the receiver is asked ever less often, nothing is lost, and after a day it is a finding.
func TestReceiverDown(t *testing.T) {
	r := newRig(t)
	tries := 0
	r.stream.Tried = func(int, error) { tries++ }
	r.receiver.fail = &store.Unavailable{Dependency: "log ingestion", Err: errors.New("it answered 503")}
	began := r.time
	for r.time.Before(began.Add(25 * time.Hour)) {
		r.appended(1, false)
		found := r.swept()
		if late := r.record().Failing.Add(24 * time.Hour); !r.time.Before(late) != (len(found) == 1) || len(found) == 1 && (found[0].Kind != store.FindingUndelivered || !strings.Contains(found[0].Message, "it answered 503")) {
			t.Fatalf("after %v: %v", r.time.Sub(began), found)
		}
	}
	if tries < 20 || tries > 35 {
		t.Errorf("%d tries in 25 hours", tries)
	}
	r.want("while it was down")
	r.receiver.fail = nil
	for range 13 {
		r.swept()
	}
	got := r.receiver.took()
	if len(got) != r.entries+2 || got[0] != "entry 001 1" || got[len(got)-2] != fmt.Sprintf("entry %03d %d", r.entries, r.entries-192) {
		t.Errorf("%d events came late, of %d entries and two chains: %q ... %q", len(got), r.entries, got[0], got[len(got)-2:])
	}
	if found := r.swept(); len(found) != 0 || !r.record().Failing.IsZero() {
		t.Errorf("afterwards: %v", found)
	}
}

// TestRetryAfter: the receiver is left alone for as long as it asks.
func TestRetryAfter(t *testing.T) {
	r := newRig(t)
	r.appended(3, false)
	r.receiver.most, r.receiver.fail = 2, &store.Unavailable{Dependency: "log ingestion", RetryAfter: 12 * time.Minute, Err: errors.New("it answered 429")}
	r.swept()
	r.want("what was taken before", "entry 001 1", "entry 002 2")
	r.receiver.fail = nil
	r.swept()
	r.swept()
	r.want("within the pause")
	r.swept()
	r.want("after it", "entry 003 3", `head 02 "" 3`)
}

// TestStoppedAnywhere stops the process, and the store, after and before each step: nothing is lost, each chain stays in order, and what is sent again is what was sent.
func TestStoppedAnywhere(t *testing.T) {
	stopped := errors.New("stopped")
	for n := 0; ; n++ {
		r := newRig(t)
		r.appended(3, false)
		r.appended(2, true)
		step, ended := 0, true
		r.faulty.Fault = func(context.Context, coretest.Step) error {
			if step++; step > n {
				ended = false
				return stopped // and all that follows: the process is gone
			}
			return nil
		}
		r.time = r.time.Add(5 * time.Minute)
		_, _ = r.stream.Swept(t.Context())
		r.faulty.Fault = nil
		r.restart()
		r.appended(1, true)
		r.swept()
		got := r.receiver.took()
		for _, want := range []string{"entry 001 1", "entry 002 2", "entry 003 3", `head 02 "" 3`, "entry 004 1", "entry 005 2", "entry 006 3", `head 02 "` + subscription + `" 3`} {
			if !slices.Contains(got, want) {
				t.Errorf("stopped after step %d: %q is lost in %q", n, want, got)
			}
		}
		for _, list := range [][]string{{"entry 001 1", "entry 002 2", "entry 003 3"}, {"entry 004 1", "entry 005 2", "entry 006 3"}} {
			if at := func(e string) int { return slices.Index(got, e) }; at(list[0]) > at(list[1]) || at(list[1]) > at(list[2]) {
				t.Errorf("stopped after step %d: out of order: %q", n, got)
			}
		}
		if ended {
			if n < 12 {
				t.Errorf("only %d steps were tried", n)
			}
			return
		}
	}
}

// TestTwoInstances: one works at a time, and one that has hung is taken over from, and writes no more.
func TestTwoInstances(t *testing.T) {
	r := newRig(t)
	r.appended(1, false)
	rec, err := r.memory.PutStream(t.Context(), store.StreamRecord{Lease: r.time.Add(6 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	r.swept()
	r.want("while another has the lease")
	r.swept()
	r.want("after it", "entry 001 1", `head 02 "" 1`)
	if _, err := r.memory.PutStream(t.Context(), rec); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the other one writes: %v", err)
	}
	// Another one takes over while this one sends.
	r.appended(2, false)
	took := r.stream.Receiver
	r.stream.Receiver = sender(func(ctx context.Context, events []stream.Event) (int, error) {
		rec := r.record()
		rec.Lease = r.time.Add(time.Hour)
		if _, err := r.memory.PutStream(ctx, rec); err != nil {
			t.Error(err)
		}
		return took.Send(ctx, events)
	})
	r.swept()
	if rec := r.record(); rec.Lease.IsZero() || rec.Days[1].Chains[0].Entries != 1 {
		t.Errorf("who has lost the lease wrote %+v", rec)
	}
}

type sender func(context.Context, []stream.Event) (int, error)

func (s sender) Send(ctx context.Context, events []stream.Event) (int, error) { return s(ctx, events) }

// TestPutBack: the table is put back to an older copy. Chains are sent again from their beginning, also where they have grown past the place that was kept.
func TestPutBack(t *testing.T) {
	for _, grown := range []int{0, 1, 3, 6} {
		r := newRig(t)
		r.appended(2, false)
		old := r.memory.Copy()
		r.appended(3, false)
		r.swept()
		r.receiver.took()
		rec := r.record()
		r.memory, r.faulty.Store = old, old
		rec.Version = ""
		if _, err := old.PutStream(t.Context(), rec); err != nil { // who puts back the log alone
			t.Fatal(err)
		}
		r.entries = 100
		r.appended(grown, false)
		found := r.swept()
		var want []string
		for n := range 2 + grown {
			want = append(want, fmt.Sprintf("entry %03d %d", []int{1, 2, 101, 102, 103, 104, 105, 106}[n], n+1))
		}
		r.want(fmt.Sprint("after ", grown, " more"), append(want, fmt.Sprintf(`head 02 "" %d rewritten 1`, 2+grown))...)
		if len(found) != 1 || found[0].Kind != store.FindingLogBroken || !strings.Contains(found[0].Message, "1 times") {
			t.Errorf("findings %v", found)
		}
		r.swept()
		r.want("once")
	}
}

// TestRecordPutBack: the place is put back with everything else. What was sent is sent again, with the same uid.
func TestRecordPutBack(t *testing.T) {
	r := newRig(t)
	r.appended(2, false)
	r.swept()
	old := r.memory.Copy()
	r.appended(2, false)
	r.swept()
	r.receiver.took()
	r.memory, r.faulty.Store = old, old
	r.entries = 100
	r.appended(1, false)
	r.swept()
	r.want("from the older place on", "entry 101 3", `head 02 "" 3`)
}

// gaps is a log in which entries are gone, or whose chain is.
type gaps struct {
	store.Chained
	gone  func(seq int) bool
	empty bool
}

func (g gaps) Heads(ctx context.Context, day time.Time) ([]store.ChainHead, bool, error) {
	if g.empty {
		return nil, false, nil
	}
	return g.Chained.Heads(ctx, day)
}

func (g gaps) Follow(ctx context.Context, sub string, day time.Time, from store.Place, to, limit int) ([]store.Linked, error) {
	found, err := g.Chained.Follow(ctx, sub, day, from, to, limit)
	return slices.DeleteFunc(found, func(e store.Linked) bool { return g.gone(e.Seq) }), err
}

// TestGaps: entries that somebody has taken away hold up nothing, and are counted.
func TestGaps(t *testing.T) {
	r := newRig(t)
	r.appended(6, false)
	r.stream.Log = gaps{Chained: r.faulty, gone: func(seq int) bool { return seq == 1 || seq == 3 || seq == 6 }}
	found := r.swept()
	r.want("what is left", "entry 002 2", "entry 004 4", "entry 005 5", `head 02 "" 6 missing 3`)
	if len(found) != 1 || found[0].Kind != store.FindingLogBroken || !strings.Contains(found[0].Message, "3 entries") {
		t.Errorf("findings %v", found)
	}
	r.appended(1, false)
	r.swept()
	r.want("it goes on", "entry 007 7", `head 02 "" 7 missing 3`)
	r.stream.Log = gaps{Chained: r.faulty, empty: true}
	r.swept()
	r.want("the chain is gone", `head 02 "" 0 rewritten 1`)
	r.swept()
	r.want("once")
	r.stream.Log = gaps{Chained: r.faulty, gone: func(int) bool { return true }}
	r.swept()
	r.want("nothing is left of it", `head 02 "" 7 rewritten 1 missing 7`)
}

// TestBounded: one look sends so many, and the next one goes on.
func TestBounded(t *testing.T) {
	r := newRig(t)
	var many []store.Entry
	for n := range 10_100 {
		many = append(many, store.Entry{ID: fmt.Sprintf("many %05d", n+1), Time: r.time, Operation: store.OpSweep, Result: store.Succeeded})
	}
	r.stream.Log = listed{entries: many}
	r.swept()
	first := r.receiver.took()
	if len(first) != 10_000 || first[9_999] != "many 10000 10000" {
		t.Errorf("%d in the first look", len(first))
	}
	r.swept()
	if rest := r.receiver.took(); len(rest) != 101 || rest[0] != "many 10001 10001" {
		t.Errorf("%d in the second look", len(rest))
	}
}

// listed is a log of one chain, of the first day.
type listed struct{ entries []store.Entry }

func (l listed) Heads(_ context.Context, day time.Time) ([]store.ChainHead, bool, error) {
	if !day.Equal(morning.Truncate(24 * time.Hour)) {
		return nil, false, nil
	}
	return []store.ChainHead{{Head: store.Head{Entries: len(l.entries), Hash: fmt.Sprint(len(l.entries))}}}, false, nil
}

func (l listed) Follow(_ context.Context, _ string, _ time.Time, from store.Place, to, limit int) ([]store.Linked, error) {
	var out []store.Linked
	for seq := max(1, from.Seq); seq <= to && len(out) < limit; seq++ {
		out = append(out, store.Linked{Entry: l.entries[seq-1], Seq: seq, Hash: fmt.Sprint(seq)})
	}
	return out, nil
}

// TestOutOfTime: a sweep whose time is over is no failure of the receiver where that takes events, and one where it does not.
func TestOutOfTime(t *testing.T) {
	for _, takes := range []bool{true, false} {
		r := newRig(t)
		r.appended(3, false)
		ctx, cancel := context.WithCancel(t.Context())
		r.stream.Receiver = sender(func(context.Context, []stream.Event) (int, error) {
			cancel()
			return map[bool]int{true: 1}[takes], context.Canceled
		})
		if _, err := r.stream.Swept(ctx); err != nil {
			t.Error(err)
		}
		if rec := r.record(); rec.Failing.IsZero() != takes || !rec.Lease.IsZero() || takes && rec.Days[1].Chains[0].Entries != 1 {
			t.Errorf("takes %t: %+v", takes, rec)
		}
	}
}
