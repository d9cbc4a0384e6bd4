package permit

import (
	"context"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// VisibleRecord returns the record of a grant as [Permit.Visible] reduces the grant: where machines stand that the caller may not read, and
// what went wrong with them, is left out. The grant of the result has no machine if the caller may read none.
func (p *Permit) VisibleRecord(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
	shown, err := p.Visible(ctx, who, rec.Grant)
	if err != nil {
		return store.GrantRecord{}, err
	}
	return shownOf(rec, shown), nil
}

// shownOf returns the record of a grant as far as its machines are shown: where the others
// stand, and what went wrong with it, is not.
func shownOf(rec store.GrantRecord, shown jit.Grant) store.GrantRecord {
	addresses := map[string][]netip.Addr{}
	for _, vm := range shown.Machines() {
		addresses[vm.Key()] = rec.Connect[vm.Key()]
	}
	out := store.GrantRecord{Grant: shown, Connect: addresses, Version: rec.Version}
	if len(shown.VMs) == len(rec.Grant.VMs) {
		out.Failed = rec.Failed
	}
	for _, w := range rec.Replaces {
		if slices.ContainsFunc(shown.Machines(), w.VM.Equal) {
			out.Replaces = append(out.Replaces, w)
		}
	}
	for _, p := range rec.Placements {
		here := map[string][]netip.Addr{}
		for _, vm := range shown.Machines() {
			if a := p.Addresses[vm.Key()]; len(a) > 0 {
				here[vm.Key()] = a
			}
		}
		if len(here) > 0 {
			out.Placements = append(out.Placements, store.GrantPlacement{Target: p.Target, Addresses: here, Confirmed: p.Confirmed})
		}
	}
	return out
}
