package tell_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/core/tell"
)

var morning = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// receiver is a channel that tests control.
type receiver struct {
	mu   sync.Mutex
	fail func(tell.Card) error // nil takes everything
	got  []string              // kinds with the ids of the messages that it has taken
}

func (r *receiver) Send(ctx context.Context, c tell.Card) error {
	r.mu.Lock()
	fail := r.fail
	r.mu.Unlock()
	if fail != nil {
		if err := fail(c); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf("%s %d", c.Message.Kind, c.Message.Seq))
	return nil
}

func (r *receiver) set(f func(tell.Card) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// rig is a courier over a store in memory, at a time that tests set.
type rig struct {
	t       *testing.T
	memory  *coretest.Memory
	faulty  *coretest.Faulty
	courier *tell.Courier
	grants  store.Grants
	mu      sync.Mutex
	time    time.Time
}

func newRig(t *testing.T, channels ...tell.Named) *rig {
	r := &rig{t: t, memory: coretest.NewMemory(), time: morning}
	r.faulty = &coretest.Faulty{Store: r.memory}
	r.restart(channels...)
	return r
}

// restart begins with a new process.
func (r *rig) restart(channels ...tell.Named) {
	r.courier = &tell.Courier{Outbox: r.faulty, Channels: channels, Page: "https://app.example/api/portal", Now: r.now}
	r.grants = r.courier.Grants(r.faulty)
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.time
}

func (r *rig) after(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.time = r.time.Add(d)
}

// ask stores a grant of two ports of a machine, for one hour and two.
func (r *rig) ask(n int) store.GrantRecord {
	r.t.Helper()
	stored, err := r.grants.InsertGrant(r.t.Context(), r.asked(n), nil, r.now())
	if err != nil {
		r.t.Fatal(err)
	}
	return stored
}

// asked gives such a grant, which is not stored.
func (r *rig) asked(n int) store.GrantRecord {
	vm := jit.ID{Subscription: "11111111-1111-1111-1111-111111111111", ResourceGroup: "demo", Type: jit.TypeVM, Name: fmt.Sprint("web", n)}
	start := r.now()
	window := func(port uint16, d time.Duration) jit.Window {
		return jit.Window{Number: port, Protocol: jit.TCP, Sources: jit.SourcesOf(netip.MustParsePrefix("203.0.113.7/32")), End: start.Add(d), Status: jit.Initiating}
	}
	return store.GrantRecord{Grant: jit.Grant{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n), Requestor: "ann@example.com", Justification: "look", Start: start, OpenBy: start.Add(jit.OpeningTimeout), Generation: 1,
		VMs: []jit.GrantVM{{VM: vm, Ports: []jit.Window{window(22, time.Hour), window(3389, 2*time.Hour)}}}},
		Connect: map[string][]netip.Addr{vm.Key(): {netip.MustParseAddr("198.51.100.9")}}}
}

func (r *rig) change(g store.GrantRecord, f func(jit.Grant) jit.Grant) store.GrantRecord {
	r.t.Helper()
	g, err := store.ChangeGrant(r.t.Context(), r.grants, g, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		g.Grant = f(g.Grant)
		return g, true, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

func (r *rig) open(g store.GrantRecord) store.GrantRecord {
	return r.change(g, func(g jit.Grant) jit.Grant { return g.Opened(r.now()) })
}

func (r *rig) close(g store.GrantRecord) store.GrantRecord {
	g = r.change(g, func(g jit.Grant) jit.Grant { return g.Revoke(r.now(), jit.UserRequested) })
	return r.change(g, func(g jit.Grant) jit.Grant { return g.Settled(r.now()) })
}

func (r *rig) sweep(open ...store.GrantRecord) []store.Finding {
	r.t.Helper()
	found, err := r.courier.Swept(r.t.Context(), open)
	r.courier.Wait()
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func (r *rig) left(channel string) []store.Letter {
	r.t.Helper()
	list, _, err := r.memory.Letters(r.t.Context(), channel, "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestNobodyTold: without a courier nothing is told or asked, and a write that has something to tell is stored as any other.
func TestNobodyTold(t *testing.T) {
	var none *tell.Courier
	m, bell := coretest.NewMemory(), &coretest.Bell{}
	if none.Alarm(bell) != store.Alarm(bell) || none.Noting(m) != store.Activity(m) {
		t.Error("a courier that is not there wraps something")
	}
	r := newRig(t)
	r.grants = none.Grants(r.faulty)
	rec := r.asked(1)
	rec.Tell = []store.Letter{{Message: store.Message{Kind: store.EventWaiting}}}
	stored, err := r.grants.InsertGrant(t.Context(), rec, nil, morning)
	if err != nil {
		t.Fatalf("a grant that nobody is told of: %v", err)
	}
	stored.Tell, stored.Attempts = rec.Tell, 3
	if _, err = r.grants.UpdateGrants(t.Context(), stored); err != nil || len(stored.Tell) != 1 {
		t.Errorf("a change that nobody is told of: %v, and the writer's own record tells %v", err, stored.Tell)
	}
	if again, err := r.grants.Grant(t.Context(), rec.Grant.ID); err != nil || again.Attempts != 3 || again.Told != rec.Told {
		t.Errorf("stored is %+v: %v", again, err)
	}
	if err := none.Remind(t.Context(), "g", 1); err != nil {
		t.Error(err)
	}
	if found, err := none.Swept(t.Context(), nil); err != nil || len(found) != 0 {
		t.Error(found, err)
	}
	none.Wait()
}

// TestLife: what is told of a grant from asking to its last port, to two channels, once each and in order.
func TestLife(t *testing.T) {
	a, b := &receiver{}, &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a}, tell.Named{Name: "slack", Channel: b})
	g := r.ask(1)
	want(t, "asking", a.taken())
	g = r.open(g)
	g = r.change(g, func(g jit.Grant) jit.Grant { return g }) // a write that changes nothing
	r.courier.Wait()
	want(t, "open", a.taken(), "Open 1")
	r.after(time.Hour)
	g = r.change(g, func(g jit.Grant) jit.Grant { e, _ := g.Ending(r.now()); return e })
	g = r.change(g, func(g jit.Grant) jit.Grant { return g.Settled(r.now()) })
	r.courier.Wait()
	want(t, "the first port has ended", a.taken(), "Open 1", "Ended 2")
	r.after(time.Minute)
	g = r.close(g)
	r.courier.Wait()
	want(t, "the second", a.taken(), "Open 1", "Ended 2", "Ended 3")
	want(t, "the other channel", b.taken(), "Open 1", "Ended 2", "Ended 3")
	if !g.Grant.Closed() || len(r.left("webhook"))+len(r.left("slack")) != 0 {
		t.Errorf("closed: %v, letters left: %v", g.Grant.Closed(), r.left("webhook"))
	}
	if found := r.sweep(); len(found) != 0 {
		t.Errorf("nothing is undelivered, and found is %v", found)
	}
}

// TestNeverOpen: nobody is told that a window has ended of whose opening nobody was told.
func TestNeverOpen(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	r.close(r.ask(1))
	r.courier.Wait()
	want(t, "an opening that failed", a.taken())
}

// TestNotClosed: three failed closings are told once, and the end when it comes.
func TestNotClosed(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	g := r.open(r.ask(1))
	g = r.change(g, func(g jit.Grant) jit.Grant { return g.Revoke(r.now(), jit.UserRequested) })
	for range 5 {
		g.Attempts, g.LastError = g.Attempts+1, "a management lock forbids the write"
		list, err := r.grants.UpdateGrants(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		g = list[0]
	}
	g = r.change(g, func(g jit.Grant) jit.Grant { return g.Settled(r.now()) })
	r.courier.Wait()
	want(t, "a closing that fails", a.taken(), "Open 1", "NotClosed 2", "Ended 3")
}

// TestExplicit: what only the writer knows is told with the kind that he gives, completed with the grant, and before what shows by itself.
func TestExplicit(t *testing.T) {
	var got []tell.Card
	a := &receiver{}
	a.set(func(c tell.Card) error { got = append(got, c); return nil })
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	g := r.ask(1)
	g.Grant = g.Grant.Opened(r.now())
	g.Tell = []store.Letter{{Message: store.Message{Kind: store.EventApproved, By: "Zoë"}}}
	if _, err := r.grants.UpdateGrants(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	r.courier.Wait()
	want(t, "approved and opened in one write", a.taken(), "Approved 1", "Open 2")
	if m := got[0].Message; m.By != "Zoë" || m.Grant != g.Grant.ID || len(m.Windows) != 2 || m.Requestor != "ann@example.com" {
		t.Errorf("the message of the writer is %+v", m)
	}
}

// TestReminder: ten minutes before an end people are reminded, once for each end; a reminder that is late, early, repeated, of another generation or
// of nothing does nothing; the sweep reminds where the bus has not.
func TestReminder(t *testing.T) {
	a, bell := &receiver{}, &coretest.Bell{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	g := r.open(r.ask(1))
	alarm := r.courier.Alarm(bell)
	if err := alarm.Schedule(t.Context(), store.Wake{Grant: g.Grant.ID, Generation: 1, At: g.Grant.End()}, store.Wake{Grant: "later", Generation: 1, At: g.Grant.End(), Attempt: 7},
		store.Wake{Grant: "short", Generation: 1, At: r.now().Add(tell.Lead)}); err != nil {
		t.Fatal(err)
	}
	set := bell.Set()
	if reminder := (store.Wake{Grant: g.Grant.ID, Generation: 1, At: g.Grant.End().Add(-tell.Lead), Remind: true}); len(set) != 4 || set[3] != reminder {
		t.Fatalf("scheduled are %+v", set)
	}
	remind := func(what string, grant string, generation int, more ...string) {
		t.Helper()
		if err := r.courier.Remind(t.Context(), grant, generation); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		r.courier.Wait()
		want(t, what, a.taken(), append([]string{"Open 1"}, more...)...)
	}
	remind("much too early", g.Grant.ID, 1)
	remind("unknown", "nobody", 1)
	r.after(50*time.Minute - 30*time.Second)
	remind("another generation", g.Grant.ID, 2)
	remind("in time", g.Grant.ID, 1, "EndsSoon 2")
	remind("twice", g.Grant.ID, 1, "EndsSoon 2")
	r.after(11 * time.Minute)
	remind("after the first end", g.Grant.ID, 1, "EndsSoon 2")
	r.after(50 * time.Minute)
	again, err := r.memory.Grant(t.Context(), g.Grant.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.sweep(again)
	want(t, "the sweep, nine minutes before the second end", a.taken(), "Open 1", "EndsSoon 2", "EndsSoon 3")
	remind("after the sweep", g.Grant.ID, 1, "EndsSoon 2", "EndsSoon 3")
	r.after(10 * time.Minute)
	g = r.close(again)
	remind("after all ends", g.Grant.ID, 1, "EndsSoon 2", "EndsSoon 3", "Ended 4")
}

// TestRepairs: a repair is told once for all of its tries; other entries are not told; without the log nothing is.
func TestRepairs(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	log := r.courier.Noting(r.faulty)
	entry := store.Entry{ID: "repair/x/1", Time: morning, Operation: store.OpRepair, Result: store.Succeeded, Message: "web-nsg: restored portcullis-deny-1"}
	r.faulty.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return errors.New("no log")
		}
		return nil
	}
	if err := log.Append(t.Context(), entry); err == nil || len(r.left("webhook")) != 0 {
		t.Fatalf("without a log: error %v, letters %v", err, r.left("webhook"))
	}
	r.faulty.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "PutLetters" {
			return errors.New("no outbox")
		}
		return nil
	}
	if err := log.Append(t.Context(), entry); err == nil {
		t.Fatal("a repair that could not be told was not tried again")
	}
	r.faulty.Fault = nil
	a.set(func(tell.Card) error { return errors.New("down") })
	for range 2 {
		if err := log.Append(t.Context(), entry, store.Entry{ID: "other", Time: morning, Operation: store.OpClose, Result: store.Succeeded}); err != nil {
			t.Fatal(err)
		}
		r.courier.Wait()
	}
	if n := len(r.left("webhook")); n != 1 {
		t.Errorf("one repair, tried twice, has left %d letters", n)
	}
}

// TestFailing: a receiver that is down delays nobody, is asked again after growing pauses, holds up neither the other channel nor another grant's order, and what waits
// for long is found; when it comes back it gets everything in order.
func TestFailing(t *testing.T) {
	a, b := &receiver{}, &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a}, tell.Named{Name: "slack", Channel: b})
	tries := 0
	a.set(func(tell.Card) error { tries++; return errors.New("answered 503") })
	g := r.close(r.open(r.ask(1)))
	r.courier.Wait()
	want(t, "the channel that works", b.taken(), "Open 1", "Ended 2")
	if tries != 1 {
		t.Errorf("%d tries at once", tries)
	}
	if found := r.sweep(); len(found) != 0 {
		t.Errorf("found after no time: %v", found)
	}
	last, grown := r.now(), []time.Duration{}
	for range 12 * 8 { // eight hours
		r.after(5 * time.Minute)
		before := tries
		found := r.sweep()
		if tries > before {
			grown, last = append(grown, r.now().Sub(last)), r.now()
		}
		if late := r.now().Sub(g.Grant.Start) >= 10*time.Minute; late != (len(found) == 1) || late && (found[0].Kind != store.FindingUndelivered || !strings.Contains(found[0].Message, "webhook, 0 of them are given up; the last error: answered 503")) {
			t.Fatalf("found after %s: %v", r.now().Sub(g.Grant.Start), found)
		}
	}
	if !slices.IsSorted(grown) || grown[0] > 5*time.Minute || grown[len(grown)-1] < time.Hour {
		t.Errorf("the pauses are %v", grown)
	}
	a.set(nil)
	r.after(2 * time.Hour)
	r.sweep()
	want(t, "the channel that is back", a.taken(), "Open 1", "Ended 2")
	if found := r.sweep(); len(found) != 0 {
		t.Errorf("found although all is delivered: %v", found)
	}
}

// TestGivingUp: after a day a letter is not tried any more, is found for one more day, and then is gone. It holds up no other.
func TestGivingUp(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	a.set(func(c tell.Card) error {
		if c.Message.Seq == 1 {
			return errors.New("answered 400")
		}
		return nil
	})
	r.close(r.open(r.ask(1)))
	for range 30 {
		r.after(time.Hour)
		r.sweep()
	}
	want(t, "what came after", a.taken(), "Ended 2")
	found := r.sweep()
	if len(found) != 1 || !strings.Contains(found[0].Message, "1 messages have not reached webhook, 1 of them are given up; the last error: answered 400") {
		t.Errorf("found: %v", found)
	}
	r.after(24 * time.Hour)
	r.sweep()
	if found := r.sweep(); len(found) != 0 || len(r.left("webhook")) != 0 {
		t.Errorf("after two days found: %v, left: %v", found, r.left("webhook"))
	}
}

// TestOnePoisoned: letters that a receiver refuses hold up nobody else's for longer than until the next looks, however many there are.
func TestOnePoisoned(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	a.set(func(c tell.Card) error {
		if c.Message.Grant < "00000000-0000-7000-8000-000000000010" {
			return errors.New("answered 400")
		}
		return nil
	})
	for n := range 12 {
		r.open(r.ask(n))
	}
	for range 8 {
		r.courier.Wait()
		r.after(5 * time.Minute)
		r.sweep()
	}
	want(t, "what can be delivered", a.taken(), "Open 1", "Open 1")
}

// TestRetryAfter: a receiver that says when it wants to be asked again is left alone until then, whoever is told.
func TestRetryAfter(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	tries := 0
	a.set(func(tell.Card) error {
		tries++
		return &store.Unavailable{Dependency: "webhook", RetryAfter: 20 * time.Minute, Err: errors.New("answered 429")}
	})
	r.open(r.ask(1))
	r.courier.Wait()
	r.open(r.ask(2))
	r.courier.Wait()
	r.after(19 * time.Minute)
	r.sweep()
	if tries != 1 {
		t.Errorf("%d tries before the receiver wants one", tries)
	}
	a.set(nil)
	r.after(2 * time.Minute)
	r.sweep()
	want(t, "afterwards", a.taken(), "Open 1", "Open 1")
}

// TestHanging: a receiver that does not answer keeps nobody waiting: neither the write nor the other channel, and a sweep no longer than it may take.
func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &receiver{}
		r := newRig(t, tell.Named{Name: "webhook", Channel: hanging{}}, tell.Named{Name: "slack", Channel: b})
		began := time.Now()
		r.open(r.ask(1))
		if took := time.Since(began); took != 0 {
			t.Errorf("a write waited for a receiver, %s", took)
		}
		synctest.Wait()
		want(t, "the other channel", b.taken(), "Open 1")
		r.courier.Wait()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("a receiver that hangs was waited for %s", took)
		}
		r.after(5 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		if _, err := r.courier.Swept(ctx, nil); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("a sweep of 3 seconds took %s", took)
		}
	})
}

type hanging struct{}

func (hanging) Send(ctx context.Context, _ tell.Card) error {
	<-ctx.Done()
	return errors.New("no answer in time")
}

// TestTwoInstances: of two that deliver at the same time each letter is sent by one, in order.
func TestTwoInstances(t *testing.T) {
	a := &receiver{}
	r := newRig(t, tell.Named{Name: "webhook", Channel: a})
	other := &tell.Courier{Outbox: r.faulty, Channels: r.courier.Channels, Now: r.now}
	other.Grants(r.faulty)
	a.set(func(tell.Card) error { return errors.New("down") })
	var wants []string
	for n := range 20 {
		r.open(r.ask(n))
		wants = append(wants, "Open 1")
	}
	r.courier.Wait()
	a.set(nil)
	r.after(2 * time.Hour)
	var both sync.WaitGroup
	for _, c := range []*tell.Courier{r.courier, other} {
		both.Go(func() {
			if _, err := c.Swept(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	want(t, "20 letters, two couriers", a.taken(), wants...)
}

// TestCrash: a process that dies at any step of a grant's life or of a delivery loses no message and puts none in front of another. What it has sent
// and not dropped comes again with the same id.
func TestCrash(t *testing.T) {
	type dead struct{}
	steps := 0
	run := func(t *testing.T, dieAt int) []string {
		a := &receiver{}
		channel := tell.Named{Name: "webhook", Channel: a}
		r := newRig(t, channel)
		n := 0
		var mu sync.Mutex
		died := false
		step := func(f func()) {
			for range 2 {
				failed := false
				func() {
					defer func() {
						if v := recover(); v != nil {
							if _, ok := v.(dead); !ok {
								panic(v)
							}
							failed = true
						}
					}()
					f()
				}()
				r.courier.Wait()
				if !failed {
					return
				}
				mu.Lock()
				died = false
				mu.Unlock()
				r.restart(channel)
			}
			t.Fatal("failed twice")
		}
		var id string
		change := func(f func(jit.Grant) jit.Grant) {
			step(func() {
				g, err := r.memory.Grant(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if g.Grant.Closed() {
					return
				}
				g.Grant = f(g.Grant)
				if _, err := r.grants.UpdateGrants(t.Context(), g); err != nil {
					panic(dead{})
				}
			})
		}
		id = r.ask(1).Grant.ID
		r.faulty.Fault = func(_ context.Context, s coretest.Step) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n == dieAt {
				died = true
			}
			if died {
				return errors.New("the process is dead")
			}
			return nil
		}
		change(func(g jit.Grant) jit.Grant { return g.Opened(r.now()) })
		change(func(g jit.Grant) jit.Grant { return g.Revoke(r.now(), jit.UserRequested) })
		change(func(g jit.Grant) jit.Grant { return g.Settled(r.now()) })
		mu.Lock()
		died = false
		steps = max(steps, n)
		mu.Unlock()
		r.faulty.Fault = nil
		r.restart(channel)
		r.after(2 * time.Hour)
		r.sweep()
		if left := r.left("webhook"); len(left) != 0 {
			t.Errorf("letters are left: %+v", left)
		}
		return a.taken()
	}
	want(t, "without a crash", run(t, 0), "Open 1", "Ended 2")
	if steps < 15 {
		t.Fatalf("%d steps are too few to be all", steps)
	}
	for at := 1; at <= steps; at++ {
		got := run(t, at)
		if once := slices.Compact(slices.Clone(got)); !slices.Equal(once, []string{"Open 1", "Ended 2"}) || len(got) > 3 {
			t.Errorf("died at step %d: told %q", at, got)
		}
	}
}
