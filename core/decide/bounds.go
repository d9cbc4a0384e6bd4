package decide

import (
	"fmt"

	"portcullis/core/jit"
)

// Bounds refuses more than [jit.MaxPorts] ports, more than [jit.MaxSources] prefixes for one port and more than
// [jit.MaxMachineSources] for all ports. Targets are paths below the machine. sources holds the number of prefixes for
// each port.
func Bounds(sources []int) error {
	if len(sources) > jit.MaxPorts {
		return refuse(jit.CodeTooManyPorts, "ports", "%d ports; one machine takes at most %d", len(sources), jit.MaxPorts)
	}
	all := 0
	for i, n := range sources {
		if n > jit.MaxSources {
			return refuse(jit.CodeTooManySources, fmt.Sprintf("ports[%d].allowedSourceAddressPrefixes", i), "%d source prefixes; one port takes at most %d", n, jit.MaxSources)
		}
		all += n
	}
	if all > jit.MaxMachineSources {
		return refuse(jit.CodeTooManySources, "ports", "%d source prefixes over all ports; one machine takes at most %d", all, jit.MaxMachineSources)
	}
	return nil
}
