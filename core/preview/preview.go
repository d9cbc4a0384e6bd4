// Package preview tells what a verb did, or would do, to the rules of targets, and leaves of it what somebody may see.
//
// It decides nothing about who may see what, and writes nothing.
package preview

import (
	"context"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/plan"
	"portcullis/core/roster"
	"portcullis/core/round"
)

// Change is what a verb did, or would do, to the rules of one target.
type Change struct {
	Target  jit.ID
	Changes plan.Changes
	Hidden  int // how many changes more there are, to rules about machines that the caller may not read; 0 before [Change.Among]
	behind  map[netip.Addr][]jit.ID
}

// Among leaves the changes of rules that are about machines that may be shown. What is not known to be so is counted and not shown.
func (c Change) Among(shown func(vm jit.ID) bool) Change {
	of := func(rules []jit.Rule) []jit.Rule {
		left := slices.DeleteFunc(slices.Clone(rules), func(r jit.Rule) bool {
			vms, known := roster.Concerns(r, c.behind)
			return !known || slices.ContainsFunc(vms, func(vm jit.ID) bool { return !shown(vm) })
		})
		c.Hidden += len(rules) - len(left)
		return left
	}
	c.Changes = plan.Changes{Create: of(c.Changes.Create), Update: of(c.Changes.Update), Delete: of(c.Changes.Delete)}
	return c
}

// Of returns what the rounds of targets have written, or would write.
func Of(outs []round.Outcome) []Change {
	var list []Change
	for _, out := range outs {
		if out.Behind == nil {
			out.Behind = map[netip.Addr][]jit.ID{}
			out.State.Behind(out.Behind)
		}
		list = append(list, Change{Target: out.Target, Changes: out.Written, behind: out.Behind})
	}
	return list
}

// Standing tells what the changes of the targets that still exist would be if what is stored of each was changed: what is gone needs no change.
func Standing(ctx context.Context, rounds *round.Rounds, targets []jit.ID, change func(*roster.State)) ([]Change, error) {
	found := make([][]round.Outcome, len(targets))
	err := parallel.Each(targets, func(i int, t jit.ID) error {
		outs, err := rounds.Project(ctx, []jit.ID{t}, func(_ jit.ID, state *roster.State) { change(state) })
		if refused := jit.Refused(err); refused != nil && refused.Code == round.CodeTargetGone {
			return nil
		}
		found[i] = outs
		return err
	})
	if err != nil {
		return nil, err
	}
	return Of(slices.Concat(found...)), nil
}
