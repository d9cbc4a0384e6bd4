package access

import (
	"context"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// shown leaves of changes what the caller may see: rules that are about the machines of the call, which he may change, and about
// others that he may read. What is not known to be so is counted and not shown: a security group is shared, and a rule tells from
// where another's machine can be reached, and until when.
func (g *Guard) shown(ctx context.Context, who jit.Caller, named []jit.ID, changes []TargetChange) []TargetChange {
	reads := map[string]bool{}
	for _, vm := range named {
		reads[vm.Key()] = true
	}
	visible := func(vm jit.ID) bool {
		ok, asked := reads[vm.Key()]
		if !asked {
			ok, _ = g.Permit.Reads(ctx, who, vm.String())
			reads[vm.Key()] = ok
		}
		return ok
	}
	var out []TargetChange
	for _, c := range changes {
		of := func(rules []jit.Rule) []jit.Rule {
			left := keep(rules, func(r jit.Rule) bool {
				vms, known := plan.Concerns(r, c.behind)
				return known && !slices.ContainsFunc(vms, func(vm jit.ID) bool { return !visible(vm) })
			})
			c.Hidden += len(rules) - len(left)
			return left
		}
		c.Changes = plan.Changes{Create: of(c.Changes.Create), Update: of(c.Changes.Update), Delete: of(c.Changes.Delete)}
		out = append(out, c)
	}
	return out
}
