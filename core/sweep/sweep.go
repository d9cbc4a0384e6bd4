package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// sweep is one pass over everything.
type sweep struct {
	*Sweeper
	rec      store.SweepRecord
	dry      bool                       // nothing is written
	machines map[string]network.Machine // of the subscriptions that were listed
	listed   map[string]bool            // those subscriptions, in lower case
	snaps    map[string]network.Standing
	known    map[string]bool // the targets that the store knows, by key
	grants   []store.GrantRecord
	began    map[string]bool              // grants with a window that was confirmed open before the rules were listed, by id
	granted  map[string]jit.Policy        // of machines with an open grant, by key; set by follow
	whole    bool                         // every policy was read: a machine that is not among granted had none; set by follow
	closing  map[string]store.GrantRecord // those marked to close for a lost right, by id; set by rights
	networks map[string]network.Machine   // one protected machine in each virtual network; set by follow
	unlisted map[string]bool              // kinds of target, by subscription and type, that could not be listed

	mu    sync.Mutex // guards rec and what follows
	errs  []error
	ended map[string]bool     // grants that rounds have ended by themselves, by id
	stood map[string]bool     // unconfirmed grants whose rules stand, by id and target
	gone  []store.GrantRecord // marked to close because a rule was missing
	laid  []side.Group        // what became of every security group, as far as it bears on what is exposed
	after []func()            // what ends with the sweep
}

// Sweep finds and repairs whatever wake-ups have missed. In this order it
//
//   - lists machines, targets and open grants;
//   - moves policies and grants to where their machines stand now;
//   - ends windows that their policies do not allow, or whose machines have none any more, where a change of a policy died half way;
//   - marks to close what is locked down, and logs that, where a lock-down died half way;
//   - settles every grant with something past its end, and undoes openings that were never
//     confirmed: closings come before all else;
//   - goes on with grants that wait to be opened, beside everything else;
//   - asks whether the owners of open windows could still ask for them;
//   - reconciles every target whose rules are not what they should be, ours and those
//     that hold rules of ours without being known, and closes windows whose rules are missing where it is not
//     certain that nobody has ended them;
//   - looks what else can be reached, and what security admin rules do, machine by machine;
//   - logs openings whose rules stand, and whose callers may have died before they could;
//   - looks which reviews of break-glass are owed;
//   - delivers messages that are left, and sends the activity log away, beside everything else;
//   - removes idempotency keys that have expired;
//   - stores what it found. That record is the heartbeat.
//
// It walks the policies twice, first to update them and at the end to check them, and holds only one page of them
// and the policies of machines with an open grant. It holds all machines and rules as Azure lists them, and the
// open grants; their number is bounded, since each grant takes a rule on each of its targets and a security group
// holds 1,000.
//
// An error for one subscription, target or grant does not stop the rest: the record and the error name it. Sweep
// may run twice, or concurrently with any verb.
//
// If a sweep is killed or runs out of time, the next one continues from there: the record, which is stored as it
// runs, names the target to continue from.
func (s *Sweeper) Sweep(ctx context.Context, who jit.Caller) (store.SweepRecord, error) {
	w := s.begin()
	defer w.unfollow()
	w.resume(ctx)
	w.list(ctx)
	w.follow(ctx)
	w.narrow(ctx)
	w.lockedDown(ctx)
	targets := w.targets(ctx)
	w.rec.Targets = len(targets)
	mapping := slices.DeleteFunc(slices.Clone(targets), func(t jit.ID) bool { return !w.Kinds.Maps(t) })
	var slow sync.WaitGroup
	open := slices.Clone(w.grants)
	slow.Go(func() { w.tell(ctx, open) })
	slow.Go(func() { w.stream(ctx) })
	slow.Go(func() {
		w.failed(w.Rounds.Recovered("the sweep of firewalls", func() error { w.firewalls(ctx, mapping); return nil }))
	})
	w.settle(ctx, w.due(func(g store.GrantRecord) bool { return !w.isSlow(g) }))
	slow.Go(func() { w.pend(ctx, open) })
	lost := w.rights(ctx)
	slow.Go(func() {
		w.failed(w.Rounds.Recovered("the sweep of lost rights", func() error { w.settle(ctx, keep(lost, w.isSlow)); return nil }))
	})
	w.settle(ctx, keep(lost, func(g store.GrantRecord) bool { return !w.isSlow(g) }))
	w.repair(ctx, slices.DeleteFunc(targets, w.Kinds.Maps))
	w.settle(ctx, w.takeGone(func(g store.GrantRecord) bool { return !w.isSlow(g) }))
	w.judge(ctx)
	w.reviews(ctx)
	w.dropKeys(ctx)
	slow.Wait()
	w.settle(ctx, w.takeGone(w.isSlow))
	w.tellStood(ctx)
	w.rec.Ended = s.now()
	if w.rec.Next == "" {
		w.rec.Completed = w.rec.Ended
	}
	err := w.told()
	entry := store.EntryBy(who, store.OpSweep)
	entry.ID, entry.Time, entry.Result = s.NewID(), w.rec.Ended, store.Succeeded
	entry.Message = fmt.Sprintf("%d targets, %d changed, %d grants closed, %d findings", w.rec.Targets, w.rec.Changed, w.rec.Closed, len(w.rec.Findings))
	if err != nil {
		entry.Result, entry.Reason = store.Failed, w.rec.Error
	}
	return w.rec, errors.Join(err, s.Sweeps.PutSweep(ctx, w.rec), s.Activity.Append(ctx, entry))
}

// begin is a sweep of which nothing is done.
func (s *Sweeper) begin() *sweep {
	w := &sweep{Sweeper: s, machines: map[string]network.Machine{}, listed: map[string]bool{}, snaps: map[string]network.Standing{}, unlisted: map[string]bool{}, known: map[string]bool{}, began: map[string]bool{}, granted: map[string]jit.Policy{}, networks: map[string]network.Machine{}, ended: map[string]bool{}, stood: map[string]bool{}}
	w.rec.Started = s.now()
	return w
}

// told sorts the findings, and gives what could not be done, which the record tells as far as everybody may know it.
func (w *sweep) told() error {
	err := errors.Join(w.errs...)
	if err != nil {
		w.rec.Error = store.Publicly(err)
	}
	slices.SortFunc(w.rec.Findings, func(a, b store.Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target.Key(), b.Target.Key()), cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Message, b.Message))
	})
	return err
}

// keyGrace is how long after its expiry a key is removed, so that an instance whose clock is behind still finds
// it. maxKeys bounds the removals of one sweep: it is more than the requests that can arrive between two sweeps,
// given the ten writes a second that Resource Manager accepts.
const (
	keyGrace = 10 * time.Minute
	maxKeys  = 5000
)

func (w *sweep) dropKeys(ctx context.Context) {
	if _, err := w.Keys.DropKeys(ctx, w.now().Add(-keyGrace), maxKeys); err != nil {
		w.failed(err)
	}
}

// resume reads from the last record where to continue and when the last complete sweep ended.
func (w *sweep) resume(ctx context.Context) {
	last, err := w.Sweeps.LastSweep(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.failed(fmt.Errorf("read the last sweep: %w", err)) // start from the first target
	}
	w.rec.Next, w.rec.Completed = last.Next, last.Completed
}

func (w *sweep) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *sweep) found(f store.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Since = w.rec.Started
	w.rec.Findings = append(w.rec.Findings, f)
}

// list reads everything once. The rules of all targets of a subscription are one paged list.
func (w *sweep) list(ctx context.Context) {
	var err error
	if w.grants, err = w.Grants.OpenGrants(ctx); err != nil {
		w.failed(fmt.Errorf("read the open grants: %w", err))
	}
	for _, rec := range w.grants {
		w.began[rec.Grant.ID] = rec.Grant.AnyOpen(w.now())
	}
	machines := make([][]network.Machine, len(w.Subscriptions))
	snaps := make([][]network.Standing, len(w.Subscriptions))
	ok := make([]bool, len(w.Subscriptions))
	w.failed(parallel.Each(w.Subscriptions, func(i int, sub string) (err error) {
		if machines[i], err = w.Network.Machines(ctx, sub); err != nil {
			return fmt.Errorf("list the machines of subscription %s: %w", sub, err)
		}
		ok[i] = true
		snaps[i], err = w.listTargets(ctx, sub)
		return err
	}))
	for i, sub := range w.Subscriptions {
		w.listed[strings.ToLower(sub)] = ok[i]
		for _, m := range machines[i] {
			w.machines[m.VM.Key()] = m
		}
		for _, snap := range snaps[i] {
			w.snaps[snap.Target.Key()] = snap
		}
	}
}

// listTargets reads the targets of every kind. A kind that cannot be listed, such as for lack of a permission,
// does not stop the others.
func (w *sweep) listTargets(ctx context.Context, sub string) ([]network.Standing, error) {
	var out []network.Standing
	var errs []error
	for _, k := range w.Kinds.Sorted() {
		snaps, err := w.Rounds.List(ctx, network.Ordinary(), k, sub)
		if err != nil {
			errs = append(errs, fmt.Errorf("list every %s of subscription %s: %w", k.Noun, sub, err))
			w.mu.Lock()
			w.unlisted[strings.ToLower(sub+"/"+k.Type)] = true
			w.mu.Unlock()
		}
		out = append(out, snaps...)
	}
	return out, errors.Join(errs...)
}

// firewalls closes and repairs on targets whose writes take minutes. It runs concurrently with the rest of the
// sweep, for at most sweepBudget; rounds in progress then continue by themselves.
func (w *sweep) firewalls(ctx context.Context, targets []jit.ID) {
	ctx, cancel := context.WithTimeout(ctx, sweepBudget)
	defer cancel()
	w.settle(ctx, w.due(w.isSlow))
	w.repairEach(ctx, targets)
}

// isSlow reports whether a grant has a target whose writes take minutes.
func (w *sweep) isSlow(g store.GrantRecord) bool {
	return slices.ContainsFunc(g.Targets(), w.Kinds.Maps)
}

// due gives the grants that count and have something past its end.
func (w *sweep) due(count func(store.GrantRecord) bool) []store.GrantRecord {
	now := w.now()
	return keep(w.grants, func(g store.GrantRecord) bool { return g.Grant.Overdue(now) && count(g) })
}

func keep(grants []store.GrantRecord, f func(store.GrantRecord) bool) []store.GrantRecord {
	return slices.DeleteFunc(slices.Clone(grants), func(g store.GrantRecord) bool { return !f(g) })
}

// settle closes grants that are due.
func (w *sweep) settle(ctx context.Context, due []store.GrantRecord) {
	closed := make([]store.GrantRecord, len(due))
	counts := make([]bool, len(due))
	errs := make([]error, len(due))
	bounded, cancel := context.WithTimeout(ctx, sweepBudget/2) // in a storm the rest continues in the background
	defer cancel()
	w.Rounds.CloseAll(bounded, due, round.Want{Sweep: true}, func(i int, rec store.GrantRecord, mine bool, err error) {
		closed[i], counts[i], errs[i] = rec, mine, err
	})
	for i, g := range due {
		vm, since := dueAt(g.Grant, w.now())
		switch {
		case errs[i] != nil:
			w.failed(errs[i])
			w.found(store.Finding{Kind: store.FindingOverdue, VM: vm, Grant: g.Grant.ID, Message: fmt.Sprintf("a window of %s for %s ended at %s and is not confirmed closed: %s", g.Grant.Requestor, vm.Name, since.Format(time.RFC3339), store.Publicly(errs[i]))})
		case closed[i].Grant.Closed():
			if counts[i] {
				w.mu.Lock()
				w.rec.Closed++
				w.mu.Unlock()
			}
			if closed[i].Grant.Reason() == jit.OpeningFailed {
				w.found(store.Finding{Kind: store.FindingOpeningFailed, VM: vm, Grant: g.Grant.ID, Message: "an opening for " + vm.Name + " was never confirmed and has been undone"})
			}
		}
	}
}

// dueAt returns the machine of which something is due for the longest time, and since when; the first machine and the grant's end if
// nothing is.
func dueAt(g jit.Grant, now time.Time) (vm jit.ID, since time.Time) {
	vm, since = g.VMs[0].VM, g.End()
	found := false
	for _, of := range g.VMs {
		part := g
		part.VMs = []jit.GrantVM{of}
		if at, due := part.DueSince(now); due && (!found || at.Before(since)) {
			vm, since, found = of.VM, at, true
		}
	}
	return vm, since
}
