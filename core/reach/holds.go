package reach

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// Holds reports whether an allow surely lets in all that another would.
func Holds(r, other *jit.Rule) bool {
	if r.Access != jit.Allow || r.Direction != other.Direction || r.Translated != other.Translated {
		return false
	}
	if r.Protocol != jit.AnyProtocol && r.Protocol != other.Protocol || !HoldsPeers(r.Source, other.Source) {
		return false
	}
	if r.Translated.IsValid() { // whichever port of the firewall leads there
		return true
	}
	return HoldsPeers(r.Destination, other.Destination) && holdsPorts(r.DestinationPorts, other.DestinationPorts) && holdsPorts(r.SourcePorts, other.SourcePorts)
}

func holdsPorts(all, some []jit.PortRange) bool {
	return !slices.ContainsFunc(some, func(p jit.PortRange) bool {
		return !slices.ContainsFunc(all, func(h jit.PortRange) bool { return h.First <= p.First && p.Last <= h.Last })
	})
}

// HoldsPeers reports whether one side of a rule surely takes all addresses that another takes.
func HoldsPeers(all, some jit.Peers) bool {
	if all.Any {
		return true
	}
	return !some.Any && len(some.Tags)+len(some.Groups) == 0 && !slices.ContainsFunc(some.Prefixes, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(all.Prefixes, func(h netip.Prefix) bool { return h.Bits() <= p.Bits() && h.Contains(p.Addr()) })
	})
}

// Parts returns a rule for each destination and port of a rule.
func Parts(r jit.Rule) []jit.Rule {
	destinations, ports := []jit.Peers{r.Destination}, [][]jit.PortRange{r.DestinationPorts}
	if !r.Destination.Any && len(r.Destination.Prefixes) > 0 && len(r.Destination.Tags)+len(r.Destination.Groups) == 0 {
		destinations = nil
		for _, p := range r.Destination.Prefixes {
			destinations = append(destinations, jit.Peers{Prefixes: []netip.Prefix{p}})
		}
	}
	if len(r.DestinationPorts) > 0 {
		ports = nil
		for _, p := range r.DestinationPorts {
			ports = append(ports, []jit.PortRange{p})
		}
	}
	var out []jit.Rule
	for _, d := range destinations {
		for _, p := range ports {
			r.Destination, r.DestinationPorts = d, p
			out = append(out, r)
		}
	}
	return out
}

// Beyond returns the addresses that a standing deny closes beyond those that are wanted, of those that a deny of ours may close: single ones
// of its family. Anything else was written by others, and one rule cannot hold it beside them.
func Beyond(stands, want *jit.Rule) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(stands.Destination.Prefixes), func(p netip.Prefix) bool {
		family := slices.ContainsFunc(want.Destination.Prefixes, func(q netip.Prefix) bool { return q.Addr().Is6() == p.Addr().Is6() })
		return !p.IsSingleIP() || !family || slices.Contains(want.Destination.Prefixes, p)
	})
}
