package guard

import (
	"context"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/permit"
	"portcullis/core/preview"
)

// Shown leaves of changes what the caller may see: rules that are about the machines of the call, which he may change, and about
// others that he may read. What is not known to be so is counted and not shown: a security group is shared, and a rule tells from
// where another's machine can be reached, and until when.
func Shown(ctx context.Context, p *permit.Permit, who jit.Caller, named []jit.ID, changes []preview.Change) []preview.Change {
	visible := readable(ctx, p, who, named...)
	var out []preview.Change
	for _, c := range changes {
		out = append(out, c.Among(visible))
	}
	return out
}

// Told leaves of what a change ends the windows at machines that the caller may read, and counts the others: who may change a policy
// need not be one who may know who connects.
func Told(ctx context.Context, p *permit.Permit, who jit.Caller, n narrow.Ends) narrow.Ends {
	return n.Among(readable(ctx, p, who))
}

// readable reports whether the caller may read a machine, or it is one of the known ones. It asks for each machine once.
func readable(ctx context.Context, p *permit.Permit, who jit.Caller, known ...jit.ID) func(vm jit.ID) bool {
	reads := map[string]bool{}
	for _, vm := range known {
		reads[vm.Key()] = true
	}
	return func(vm jit.ID) bool {
		ok, asked := reads[vm.Key()]
		if !asked {
			ok, _ = p.Reads(ctx, who, vm.String())
			reads[vm.Key()] = ok
		}
		return ok
	}
}
