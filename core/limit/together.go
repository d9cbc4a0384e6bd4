package limit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// Demands gives what is demanded of requests for a machine: the stricter of its policy's options and the installation's.
type Demands func(jit.ID) jit.Options

// Together refuses with [jit.CodeSourcesTogether] a grant as it would be whose windows would let in more than is demanded, together with
// the others that its requestor has at the same port of the same machine. These are looked for among the openings of states. One counts
// until it is confirmed closed, since it lets in until then, and not where it begins after the grant's window has ended, or ends before the start
// for which the grant has to wait. One that the grant
// takes the place of lets in the same addresses, so that it counts once.
//
// The refusal names the requestor's own windows, and nobody else's. Its target is what at gives: [InRequest] or [InGrant].
func Together(g jit.Grant, demands Demands, states []roster.State, now time.Time, at func(g jit.Grant, vm, port int) string) error {
	for i, vm := range g.VMs {
		options := demands(vm.VM)
		for j, w := range vm.Ports {
			if !g.Live(w, now) || options.Permit(jit.AnySource()) {
				continue
			}
			held := heldBeside(g, vm.VM, w, states)
			if len(held) == 0 {
				continue // alone it is what the request was decided by
			}
			if excess := options.Excess(w.Sources.Union(sourcesOf(held)...)); excess != "" {
				return &jit.Error{Code: jit.CodeSourcesTogether, Target: at(g, i, j),
					Message: fmt.Sprintf("together with %s, port %d of %s would be open to %s; close what you do not need, or name fewer addresses", told(held, now), w.Number, vm.VM.Name, excess)}
			}
		}
	}
	return nil
}

// InRequest names a port's sources as a path below a request with the grant's machines and ports.
func InRequest(_ jit.Grant, vm, port int) string {
	return fmt.Sprintf("virtualMachines[%d].ports[%d].allowedSourceAddressPrefix", vm, port)
}

// InGrant names a machine and a port of it.
func InGrant(g jit.Grant, vm, port int) string {
	return fmt.Sprintf("%s:%d", g.VMs[vm].VM.Name, g.VMs[vm].Ports[port].Number)
}

// held is a window and its grant.
type held struct {
	jit.Window
	grant jit.Grant
}

// heldBeside returns the other windows of a grant's requestor at the port of one of its windows, each once: those that ended first come first.
func heldBeside(g jit.Grant, vm jit.ID, w jit.Window, states []roster.State) []held {
	var out []held
	for _, s := range states {
		for _, o := range s.Openings {
			if o.Grant.ID == g.ID || !o.Grant.SameRequestor(g.RequestorID, g.Requestor) || !o.Grant.Begins().Before(w.End) {
				continue
			}
			for _, h := range windowsOf(o.Grant, vm, w.Number) {
				if h.Status != jit.Revoked && (!g.Unreleased() || h.End.After(g.Wait.Opens)) && !slices.ContainsFunc(out, func(k held) bool { return k.grant.ID == o.Grant.ID }) {
					out = append(out, h)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b held) int { return cmp.Or(a.End.Compare(b.End), cmp.Compare(a.grant.ID, b.grant.ID)) })
	return out
}

// windowsOf returns a grant's windows at a port of a machine: one, or none.
func windowsOf(g jit.Grant, vm jit.ID, number uint16) []held {
	var out []held
	for _, v := range g.VMs {
		for _, w := range v.Ports {
			if v.VM.Equal(vm) && w.Number == number {
				out = append(out, held{w, g})
			}
		}
	}
	return out
}

func sourcesOf(list []held) []jit.Sources {
	var out []jit.Sources
	for _, h := range list {
		out = append(out, h.Sources)
	}
	return out
}

// How many windows, and prefixes of one, a message names.
const (
	maxTold     = 3
	maxPrefixes = 2
)

// told names a requestor's windows to that requestor.
func told(list []held, now time.Time) string {
	var says []string
	for _, h := range list[:min(len(list), maxTold)] {
		until := "until " + h.End.UTC().Format(time.RFC3339)
		if !h.grant.Live(h.Window, now) {
			until = "which is not confirmed closed yet"
		}
		says = append(says, fmt.Sprintf("your window for %s %s", few(h.Sources), until))
	}
	if more := len(list) - maxTold; more > 0 {
		says = append(says, fmt.Sprintf("%d more of your windows", more))
	}
	return strings.Join(says, " and ")
}

// few names a set by its first prefixes.
func few(s jit.Sources) string {
	all := s.Strings()
	if more := len(all) - maxPrefixes; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxPrefixes], ", "), more)
	}
	return strings.Join(all, ", ")
}

// Excess is what one requestor's live windows at one port of one machine let in beyond what is demanded now.
type Excess struct {
	VM        jit.ID
	Number    uint16
	Requestor string
	Grants    []string  // ids of the grants, the one that ends last first
	Until     time.Time // when the last of the windows ends
	Says      string    // what is let in, such as "every address, which may not be asked for"
}

// Standing returns what stands open beyond what is demanded now: because the demand was tightened later, or for whatever other reason. It is
// sorted by machine, port and requestor.
func Standing(grants []jit.Grant, demands Demands, now time.Time) []Excess {
	type place struct {
		vm, id, name string
		number       uint16
	}
	found := map[place][]held{}
	vms := map[place]jit.ID{}
	for _, g := range grants {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if !g.Live(w, now) {
					continue
				}
				at := place{vm.VM.Key(), g.RequestorID, "", w.Number}
				if g.RequestorID == "" {
					at.name = g.Requestor
				}
				found[at], vms[at] = append(found[at], held{w, g}), vm.VM
			}
		}
	}
	var out []Excess
	for at, list := range found {
		says := demands(vms[at]).Excess(jit.Sources{}.Union(sourcesOf(list)...))
		if says == "" {
			continue
		}
		slices.SortFunc(list, func(a, b held) int { return cmp.Or(b.End.Compare(a.End), cmp.Compare(a.grant.ID, b.grant.ID)) })
		e := Excess{VM: vms[at], Number: at.number, Requestor: list[0].grant.Requestor, Until: list[0].End, Says: says}
		for _, h := range list {
			e.Grants = append(e.Grants, h.grant.ID)
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Excess) int {
		return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Requestor, b.Requestor), cmp.Compare(a.Grants[0], b.Grants[0]))
	})
	return out
}
