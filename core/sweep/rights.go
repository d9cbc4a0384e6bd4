package sweep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/round"
	"portcullis/core/store"
)

// rightsBudget bounds how long a sweep asks for the rights of owners; of those that are left nothing is known.
const rightsBudget = time.Minute

// held is an owner of open windows at a machine, with the grants that hold them.
type held struct {
	who    jit.Caller
	vm     jit.ID
	grants []int // places in sweep.grants
	lacks  string
	left   string // why it could not be found out
}

// rights finds open windows whose owner could not ask for them any more. With CloseLost it marks them to close and gives their grants. One
// question is asked for each owner and machine. What could not be found out is no lost right: it is said, and nothing is closed.
func (w *sweep) rights(ctx context.Context) []store.GrantRecord {
	if w.Permit.Authority == nil {
		return nil
	}
	owners, unknown, reason := w.owners(), 0, ""
	bounded, cancel := context.WithTimeout(ctx, rightsBudget)
	defer cancel()
	w.failed(parallel.Each(owners, func(_ int, o *held) error {
		switch {
		case o.who.ID == "":
			o.left = "nothing stored says who asked"
		case !w.listed[strings.ToLower(o.vm.Subscription)]:
			o.left = "the subscription could not be listed"
		default:
			var err error
			if o.lacks, err = w.Permit.Lacks(bounded, o.who, permit.VerbRequest, o.vm); err != nil {
				o.left = store.Publicly(err)
			}
		}
		return nil
	}))
	lost := map[int][]jit.ID{}
	for _, o := range owners {
		if o.left != "" {
			unknown, reason = unknown+len(o.grants), o.left
			continue
		}
		for _, i := range o.grants {
			if o.lacks != "" {
				lost[i] = append(lost[i], o.vm)
				w.found(store.Finding{Kind: store.FindingRightLost, VM: o.vm, Grant: w.grants[i].Grant.ID,
					Message: fmt.Sprintf("%s has an open window for %s and could not ask for it any more: the permission %s is missing there", o.who.Name, o.vm.Name, o.lacks)})
			}
		}
	}
	if unknown > 0 {
		w.found(store.Finding{Kind: store.FindingUnchecked, Message: fmt.Sprintf("not looked at: whether those who asked for what is open could still do so, %d times (%s)", unknown, reason)})
	}
	if !w.CloseLost {
		return nil
	}
	closing := w.close(ctx, lost)
	w.closing = map[string]store.GrantRecord{}
	for _, rec := range closing {
		w.closing[rec.Grant.ID] = rec
	}
	return closing
}

// asMarked gives the open grants, those that are to close for a lost right as they are marked.
func (w *sweep) asMarked() []jit.Grant {
	var out []jit.Grant
	for _, rec := range w.grants {
		if marked, ok := w.closing[rec.Grant.ID]; ok {
			rec = marked
		}
		out = append(out, rec.Grant)
	}
	return out
}

// owners gives who has live windows at which machine.
func (w *sweep) owners() []*held {
	now := w.now()
	var out []*held
	at := map[string]*held{}
	for i, rec := range w.grants {
		for _, vm := range rec.Grant.VMs {
			if !rec.Grant.LiveAt(vm.VM, now) {
				continue
			}
			key := strings.ToLower(rec.Grant.RequestorID) + " " + vm.VM.Key()
			o := at[key]
			if o == nil {
				o = &held{who: jit.Caller{ID: rec.Grant.RequestorID, Name: rec.Grant.Requestor}, vm: vm.VM}
				at[key], out = o, append(out, o)
			}
			o.grants = append(o.grants, i)
		}
	}
	return out
}

// close marks the windows at machines to close, by the place of their grants, and gives those that are to close.
func (w *sweep) close(ctx context.Context, lost map[int][]jit.ID) []store.GrantRecord {
	var out []store.GrantRecord
	for i, vms := range lost {
		out = append(out, w.end(ctx, w.grants[i], round.Ending{Reason: jit.RightLost, Machine: func(vm jit.ID) bool { return slices.ContainsFunc(vms, vm.Equal) }})...)
	}
	slices.SortFunc(out, func(a, b store.GrantRecord) int { return cmp.Compare(a.Grant.ID, b.Grant.ID) })
	return out
}

// end marks windows of a grant to close for a reason of their own, and gives the grant where it is to close. A dry sweep gives what it would mark.
func (w *sweep) end(ctx context.Context, rec store.GrantRecord, e round.Ending) []store.GrantRecord {
	if w.dry {
		rec, _ = e.Of(rec, w.now())
		return []store.GrantRecord{rec}
	}
	rec, err := w.Rounds.End(ctx, rec, e)
	if err != nil {
		w.failed(err)
		return nil
	}
	if !rec.Grant.Overdue(w.now()) { // others have closed it
		return nil
	}
	return []store.GrantRecord{rec}
}
