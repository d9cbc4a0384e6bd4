package defender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/core/claim"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/round"
	"portcullis/core/store"
)

// MaxRestored is how many machines one call of [Named.Restore] takes, and how many a document of policies may
// contain.
const MaxRestored = 10_000

// CodeNotReached is the code for machines that a call had no time for.
const CodeNotReached jit.Code = "NotReached"

// Held is the policy of one machine as it appears in a document: all of the machine's policy, and the named policy
// that lists it.
type Held struct {
	Name   store.PolicyName
	Policy jit.ValidPolicy
}

// Outcome is the result for one machine of a document, or in a dry run the expected result.
type Outcome string

// The outcomes.
const (
	Created   Outcome = "created"   // it had no policy
	Updated   Outcome = "updated"   // its policy was different
	Unchanged Outcome = "unchanged" // its policy was the same: nothing was written; a sweep checks its rules
	Failed    Outcome = "failed"    // Restored.Err says why
)

// Restored is the result for one machine.
type Restored struct {
	VM       jit.ID
	Outcome  Outcome
	Err      error       // for Failed; a *jit.Error for a refusal
	Narrowed narrow.Ends // what was open and is not allowed any more
}

// Restore makes the policies of machines match a document, and removes none: it changes no other machine's policy
// and takes no other machine out of a named policy. Options that the document does not state stay as stored. A
// machine that another named policy lists is refused. With dryRun it writes and logs nothing.
//
// An error means that nothing was done: more than [MaxRestored] machines, a duplicate machine, one of another
// subscription than its policy is in. Everything else is reported for each machine; a refused machine does not stop
// the others. Machines not begun by the time until get [CodeNotReached]. Repeating the call continues there, since
// finished machines are then unchanged.
func (s *Named) Restore(ctx context.Context, who jit.Caller, held []Held, dryRun bool, until time.Time) ([]Restored, error) {
	if err := checkHeld(held); err != nil {
		return nil, err
	}
	r := restoring{Named: s, who: who, held: held, out: make([]Restored, len(held)), records: make([]store.PolicyRecord, len(held)), before: make([]store.PolicyRecord, len(held))}
	for i, h := range held {
		r.out[i].VM = h.Policy.VM()
	}
	changed := r.compare(ctx)
	for some := range slices.Chunk(changed, jit.MaxVMs) {
		if !s.now().Before(until) {
			for _, i := range some {
				r.fail(i, &jit.Error{Code: CodeNotReached, Target: held[i].Policy.VM().String(), Message: "the call had no time left for this machine; send the document again"})
			}
			continue
		}
		r.carryOut(ctx, r.withRoom(ctx, some), dryRun)
	}
	if !dryRun {
		var policies []jit.Policy
		var errs []*error
		for i, h := range held {
			policies, errs = append(policies, h.Policy.Policy()), append(errs, &r.out[i].Err)
		}
		s.logRefused(ctx, who, policies, errs)
	}
	return r.out, nil
}

// checkHeld refuses what is wrong regardless of what is stored and who asks.
func checkHeld(held []Held) error {
	if len(held) > MaxRestored {
		return &jit.Error{Code: jit.CodeTooManyVMs, Target: "policies", Message: fmt.Sprintf("%d virtual machines; one document holds at most %d", len(held), MaxRestored)}
	}
	seen := map[string]bool{}
	for _, h := range held {
		at := h.Policy.VM().String()
		if seen[h.Policy.VM().Key()] {
			return &jit.Error{Code: jit.CodeDuplicateVM, Target: at, Message: h.Policy.VM().Name + " stands twice"}
		}
		seen[h.Policy.VM().Key()] = true
		if !strings.EqualFold(h.Policy.VM().Subscription, h.Name.Subscription) {
			return &jit.Error{Code: CodeOtherSubscription, Target: at, Message: h.Policy.VM().Name + " is in subscription " + h.Policy.VM().Subscription + ", the policy in " + h.Name.Subscription}
		}
	}
	return nil
}

// restoring is one call of Restore. Slices are indexed like the document's machines.
type restoring struct {
	*Named
	who     jit.Caller
	held    []Held
	out     []Restored
	records []store.PolicyRecord // as they should be stored
	before  []store.PolicyRecord // as they are stored
}

func (r *restoring) fail(i int, err error) { r.out[i].Outcome, r.out[i].Err = Failed, err }

// compare checks scope, permission and what is stored, in this order, and returns the indexes of the machines to
// write.
func (r *restoring) compare(ctx context.Context) []int {
	_ = parallel.Each(r.held, func(i int, h Held) error {
		vm := h.Policy.VM()
		err := parallel.Recover(func() (err error) {
			if err = r.Protection.Subscriptions.Manages(vm, vm.String()); err != nil {
				return err
			}
			if err = r.Permit.May(ctx, r.who, permit.VerbEnable, vm.String()); err != nil {
				return err
			}
			r.before[i], err = r.Protection.Policies.Policy(ctx, vm)
			return err
		})
		unknown := errors.Is(err, store.ErrNotFound)
		if unknown {
			err = r.mayList(ctx, r.who, h.Name, vm)
		}
		switch {
		case err == nil && unknown:
			r.out[i].Outcome = Created
		case err != nil:
			r.fail(i, err)
		default:
			r.out[i].Outcome = Updated
		}
		return nil
	})
	var moved []jit.ID
	var changed []int
	for i := range r.held {
		if r.out[i].Outcome != Failed && r.differs(i) {
			moved, changed = append(moved, r.held[i].Policy.VM()), append(changed, i)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	machines, err := r.Protection.Network.Locate(ctx, moved)
	return slices.DeleteFunc(changed, func(i int) bool {
		bad := err
		if bad == nil {
			r.records[i], bad = locatedRecord(r.records[i], machines, r.out[i].VM.String())
		}
		if bad != nil {
			r.fail(i, bad)
		}
		return bad != nil
	})
}

// differs builds the record of a machine, and reports whether it has to be stored.
func (r *restoring) differs(i int) bool {
	rec, h := r.before[i], r.held[i]
	if rec.Version != "" && rec.Listing().Key() != h.Name.Key() {
		r.fail(i, inOther(rec).At(h.Policy.VM().String()))
		return false
	}
	p := h.Policy.Policy()
	if p.Options == nil {
		p.Options = rec.Policy.Options
	}
	if rec.Version != "" && claim.Same(rec.Policy, p) {
		r.out[i].Outcome = Unchanged
		return false
	}
	rec.Policy, rec.ChangedBy, rec.ChangedAt = p, r.who.Name, r.now()
	if rec.Version == "" {
		rec.Since = rec.ChangedAt
	}
	rec.Listed = store.Listed{ResourceGroup: h.Name.ResourceGroup, Location: h.Name.Location, Name: h.Name.Name}
	r.records[i] = rec
	return true
}

// withRoom returns the machines among some that can be protected.
func (r *restoring) withRoom(ctx context.Context, some []int) []int {
	changed := make([]store.PolicyRecord, len(some))
	for j, i := range some {
		changed[j] = r.records[i]
	}
	hindered, err := r.hindered(ctx, replacement{changed: changed})
	var out []int
	for j, i := range some {
		r.records[i] = changed[j]
		bad := err
		if bad == nil {
			bad = hindered.Why(changed[j].Policy.VM)
		}
		if bad != nil {
			r.fail(i, bad)
			continue
		}
		out = append(out, i)
	}
	return out
}

// carryOut stores the policies of some machines, reconciles their targets and logs the results.
func (r *restoring) carryOut(ctx context.Context, some []int, dryRun bool) {
	if len(some) == 0 {
		return
	}
	if dryRun {
		r.preview(ctx, some)
		return
	}
	stored := r.put(ctx, some)
	all := slices.Clone(stored)
	for _, i := range some {
		all = append(all, r.before[i])
	}
	// The targets of the old and the new placements. On targets that map ports a policy changes no rule, and a round
	// may take minutes.
	targets := slices.DeleteFunc(targetsOfRecords(all), r.Protection.Kinds.Maps)
	narrowed, failed := r.Protection.Narrow(ctx, r.replacing(some))
	var mu sync.Mutex
	errs := map[string]error{}
	_ = parallel.Each(targets, func(_ int, t jit.ID) error {
		err := parallel.Recover(func() error {
			_, err := r.Protection.Rounds.ReconcileAll(ctx, []jit.ID{t}, round.Want{})
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		errs[t.Key()] = err
		return nil
	})
	failed = errors.Join(failed, r.Protection.Settle(ctx, narrowed))
	r.log(ctx, some, errs, narrowed, failed)
}

// put stores the policies of some machines, and returns those that it has stored.
func (r *restoring) put(ctx context.Context, some []int) []store.PolicyRecord {
	var mu sync.Mutex
	var stored []store.PolicyRecord
	_ = parallel.Each(some, func(_, i int) error {
		rec := store.PolicyRecord{}
		err := parallel.Recover(func() (err error) {
			rec, err = r.Protection.Policies.PutPolicy(ctx, r.records[i])
			return err
		})
		if errors.Is(err, store.ErrConflict) {
			err = &jit.Error{Code: store.CodeConcurrent, Target: r.out[i].VM.String(), Message: "the policy of " + r.out[i].VM.Name + " is being changed by others; send the document again"}
		}
		if err != nil {
			r.fail(i, err)
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		stored = append(stored, rec)
		return nil
	})
	return stored
}

// replacing returns the policies, stored or to be, of those among some machines that had one: where there was none, nothing is open.
func (r *restoring) replacing(some []int) []jit.Policy {
	var out []jit.Policy
	for _, i := range some {
		if r.out[i].Outcome == Updated {
			out = append(out, r.records[i].Policy)
		}
	}
	return out
}

// preview says what some machines' policies would end.
func (r *restoring) preview(ctx context.Context, some []int) {
	narrowed, err := r.Protection.PreviewNarrow(ctx, r.replacing(some))
	for _, i := range some {
		r.out[i].Narrowed = guard.Told(ctx, r.Permit, r.who, narrowed.At(r.out[i].VM.Equal))
		if err != nil {
			r.fail(i, err)
		}
	}
}

// log logs the results for machines whose policies were stored, with what they ended. failed is why not all of that is closed.
func (r *restoring) log(ctx context.Context, some []int, errs map[string]error, narrowed narrow.Ends, failed error) {
	var entries []store.Entry
	var told []int
	for _, i := range some {
		if r.out[i].Outcome == Failed {
			continue
		}
		err := failed
		r.out[i].Narrowed = guard.Told(ctx, r.Permit, r.who, narrowed.At(r.out[i].VM.Equal))
		for _, p := range slices.Concat(r.records[i].Placements, r.before[i].Placements) {
			if err == nil {
				err = errs[p.Target.Key()]
			}
		}
		if err != nil {
			r.fail(i, err)
		}
		told = append(told, i)
		entries = append(entries, store.Noted(r.Protection.EditEntries(r.who, store.OpEnable, r.records[i:i+1], r.before[i:i+1], err), narrowed.Says)...)
	}
	if len(entries) == 0 {
		return
	}
	if err := r.Protection.Activity.Append(ctx, entries...); err != nil {
		for _, i := range told {
			r.fail(i, errors.Join(r.out[i].Err, err))
		}
	}
}
