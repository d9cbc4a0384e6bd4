package refusal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/refusal"
	"portcullis/core/store"
)

const managed = "11111111-1111-1111-1111-111111111111"

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// desk is a log of refusals over a log in memory, with a clock and a timer that a test moves.
type desk struct {
	*refusal.Log
	t      *testing.T
	store  *coretest.Faulty
	clock  *coretest.Clock
	timers []func() // in the order in which they were set
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, store: &coretest.Faulty{Store: coretest.NewMemory()}, clock: coretest.NewClock(noon)}
	var mu sync.Mutex
	ids := 0
	d.Log = &refusal.Log{Activity: d.store, Subscriptions: network.Subscriptions{managed}, Now: d.clock.Now,
		NewID: func() string { mu.Lock(); defer mu.Unlock(); ids++; return fmt.Sprintf("id-%06d", ids) },
		After: func(wait time.Duration, f func()) {
			if wait != refusal.Window {
				t.Errorf("a timer of %s", wait)
			}
			d.timers = append(d.timers, f)
		}}
	return d
}

// refuse has somebody refused n times.
func (d *desk) refuse(who string, n int) {
	d.t.Helper()
	for range n {
		no := &jit.Error{Code: permit.CodeForbidden, Message: "no"}
		caller := jit.Caller{ID: "tid/" + who, Name: strings.ToUpper(who), Kind: jit.Person}
		if err := d.Tell(d.t.Context(), store.EntryBy(caller, store.OpDisable), nil, no); err != no {
			d.t.Fatal(err)
		}
	}
}

// told gives how many entries tell of one refusal, and the messages of those that count, oldest first.
func (d *desk) told() (single int, counts []string) {
	d.t.Helper()
	entries, _, err := d.store.Entries(d.t.Context(), store.EntryFilter{}, "", 1_000_000)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Result != store.Refused || !e.VM.IsZero() {
			d.t.Errorf("%+v", e)
		}
		if e.Operation == store.OpRefusals {
			if e.Requestor != jit.App().Name {
				d.t.Errorf("counted by %s", e.Requestor)
			}
			counts = append([]string{e.Message}, counts...)
			continue
		}
		single++
	}
	return single, counts
}

func (d *desk) want(single int, counts ...string) {
	d.t.Helper()
	n, got := d.told()
	if diff := cmp.Diff(counts, got); diff != "" || n != single {
		d.t.Errorf("%d refusals have an entry, want %d; counted (-want +got):\n%s", n, single, diff)
	}
}

// TestBounds: a caller has so many entries in a window, all callers so many together, and the others are counted: none is lost.
func TestBounds(t *testing.T) {
	d := newDesk(t)
	d.refuse("ann", refusal.PerCaller)
	d.want(refusal.PerCaller)
	if len(d.timers) != 0 {
		t.Error("there is nothing to count, and a timer was set")
	}
	d.clock.Set(noon.Add(time.Minute))
	d.refuse("ann", 400)
	d.refuse("bob", refusal.PerCaller+12) // who is refused too often keeps nobody else from an entry of their own
	d.want(2 * refusal.PerCaller)
	d.timers[0]()
	d.want(2*refusal.PerCaller, "412 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:01:00Z, by 2 callers: 400 by ANN ann, 12 by BOB bob")
	d.refuse("ann", 1)
	d.want(2*refusal.PerCaller+1, "412 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:01:00Z, by 2 callers: 400 by ANN ann, 12 by BOB bob")
	if len(d.timers) != 1 {
		t.Errorf("%d timers", len(d.timers))
	}
}

// TestTurnedAway: a call that was turned away has no entry, also where there is room for one, and is counted with the others, as what it was.
func TestTurnedAway(t *testing.T) {
	d := newDesk(t)
	d.refuse("bob", 1)
	for range 3 {
		d.TurnedAway(jit.Caller{ID: "tenant/ann", Name: "ANN"})
	}
	d.want(1)
	d.timers[0]()
	d.want(1, "3 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by 1 caller, 3 of them turned away unread: 3 by ANN ann")
}

// TestTotal: the bound of all callers together holds for as many as like.
func TestTotal(t *testing.T) {
	d := newDesk(t)
	for i := range 3 * refusal.Total {
		d.refuse(fmt.Sprintf("nobody%04d", i), 1)
	}
	d.timers[0]()
	single, counts := d.told()
	if single != refusal.Total || len(counts) != 1 || !strings.HasPrefix(counts[0], fmt.Sprintf("%d more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by %d callers: 1 by NOBODY0100 nobody0100, 1 by", 2*refusal.Total, 2*refusal.Total)) ||
		!strings.HasSuffix(counts[0], fmt.Sprintf(", %d by others", 2*refusal.Total-20)) {
		t.Errorf("%d entries, and %q", single, counts)
	}
}

// TestNextWindow: where the timer does not come, the next refusal after the window's end brings the count along.
func TestNextWindow(t *testing.T) {
	d := newDesk(t)
	d.refuse("ann", refusal.PerCaller+3)
	d.clock.Set(noon.Add(refusal.Window - time.Millisecond))
	d.refuse("ann", 1)
	d.want(refusal.PerCaller)
	d.clock.Set(noon.Add(refusal.Window))
	d.refuse("ann", 2)
	d.want(refusal.PerCaller+2, "4 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:04:59Z, by 1 caller: 4 by ANN ann")
}

// TestManyCallers: what is kept is bounded, whoever calls, and nobody's refusal is lost for it.
func TestManyCallers(t *testing.T) {
	d := newDesk(t)
	const many = 20_000
	for i := range many {
		d.refuse(fmt.Sprint("caller", i), 1)
	}
	d.timers[0]()
	single, counts := d.told()
	if want := fmt.Sprintf("%d more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by more than %d callers: ", many-single, refusal.MaxCallers); len(counts) != 1 || !strings.HasPrefix(counts[0], want) || single != refusal.Total {
		t.Errorf("%d entries, %q, want %q", single, counts, want)
	}
	if len(d.timers) != 1 || len(counts[0]) > 5<<10 {
		t.Errorf("%d timers, %d bytes", len(d.timers), len(counts[0]))
	}
}

// TestPanicOfATimer: a panic while a count is written, which nobody waits for, ends no process, and the count is kept.
func TestPanicOfATimer(t *testing.T) {
	d := newDesk(t)
	var failed []error
	d.Failed = func(err error) { failed = append(failed, err) }
	d.refuse("ann", refusal.PerCaller+3)
	d.store.Fault = func(context.Context, coretest.Step) error { panic("a fault of ours") }
	d.timers[0]()
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), "a fault of ours") {
		t.Errorf("told of %v", failed)
	}
	d.store.Fault = nil
	d.timers[len(d.timers)-1]()
	d.want(refusal.PerCaller, "3 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by 1 caller: 3 by ANN ann")
}

// TestCountThatCannotBeWritten: a count that the log does not take is told, kept, and written with the next one.
func TestCountThatCannotBeWritten(t *testing.T) {
	d := newDesk(t)
	var failed []error
	d.Failed = func(err error) { failed = append(failed, err) }
	d.refuse("ann", refusal.PerCaller+3)
	down := errors.New("down")
	d.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" && !s.After {
			return down
		}
		return nil
	}
	d.timers[0]()
	if len(failed) != 1 || !errors.Is(failed[0], down) {
		t.Errorf("told of %v", failed)
	}
	d.clock.Set(noon.Add(refusal.Window + time.Second))
	err := d.Tell(t.Context(), store.EntryBy(jit.Caller{ID: "tid/bob", Name: "BOB"}, store.OpDisable), nil, &jit.Error{Code: permit.CodeForbidden, Message: "no"})
	if !errors.Is(err, store.ErrUnlogged) || !errors.Is(err, down) {
		t.Errorf("one that cannot be written: %v", err)
	}
	d.store.Fault = nil
	d.timers[len(d.timers)-1]()
	d.want(refusal.PerCaller, "3 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by 1 caller: 3 by ANN ann")
}

// TestWhileCountsCannotBeWritten: however long counts cannot be written, the bounds hold, one timer runs, few counts are kept, each
// caller's own entry is written, and afterwards every refusal is told once.
func TestWhileCountsCannotBeWritten(t *testing.T) {
	d := newDesk(t)
	log := &countless{Activity: d.store, down: errors.New("down")}
	d.Activity = log
	const windows, each = 30, 50
	for i := range windows {
		d.clock.Set(noon.Add(time.Duration(i) * refusal.Window))
		d.refuse("ann", each)
		if i%2 == 1 {
			d.timers[len(d.timers)-1]()
		}
		if len(d.timers) > i+1 {
			t.Fatalf("%d timers after %d windows", len(d.timers), i+1)
		}
	}
	single, counts := d.told()
	if single > windows*refusal.PerCaller || len(counts) > 0 {
		t.Fatalf("%d entries of one caller in %d windows, counts %q", single, windows, counts)
	}
	log.down = nil
	for range 2 { // the second is of the window that went on
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	single, counts = d.told()
	if total := sum(t, counts); single+total != windows*each || len(counts) > 13 {
		t.Errorf("%d entries and %d counted in %d rows, of %d refusals", single, total, len(counts), windows*each)
	}
}

// TestCountThatWasWritten: a count that reached the log although its writer was told otherwise stands there once.
func TestCountThatWasWritten(t *testing.T) {
	d := newDesk(t)
	d.refuse("ann", refusal.PerCaller+3)
	d.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" && s.After {
			return errors.New("no answer")
		}
		return nil
	}
	if err := d.Flush(t.Context()); err == nil {
		t.Fatal("the fault did not come")
	}
	d.store.Fault = nil
	d.timers[len(d.timers)-1]()
	d.want(refusal.PerCaller, "3 more refusals between 2026-03-02T12:00:00Z and 2026-03-02T12:00:00Z, by 1 caller: 3 by ANN ann")
}

// countless is a log that takes no counts while it is down.
type countless struct {
	store.Activity
	down error
}

func (c *countless) Append(ctx context.Context, entries ...store.Entry) error {
	for _, e := range entries {
		if e.Operation == store.OpRefusals && c.down != nil {
			return c.down
		}
	}
	return c.Activity.Append(ctx, entries...)
}

func sum(t *testing.T, counts []string) int {
	t.Helper()
	total := 0
	for _, text := range counts {
		n := 0
		if _, err := fmt.Sscanf(text, "%d more refusals", &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// TestAtOnce: refusals of many at once are each written or counted.
func TestAtOnce(t *testing.T) {
	d := newDesk(t)
	d.After = func(time.Duration, func()) {}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { d.refuse(fmt.Sprint("nobody", i), 20) })
	}
	wg.Wait()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	single, counts := d.told()
	if len(counts) != 1 || !strings.HasPrefix(counts[0], fmt.Sprint(800-single, " more refusals")) || single != refusal.Total {
		t.Errorf("%d entries, %q", single, counts)
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.want(single, counts...)
}

// TestLargeRefusal: whatever was sent, its refusal has an entry, cut with a mark.
func TestLargeRefusal(t *testing.T) {
	d := newDesk(t)
	vm := jit.ID{Subscription: managed, ResourceGroup: "rg", Type: jit.TypeVM, Name: "web"}
	big := refusal.Named{VM: vm}
	for i := range 100_000 {
		big.Sources, big.Ports = append(big.Sources, fmt.Sprint("2001:db8::", i)), append(big.Ports, uint16(i))
	}
	long := strings.Repeat("é", 1<<19)
	err := d.Tell(t.Context(), store.EntryBy(jit.Caller{ID: "tid/ann", Name: "ann"}, store.OpRequest).Asked("", long), []refusal.Named{big, big}, &jit.Error{Code: "TooMuch", Target: vm.String(), Message: long})
	if code := jit.Refused(err); code == nil || errors.Is(err, store.ErrUnlogged) {
		t.Fatal(err)
	}
	entries, _, err := d.store.Entries(t.Context(), store.EntryFilter{}, "", 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	e := entries[0]
	if e.VM != vm || len(e.Ports) != jit.MaxPorts || len(e.Sources) != 101 || e.Sources[100] != "and 99900 more" || len(e.Justification) > 4100 || !strings.HasSuffix(e.Justification, "é...") ||
		!strings.HasSuffix(e.Message, "... (the call names 1 more machines)") || len(e.Message) > 4200 {
		t.Errorf("%d ports, %d sources, %d and %d bytes: %s", len(e.Ports), len(e.Sources), len(e.Justification), len(e.Message), e.Message[len(e.Message)-60:])
	}
	internal := errors.New("not a refusal")
	if got := d.Tell(t.Context(), store.Entry{}, nil, internal); got != internal {
		t.Error(got)
	}
}
