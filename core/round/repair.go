package round

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
)

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
