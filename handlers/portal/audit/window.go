package audit

import (
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/words"
)

// Window is one window of the past, or one that is open.
type Window struct {
	Grant    string
	Who      string
	Object   string
	VM       jit.ID
	Port     uint16
	Protocol string
	Sources  string
	State    string
	Asked    time.Time
	Opened   time.Time // zero where the log says of no opening
	Until    time.Time
	Closed   time.Time // confirmed; zero where the log says of no closing
	By       string    // who had it closed
	Reason   string    // why it ended
	Why      string    // why it was asked for
}

// Operations are those of the log that tell of windows.
func Operations() []store.Operation {
	return []store.Operation{store.OpRequest, store.OpOpen, store.OpRevoke, store.OpClose}
}

// told is where the log tells of one machine of a request.
type told struct {
	grant, vm string
	op        store.Operation
}

// Windows returns one row for each window of grants that is looked for, in their order, with what the log tells of it.
func (f Filter) Windows(grants []jit.Grant, entries []store.Entry, now time.Time) []Window {
	log := map[told][]store.Entry{}
	for _, e := range entries {
		if e.Grant != "" && e.Result == store.Succeeded {
			at := told{e.Grant, e.VM.Key(), e.Operation}
			log[at] = append(log[at], e)
		}
	}
	var out []Window
	for _, g := range grants {
		object := jit.Caller{ID: g.RequestorID}.Actor().Object
		if !names(f.Who, g.Requestor, object) {
			continue
		}
		for _, vm := range g.VMs {
			if !f.machine(vm.VM) {
				continue
			}
			for _, w := range vm.Ports {
				row := Window{Grant: g.ID, Who: g.Requestor, Object: object, VM: vm.VM, Port: w.Number, Protocol: words.Protocol(w.Protocol), Sources: words.Sources(w.Sources),
					State: words.State(g, w, now), Asked: g.Start, Until: w.End, Reason: words.Reason(string(w.Reason)), Why: g.Justification}
				row.tell(func(op store.Operation) []store.Entry { return log[told{g.ID, vm.VM.Key(), op}] }, w)
				out = append(out, row)
			}
		}
	}
	return out
}

// tell adds what the log says of the window: entries come newest first, and those of a closing tell its end apart.
func (row *Window) tell(log func(store.Operation) []store.Entry, w jit.Window) {
	of := func(op store.Operation) (store.Entry, bool) {
		list := log(op)
		i := slices.IndexFunc(list, func(e store.Entry) bool {
			return slices.Contains(e.Ports, w.Number) && (op != store.OpClose || e.Reason == string(w.Reason))
		})
		if i < 0 {
			return store.Entry{}, false
		}
		return list[i], true
	}
	if e, ok := of(store.OpRequest); ok {
		row.Asked = e.Time
	}
	if e, ok := of(store.OpOpen); ok {
		row.Opened = e.Time
	}
	e, ok := of(store.OpClose)
	if !ok {
		return
	}
	row.Closed, row.By = e.Time, e.Requestor
	if e, ok := of(store.OpRevoke); ok && (w.Reason == jit.UserRequested || w.Reason == jit.LockedDown) {
		row.By = e.Requestor
	}
}
