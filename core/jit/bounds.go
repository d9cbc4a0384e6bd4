package jit

import "fmt"

// Bounds on the contents of one call, beside [MaxVMs], [MaxJustification], [MaxPorts] and [MaxSources]. They are
// checked before anything else, so that an absurd request costs no more than reading it.
const (
	// MaxListedVMs is how many machines one policy of the compatible face, or one import, may name. It exceeds MaxVMs
	// because clients send whole policies back; MaxVMs still bounds what one call changes.
	MaxListedVMs = 1000
	// MaxMachineSources is how many prefixes all ports of one machine may name together. An NSG takes 4,000 source
	// prefixes over all of its rules.
	MaxMachineSources = 1000
	// MaxField is the longest text field in bytes, except for a justification. An ARM id has at most 500.
	MaxField = 512
)

// Bounds refuses more than [MaxPorts] ports, more than [MaxSources] prefixes for one port and more than
// [MaxMachineSources] for all ports. Targets are paths below the machine. sources holds the number of prefixes for
// each port.
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
