package wire

import (
	"fmt"
	"time"

	"portcullis/core/jit"
)

// SayCut warns at open ports that close before the end that was asked for: one up to [jit.ClockSkew] beyond the policy's
// maximum is cut to it. asked gives that end by the places of machine and port, or the zero time.
func SayCut(g *GrantAnswer, asked func(vm, port int) time.Time) {
	for i, vm := range g.VMs {
		for j := range vm.Ports {
			p, end := &vm.Ports[j], Stamp(asked(i, j))
			if open := p.Status == jit.Initiated.String() || p.Status == jit.Initiating.String(); open && !g.Drill && p.End < end { // texts of one length
				maximum := "the policy's maximum"
				if g.BreakGlass {
					maximum = "the maximum of the policy and of break-glass"
				}
				p.Warnings = append(p.Warnings, fmt.Sprintf("the end that was asked for, %s, is beyond %s: the port closes at %s", end, maximum, p.End))
			}
		}
	}
}

// Ends gives the ends that a request asks for, for [SayCut].
func (b RequestBody) Ends(vm, port int) time.Time {
	if vm >= len(b.VirtualMachines) || port >= len(b.VirtualMachines[vm].Ports) {
		return time.Time{}
	}
	_, end, _ := Ending(nil, b.VirtualMachines[vm].Ports[port].End, "") // it could be read before
	return end
}
