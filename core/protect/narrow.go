package protect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/parallel"
	"portcullis/core/round"
	"portcullis/core/store"
)

// ending changes a grant, and reports whether it has.
type ending func(jit.Grant) (jit.Grant, bool)

// narrowing returns the policies of records, with the options that are stored where they state none.
func narrowing(records []store.PolicyRecord, known map[string]store.PolicyRecord) []jit.Policy {
	var out []jit.Policy
	for _, rec := range records {
		if rec.Policy.Options == nil {
			rec.Policy.Options = known[rec.Policy.VM.Key()].Policy.Options
		}
		out = append(out, rec.Policy)
	}
	return out
}

// narrowed is [decide.Narrow] by each of the policies.
func (s *Protection) narrowed(g jit.Grant, policies []jit.Policy) (jit.Grant, bool) {
	changed := false
	for _, p := range policies {
		next, some := decide.Narrow(g, p, s.Floor, s.now())
		g, changed = next, changed || some
	}
	return g, changed
}

// without ends what is open at machines whose policies go.
func (s *Protection) without(vms []jit.ID) ending {
	return func(g jit.Grant) (jit.Grant, bool) {
		before := g
		for _, vm := range vms {
			g = g.RevokeVM(vm, s.now(), jit.PolicyRemoved)
		}
		if _, changed := narrow.Differing(before, g, anyVM); !changed {
			return before, false
		}
		return g, true
	}
}

func anyVM(jit.ID) bool { return true }

// Narrow brings what is open at the machines of policies within what is stored of them: windows that could not be requested now are marked to
// close, and those that are longer than the policies allow now end earlier (see [decide.Narrow]). Call it once the policies are stored: a request that was decided
// before then is among what is open, or finds them when it opens. Then reconcile the targets, and call [Protection.Settle].
// Repeating it does what an error has left.
func (s *Protection) Narrow(ctx context.Context, policies []jit.Policy) (narrow.Ends, error) {
	if len(policies) == 0 {
		return narrow.Ends{}, nil
	}
	var vms []jit.ID
	for _, p := range policies {
		vms = append(vms, p.VM)
	}
	var bad error
	ends, err := s.narrow(ctx, vms, func(g jit.Grant) (jit.Grant, bool) {
		stored, err := s.storedOf(ctx, g, vms)
		bad = errors.Join(bad, err)
		return s.narrowed(g, stored)
	})
	return ends, errors.Join(err, bad)
}

// storedOf reads the policies of those machines of a grant that are among vms. They are at least as new as those that allowed the grant, which was
// read before: what a newer change of a policy allows does not end for the sake of an older one. A machine that has none any more is left to who
// took it away.
func (s *Protection) storedOf(ctx context.Context, g jit.Grant, vms []jit.ID) ([]jit.Policy, error) {
	var out []jit.Policy
	for _, vm := range g.Machines() {
		if !slices.ContainsFunc(vms, vm.Equal) {
			continue
		}
		rec, err := s.Policies.Policy(ctx, vm)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the policy of %s: %w", vm.Name, err)
		}
		out = append(out, rec.Policy)
	}
	return out, nil
}

// PreviewNarrow returns what [Protection.Narrow] would end, and writes nothing.
func (s *Protection) PreviewNarrow(ctx context.Context, policies []jit.Policy) (narrow.Ends, error) {
	if len(policies) == 0 {
		return narrow.Ends{}, nil
	}
	out, _, err := s.previewNarrow(ctx, func(g jit.Grant) (jit.Grant, bool) { return s.narrowed(g, policies) })
	return out, err
}

// narrow stores what end makes of each open grant. The wake-ups for new ends come before the ends. What is to close already at the
// machines is settled with the rest.
func (s *Protection) narrow(ctx context.Context, vms []jit.ID, end ending) (narrow.Ends, error) {
	var out narrow.Ends
	var failed error // of one grant; the others end all the same
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return out, fmt.Errorf("read the open grants: %w", err)
	}
	among := func(vm jit.ID) bool { return slices.ContainsFunc(vms, vm.Equal) }
	for _, rec := range open {
		if !slices.ContainsFunc(rec.Grant.Machines(), among) {
			continue
		}
		var part narrow.Ends
		rec, err := store.ChangeOrRefuse(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
			before := g.Grant
			next, changed := end(before)
			if part = (narrow.Ends{}); !changed {
				return g, false, nil
			}
			differing, _ := narrow.Differing(before, next, among)
			part.Grants = []jit.Grant{differing}
			g.Grant = next
			if _, shortens := part.Windows(); shortens > 0 {
				failed = errors.Join(failed, s.Alarm.Schedule(ctx, store.WakesOf(next, s.now())...)) // without a wake-up the sweep ends it
			}
			return g, true, nil
		})
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		out = out.With(part)
		if rec.Grant.Overdue(s.now()) {
			out.Marked = append(out.Marked, rec)
		}
	}
	return out, failed
}

// previewNarrow returns what narrow would end, and the targets of those grants.
func (s *Protection) previewNarrow(ctx context.Context, end ending) (narrow.Ends, []jit.ID, error) {
	var out narrow.Ends
	var targets []jit.ID // where the windows stand, which need not be where the policies do
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return out, nil, fmt.Errorf("read the open grants: %w", err)
	}
	for _, rec := range open {
		next, _ := end(rec.Grant)
		if part, changed := narrow.Differing(rec.Grant, next, anyVM); changed {
			out.Grants, targets = append(out.Grants, part), append(targets, rec.Targets()...)
		}
	}
	return out, targets, nil
}

// Settle waits until what was marked to close is closed. What ends earlier has its rules' descriptions brought in order with the targets.
func (s *Protection) Settle(ctx context.Context, n narrow.Ends) error {
	errs := make([]error, len(n.Marked))
	_ = parallel.AtOnce(n.Marked, func(i int, g store.GrantRecord) error {
		_, errs[i] = s.Rounds.Close(ctx, g, round.Want{})
		return nil
	})
	return errors.Join(errs...)
}
