package round

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// stoodText is the message of the line about an opening that was never confirmed, and whose rule a write has removed.
const stoodText = "not confirmed open; the rule stood until it was removed"

// removed notes whose rules a target has lost by an ask of the closing: they stood until then.
func (k *closing) removed(a *ask) {
	if !slices.ContainsFunc(a.out.Written.Delete, func(r jit.Rule) bool { return ofGrantID(r, a.Grant) }) {
		return
	}
	if k.stood == nil {
		k.stood = map[string]bool{}
	}
	for _, p := range k.rec.Placements {
		if p.Target.Equal(a.out.Target) {
			for vm, addrs := range p.Addresses {
				k.stood[vm] = k.stood[vm] || len(addrs) > 0
			}
		}
	}
}

// stoodEntries returns the entries of windows whose rules stood and that were never confirmed open: of others the log has them.
func (k *closing) stoodEntries() []store.Entry {
	if len(k.stood) == 0 {
		return nil
	}
	return store.StoodEntries(k.rec.Grant, stoodText, k.at, func(vm jit.ID, w jit.Window) bool {
		return w.Unconfirmed && k.stood[vm.Key()]
	})
}

// tellRemoved logs openings that were never confirmed and whose rules a write has just removed, unless a closing that asked for the write does.
// It waits for nothing.
func (w *work) tellRemoved(ctx context.Context, out Outcome) {
	var all []jit.Grant
	for _, o := range out.State.Openings {
		all = append(all, o.Grant)
	}
	var entries []store.Entry
	for _, o := range out.State.Openings {
		id := o.Grant.ID
		if !slices.ContainsFunc(out.Plan.Changes.Delete, func(r jit.Rule) bool { return ofGrantID(r, id) }) ||
			w.some(w.queue, func(a *ask) bool { return a.closing != nil && a.Grant == id && a.place <= w.place }) {
			continue
		}
		entries = append(entries, store.StoodEntries(o.Grant, stoodText, out.At, func(vm jit.ID, p jit.Window) bool {
			return p.Unconfirmed && p.Status == jit.Revoking || p.Status == jit.Initiating && !o.Grant.Desired(vm, p, out.At, all)
		})...)
	}
	late := w.late(out)
	if len(entries)+len(late) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	w.background("log what stood on "+w.target.Name, func() error {
		bounded, cancel := context.WithTimeout(ctx, logWait)
		defer cancel()
		for _, r := range late {
			entries = append(entries, w.stoodLate(bounded, r, out.At)...)
		}
		return w.Activity.Append(bounded, entries...)
	})
}

// late returns the rules that a write has just removed although their grants were closed before: another instance's write, planned before that, had
// made them. There are few, and at most maxDueReads are told.
func (w *work) late(out Outcome) []jit.Rule {
	list := slices.DeleteFunc(slices.Clone(out.Plan.Changes.Delete), func(r jit.Rule) bool {
		id, ok := label.GrantOf(r.Name)
		return !ok || !out.State.Known || slices.ContainsFunc(out.State.Openings, func(o roster.Opening) bool { return o.Grant.ID == id })
	})
	return list[:min(len(list), maxDueReads)]
}

// stoodLate returns the entries of the windows of a closed grant that a rule let in, and that were never confirmed open.
func (w *work) stoodLate(ctx context.Context, r jit.Rule, now time.Time) []store.Entry {
	id, _ := label.GrantOf(r.Name)
	rec, err := w.Grants.Grant(ctx, id)
	if err != nil { // it was never stored, or cannot be read: the repair has a line
		return nil
	}
	return store.StoodEntries(rec.Grant, stoodText, now, func(vm jit.ID, p jit.Window) bool {
		at := slices.ContainsFunc(rec.Placements, func(at store.GrantPlacement) bool {
			return at.Target.Equal(w.target) && slices.ContainsFunc(at.Addresses[vm.Key()], func(a netip.Addr) bool {
				return slices.Contains(r.Destination.Prefixes, netip.PrefixFrom(a, a.BitLen()))
			})
		})
		return at && p.Unconfirmed && jit.HoldsPort(r.DestinationPorts, p.Number)
	})
}
