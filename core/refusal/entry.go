package refusal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// What an entry holds of what was sent, so that it is never missing because it was large.
const (
	maxSources = 100
	maxText    = 4 << 10 // bytes
)

// Named is what a call says of one machine.
type Named struct {
	VM      jit.ID
	Ports   []uint16
	Sources []string
}

// Tell appends the one entry of a refusal, however many machines the call names, and returns err, joined with [store.ErrUnlogged]
// where the entry could not be written. An error that is no refusal is returned as it is.
//
// The entry is about the machine that the refusal names, else about the first one that is managed: who may read about
// one machine must not learn of another there. Where neither is managed it is about none: who may do nothing must not
// make up chains of the log.
func (l *Log) Tell(ctx context.Context, e store.Entry, named []Named, err error) error {
	why := jit.Refused(err)
	if why == nil {
		return err
	}
	e.ID, e.Time, e.Result, e.Reason, e.Message = l.NewID(), l.now(), store.Refused, string(why.Code), store.Cut(why.Message, maxText)
	e.Justification = store.Cut(e.Justification, maxText)
	if at := l.concerned(why.Target, named); at >= 0 {
		n := named[at]
		e.ID, e.VM = e.ID+"/"+n.VM.Key(), n.VM
		e.Ports = n.Ports[:min(len(n.Ports), jit.MaxPorts)]
		e.Sources = n.Sources[:min(len(n.Sources), maxSources)]
		if more := len(n.Sources) - len(e.Sources); more > 0 {
			e.Sources = append(e.Sources[:len(e.Sources):len(e.Sources)], fmt.Sprintf("and %d more", more))
		}
		if more := len(named) - 1; more > 0 {
			e.Message += fmt.Sprintf(" (the call names %d more machines)", more)
		}
	}
	if failed := l.append(ctx, e); failed != nil {
		return errors.Join(err, fmt.Errorf("%w: %w", store.ErrUnlogged, failed))
	}
	return err
}

// concerned returns which of the machines the entry of a refusal is about, -1 for none.
func (l *Log) concerned(target string, named []Named) int {
	first := -1
	for i, n := range named {
		managed := l.Subscriptions.Manages(n.VM, "") == nil
		if concerns(target, i, n.VM) {
			if managed {
				return i
			}
			return -1
		}
		if managed && first < 0 {
			first = i
		}
	}
	return first
}

// concerns reports whether the target of a refusal is the i-th machine of a call.
func concerns(target string, i int, vm jit.ID) bool {
	return strings.HasPrefix(target, fmt.Sprintf("virtualMachines[%d]", i)) || strings.EqualFold(target, vm.String())
}
