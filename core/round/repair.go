package round

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// repairs tells, in words, which of the changes undo what others have done to rules of ours. A rule that is created,
// changed or deleted because somebody asked for it, or because its time has come, is no repair. Two changes may be
// either: a deny that no round has seen confirmed yet, and one that has lost destinations. They count as repairs in a
// sweep only, in which nobody asks for a change.
func repairs(out Outcome, sweeping bool) []string {
	var what []string
	for _, r := range out.Plan.Changes.Create {
		if confirmed(out.State, r.Name) || r.Access == jit.Deny && (sweeping || out.State.Stood(r.Name)) {
			what = append(what, "restored "+r.Name)
		}
	}
	before := map[string]jit.Rule{}
	for _, r := range out.Current {
		before[strings.ToLower(r.Name)] = r
	}
	for _, r := range out.Plan.Changes.Update {
		if b := before[strings.ToLower(r.Name)]; (sweeping || tampered(b, r)) && !(r.Access == jit.Deny && plan.Redescribed(b, r)) {
			what = append(what, "corrected "+r.Name)
		}
	}
	for _, r := range out.Plan.Changes.Delete {
		if !stored(out.State, r.Name) && (sweeping || r.Access == jit.Allow) {
			what = append(what, "removed "+r.Name)
		}
	}
	return what
}

// confirmed reports whether the rule is of a grant with windows that are confirmed open.
func confirmed(state roster.State, rule string) bool {
	return ofGrant(state, rule, func(w jit.Window) bool { return w.Status == jit.Initiated })
}

// stored reports whether the rule is of a grant that is not closed yet: its deletion is then a closing, which has
// an entry of its own.
func stored(state roster.State, rule string) bool {
	return ofGrant(state, rule, func(jit.Window) bool { return true })
}

func ofGrant(state roster.State, rule string, is func(jit.Window) bool) bool {
	id, ok := label.GrantOf(rule)
	return ok && slices.ContainsFunc(state.Openings, func(o roster.Opening) bool {
		return o.Grant.ID == id && slices.ContainsFunc(o.Grant.VMs, func(vm jit.GrantVM) bool { return slices.ContainsFunc(vm.Ports, is) })
	})
}

// tampered reports whether a rule of ours was changed in what no verb changes in a
// rule that keeps its name: all but the priority, the destination and the description.
//
// The destination of a NAT rule is an address of the firewall, which no verb changes.
func tampered(was, want jit.Rule) bool {
	want.Priority, want.Description = was.Priority, was.Description
	if !want.Translated.IsValid() {
		want.Destination = was.Destination
	}
	return !was.Equal(want)
}

// Unnoted reports whether the denies that stand differ from those that are stored as confirmed.
func (out Outcome) Unnoted() bool {
	return out.State.Known && !slices.Equal(out.State.Confirmed, out.denies())
}

func (out Outcome) denies() []string {
	var names []string
	for _, r := range out.Plan.Rules {
		if note := out.Plan.Note(r); r.Access == jit.Deny && note != "" {
			names = append(names, note)
		}
	}
	return names // sorted, as the plan is
}

// expect stores which denies are about to be written, so that whoever finds one knows that it is ours to take back, also after a crash.
func (s *Rounds) expect(ctx context.Context, out Outcome) error {
	next := slices.Clone(out.State.Confirmed)
	for _, r := range slices.Concat(out.Plan.Changes.Create, out.Plan.Changes.Update) {
		note := out.Plan.Note(r)
		if e := roster.Expected(note); out.reguards(r) && note != "" && !slices.Contains(next, e) && !slices.Contains(next, note) {
			next = append(next, e)
		}
	}
	if len(next) == len(out.State.Confirmed) {
		return nil
	}
	slices.Sort(next)
	if err := s.Targets.Confirm(ctx, out.Target, out.State.Confirmed, next); err != nil {
		return fmt.Errorf("note what is about to be written to %s: %w", out.Target.Name, err)
	}
	return nil
}

// note stores which denies a round has seen confirmed: one that is missing later was removed by others.
func (s *Rounds) note(ctx context.Context, out Outcome) error {
	if !out.Unnoted() {
		return nil
	}
	if err := s.Targets.Confirm(ctx, out.Target, out.State.Confirmed, out.denies()); err != nil {
		return fmt.Errorf("note the confirmed rules of %s: %w", out.Target.Name, err)
	}
	return nil
}

// logRepair writes the entry of a repair before the repair is made. The entry's id is the same for every try, so that
// there is one entry.
func (s *Rounds) logRepair(ctx context.Context, out Outcome, version string, what []string) error {
	if len(what) == 0 {
		return nil
	}
	e := store.EntryBy(jit.App(), store.OpRepair)
	e.ID, e.Time, e.Result, e.Target = fmt.Sprintf("repair/%s/%s", out.Target.Key(), version), out.At, store.Succeeded, out.Target
	e.Message = out.Target.Name + ": " + strings.Join(what, ", ")
	if err := s.Activity.Append(ctx, e); err != nil {
		return fmt.Errorf("write the activity log: %w", err)
	}
	return nil
}
