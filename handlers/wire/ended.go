package wire

import (
	"slices"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

// ToEnded writes what a change of policies ends; nil for nothing.
func ToEnded(n narrow.Ends) *EndedWindows {
	if len(n.Grants) == 0 && n.Hidden == 0 {
		return nil
	}
	out := &EndedWindows{Summary: n.String(), Hidden: n.Hidden}
	for _, g := range n.Grants {
		for _, vm := range g.VMs {
			at := map[string]int{} // in Shortens, by end
			closed := api.EndedWindow{Request: g.ID, VM: vm.VM.String()}
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
					out.Shortens = append(out.Shortens, api.EndedWindow{Request: g.ID, VM: closed.VM, End: end})
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
func ToClosed(n narrow.Ends) []api.EndedWindow {
	if ended := ToEnded(n); ended != nil {
		return ended.Closes
	}
	return nil
}

// toReplaced writes the windows whose place a request takes. One that could not be opened takes none.
func toReplaced(rec store.GrantRecord) []api.EndedWindow {
	var out []api.EndedWindow
	for _, w := range rec.Replaced() {
		one := api.EndedWindow{Request: w.Grant, VM: w.VM.String(), End: Stamp(w.End)}
		i := slices.IndexFunc(out, func(o api.EndedWindow) bool { return o.Request == one.Request && o.VM == one.VM && o.End == one.End })
		if i < 0 {
			i, out = len(out), append(out, one)
		}
		out[i].Ports = append(out[i].Ports, w.Port)
	}
	return out
}
