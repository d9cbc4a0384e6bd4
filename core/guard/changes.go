package guard

import (
	"context"

	"portcullis/core/access"
	"portcullis/core/jit"
)

// shown leaves of changes what the caller may see: rules that are about the machines of the call, which he may change, and about
// others that he may read. What is not known to be so is counted and not shown: a security group is shared, and a rule tells from
// where another's machine can be reached, and until when.
func (g *Verbs) shown(ctx context.Context, who jit.Caller, named []jit.ID, changes []access.TargetChange) []access.TargetChange {
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
	var out []access.TargetChange
	for _, c := range changes {
		out = append(out, c.Among(visible))
	}
	return out
}
