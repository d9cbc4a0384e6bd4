package jit

import "fmt"

// The bounds of what one call may say, beside [MaxVMs], [MaxJustification], [MaxPorts] and [MaxSources]. They are looked
// at before anything else, so that what nobody would send costs no more than its reading.
const (
	// MaxListedVMs is how many machines one policy of the compatible face, and one import, may name. It is more than
	// [MaxVMs], since clients send policies back whole; what changes in one call is bounded by MaxVMs all the same.
	MaxListedVMs = 1000
	// MaxMachineSources is how many prefixes the ports of one machine may name together. An NSG takes 4,000
	// source prefixes over all of its rules.
	MaxMachineSources = 1000
	// MaxField is how long one text may be, in bytes, but for a justification. An ARM id has at most 500.
	MaxField = 512
)

// Bounds refuses, with targets below the machine, more than [MaxPorts] ports, more than [MaxSources] prefixes for
// one port and more than [MaxMachineSources] for all of them. sources holds how many prefixes each port names.
func Bounds(sources []int) error {
	if len(sources) > MaxPorts {
		return refuse(CodeTooManyPorts, "ports", "%d ports; one machine takes at most %d", len(sources), MaxPorts)
	}
	all := 0
	for i, n := range sources {
		if n > MaxSources {
			return refuse(CodeTooManySources, fmt.Sprintf("ports[%d].allowedSourceAddressPrefixes", i), "%d source prefixes; one port takes at most %d", n, MaxSources)
		}
		all += n
	}
	if all > MaxMachineSources {
		return refuse(CodeTooManySources, "ports", "%d source prefixes over all ports; one machine takes at most %d", all, MaxMachineSources)
	}
	return nil
}
