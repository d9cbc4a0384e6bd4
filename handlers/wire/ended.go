package wire

import (
	"slices"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/store"
)

// DisableAnswer is the machines that were disabled.
type DisableAnswer struct {
	DryRun          bool           `json:"dryRun,omitzero"`
	VirtualMachines []vmRef        `json:"virtualMachines"`
	Closes          []endedWindow  `json:"closes,omitempty"`       // the windows that were, or would be, closed
	Hidden          int            `json:"hiddenWindows,omitzero"` // how many more, at machines that the caller may not read
	Changes         []targetChange `json:"changes,omitempty"`      // of a dry run: to the rules
}

// EndedWindows is the windows that a change of policies ends, or in a dry run would end.
type EndedWindows struct {
	Summary  string        `json:"summary"` // such as "closes 2 windows"
	Closes   []endedWindow `json:"closes,omitempty"`
	Shortens []endedWindow `json:"shortens,omitempty"` // they end earlier: when the policy's maximum is over
	Hidden   int           `json:"hidden,omitzero"`    // how many more, at machines that the caller may not read
}

// endedWindow is the windows of one request on one machine that end together.
type endedWindow struct {
	Request string   `json:"request" api:"uuid"`
	VM      string   `json:"virtualMachine" api:"vm"`
	Ports   []uint16 `json:"ports"`
	End     string   `json:"endTimeUtc,omitempty" api:"time"` // of windows that end earlier, or that are replaced
}

// ToEnded writes what a change of policies ends; nil for nothing.
func ToEnded(n narrow.Ends) *EndedWindows {
	if len(n.Grants) == 0 && n.Hidden == 0 {
		return nil
	}
	out := &EndedWindows{Summary: n.String(), Hidden: n.Hidden}
	for _, g := range n.Grants {
		for _, vm := range g.VMs {
			at := map[string]int{} // in Shortens, by end
			closed := endedWindow{Request: g.ID, VM: vm.VM.String()}
			for _, w := range vm.Ports {
				if w.Status == jit.Revoking || w.Status == jit.Revoked {
					closed.Ports = append(closed.Ports, w.Number)
					continue
				}
				end := Stamp(w.End)
				i, ok := at[end]
				if !ok {
					i = len(out.Shortens)
					at[end] = i
					out.Shortens = append(out.Shortens, endedWindow{Request: g.ID, VM: closed.VM, End: end})
				}
				out.Shortens[i].Ports = append(out.Shortens[i].Ports, w.Number)
			}
			if len(closed.Ports) > 0 {
				out.Closes = append(out.Closes, closed)
			}
		}
	}
	return out
}

// ToClosed writes the windows that a disable closes.
func ToClosed(n narrow.Ends) []endedWindow {
	if ended := ToEnded(n); ended != nil {
		return ended.Closes
	}
	return nil
}

// toReplaced writes the windows whose place a request takes. One that could not be opened takes none.
func toReplaced(rec store.GrantRecord) []endedWindow {
	var out []endedWindow
	for _, w := range rec.Replaced() {
		one := endedWindow{Request: w.Grant, VM: w.VM.String(), End: Stamp(w.End)}
		i := slices.IndexFunc(out, func(o endedWindow) bool { return o.Request == one.Request && o.VM == one.VM && o.End == one.End })
		if i < 0 {
			i, out = len(out), append(out, one)
		}
		out[i].Ports = append(out[i].Ports, w.Port)
	}
	return out
}
