package access

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// MaxWaiting is how many requests of one requestor may wait to be opened. What waits takes no rule, so nothing else bounds it. Requests that are
// sent at the same moment may exceed it by their number.
const MaxWaiting = 20

// waiting returns a decided record as it is stored: one that waits, for approval or for its start, stands nowhere yet, and is placed again when it is
// opened. It refuses with [CodeTooManyWaiting].
func (s *Service) waiting(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	now := s.now()
	rec.Grant = decide.Wait(rec.Grant, s.Wait, now)
	if !rec.Grant.Waiting() {
		return rec, nil
	}
	rec.Grant = rec.Grant.Mapped(func(jit.ID, jit.Window) (netip.AddrPort, jit.Sources) { return netip.AddrPort{}, jit.Sources{} })
	rec.Placements, rec.Connect, rec.Replaces = nil, nil, nil
	if rec.Grant.Status() == jit.AwaitingApproval {
		rec.Tell = append(rec.Tell, store.Letter{Message: store.Message{Kind: store.EventWaiting}})
	}
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return rec, fmt.Errorf("read the open grants: %w", err)
	}
	waiting := 0
	for _, o := range open {
		if o.Grant.Waits(now) && o.Grant.SameRequestor(rec.Grant.RequestorID, rec.Grant.Requestor) {
			waiting++
		}
	}
	if waiting >= MaxWaiting {
		return rec, &jit.Error{Code: CodeTooManyWaiting, Target: "virtualMachines", Message: fmt.Sprintf("%d of your requests wait to be opened; cancel some, or wait until they are decided", waiting)}
	}
	return rec, nil
}

// Digest names the content of a grant that waits: the requestor, why, the machines, ports, sources, lengths or ends, and the start. Who approves
// sends it, so that exactly that is approved.
func Digest(g jit.Grant) string { return strings.TrimPrefix(digestOf(decide.Asked(g)), "digest-") }

// Holder is somebody who has a machine open.
type Holder struct {
	Requestor string
	VM        jit.ID
	Window    jit.Window
}

// Decided is a grant that waits, as it would be opened at once, or at its start.
type Decided struct {
	Record  store.GrantRecord // as it would be stored
	Changes []preview.Change  // what it would do to the rules of targets
	Open    []Holder          // who has windows at its machines now
}

// Redecide decides a grant that waits once more, as it was asked for, by the policies, demands and rules of now, whatever its
// approvals: as it would be opened at once, or at its start where that is still to come. It refuses what [Service.Request] refuses, and a machine
// that is another one by now. Windows that have ended while it waited stay ended. It writes nothing.
func (s *Service) Redecide(ctx context.Context, rec store.GrantRecord) (Decided, error) {
	now, asked := s.now(), decide.Asked(rec.Grant)
	if !asked.Opens.After(now) {
		asked.Opens = time.Time{} // it may have passed long ago
	}
	checked, err := decide.Validate(asked, now, decide.MaxAhead) // that it is not too far ahead was decided when it was asked for
	if err != nil {
		return Decided{}, err
	}
	fresh, states, err := s.decide(ctx, checked, rec.Grant.ID, now)
	if err != nil {
		return Decided{}, err
	}
	for i, vm := range fresh.Grant.Machines() {
		was, is := rec.Interfaces[vm.Key()], fresh.Interfaces[vm.Key()]
		if len(was) > 0 && !slices.ContainsFunc(was, func(nic string) bool { return slices.Contains(is, nic) }) {
			return Decided{}, &jit.Error{Code: CodeMachineReplaced, Target: fmt.Sprintf("virtualMachines[%d].id", i), Message: vm.Name + " is not the machine any more for which this was asked: it shares no network interface with it; send a new request"}
		}
	}
	outs, err := s.previewGrant(ctx, s.Rounds.Shown, states.of, fresh)
	if err != nil {
		return Decided{}, err
	}
	next := fresh
	next.Grant = decide.Redecided(rec.Grant, fresh.Grant)
	next.Grant.Start, next.Grant.Generation = rec.Grant.Start, rec.Grant.Generation+1
	next.Grant.Wait = rec.Grant.Wait
	next.Grant.Wait.Approvers, next.Grant.Wait.Released = fresh.Grant.Wait.Approvers, fresh.Grant.Begins()
	next.Intents, next.Told, next.Version = rec.Intents, rec.Told, rec.Version
	return Decided{Record: next, Changes: preview.Of(outs), Open: holders(rec.Grant, outs, now)}, nil
}

// holders returns who has live windows at the machines of a grant, by machine, end and requestor.
func holders(g jit.Grant, outs []round.Outcome, now time.Time) []Holder {
	var out []Holder
	seen := map[string]bool{}
	each := func(o roster.Opening) {
		for _, vm := range o.Grant.VMs {
			key := o.Grant.ID + " " + vm.VM.Key()
			if o.Grant.ID == g.ID || seen[key] || !slices.ContainsFunc(g.Machines(), vm.VM.Equal) {
				continue
			}
			seen[key] = true
			for _, w := range vm.Ports {
				if o.Grant.Live(w, now) {
					out = append(out, Holder{o.Grant.Requestor, vm.VM, w})
				}
			}
		}
	}
	for _, o := range outs {
		for _, opening := range o.State.Openings {
			each(opening)
		}
	}
	slices.SortFunc(out, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), a.Window.End.Compare(b.Window.End), cmp.Compare(a.Requestor, b.Requestor), cmp.Compare(a.Window.Number, b.Window.Number))
	})
	return out
}

// lookAgain is how long after its opening began a grant that has waited is looked at again: whoever opened it may have died.
const lookAgain = 30 * time.Second

// Release stores a grant that [Service.Redecide] has returned, to be opened at once: its wake-ups first. [Service.Open] opens it then. The
// error is [store.ErrConflict] where others have changed it since, and a refusal where it is held by now.
func (s *Service) Release(ctx context.Context, next store.GrantRecord) (store.GrantRecord, error) {
	wakes := store.WakesOf(next.Grant, s.now())
	at := next.Grant.Wait.Released.Add(lookAgain)
	// Of the generation before: a look that finds the grant open has nothing to do.
	wakes = append(wakes, store.Wake{Grant: next.Grant.ID, Generation: next.Grant.Generation - 1, At: at, Attempt: int(at.Unix())})
	if err := s.Alarm.Schedule(ctx, wakes...); err != nil {
		return next, fmt.Errorf("schedule the end: %w", err)
	}
	updated, err := s.storeOpen(ctx, next, nil)
	if err != nil {
		return next, fmt.Errorf("store the grant to be opened: %w", err)
	}
	s.tries.stored(next.Grant.ID)
	return updated[0], nil
}
