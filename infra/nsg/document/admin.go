package document

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/infra/arm"
)

// DecodeAdminRule reads one effective rule, custom or default; false for one that is not inbound.
func DecodeAdminRule(r armnetwork.EffectiveBaseSecurityAdminRuleClassification) (reach.AdminRule, bool) {
	var p armnetwork.AdminPropertiesFormat
	switch r := r.(type) {
	case *armnetwork.EffectiveSecurityAdminRule:
		if r.Properties != nil {
			p = *r.Properties
		}
	case *armnetwork.EffectiveDefaultSecurityAdminRule:
		if d := r.Properties; d != nil {
			p = armnetwork.AdminPropertiesFormat{Access: d.Access, Direction: d.Direction, Priority: d.Priority, Protocol: d.Protocol,
				Sources: d.Sources, Destinations: d.Destinations, SourcePortRanges: d.SourcePortRanges, DestinationPortRanges: d.DestinationPortRanges}
		}
	}
	if p.Direction != nil && strings.EqualFold(string(*p.Direction), "Outbound") {
		return reach.AdminRule{}, false
	}
	out := reach.AdminRule{Action: reach.AdminAllow, Rule: jit.Rule{Protocol: jit.AnyProtocol, Source: adminPeers(p.Sources), Destination: adminPeers(p.Destinations),
		SourcePorts: adminPorts(p.SourcePortRanges), DestinationPorts: adminPorts(p.DestinationPortRanges)}}
	out.Name, out.Manager = adminNames(arm.Value(r.GetEffectiveBaseSecurityAdminRule().ID))
	if p.Access != nil {
		switch {
		case strings.EqualFold(string(*p.Access), "Deny"):
			out.Action = reach.AdminDeny
		case strings.EqualFold(string(*p.Access), "AlwaysAllow"):
			out.Action = reach.AdminAlways
		}
	}
	if p.Protocol != nil {
		out.Protocol = decodeProtocol(string(*p.Protocol))
	}
	if p.Priority != nil {
		out.Priority = int(*p.Priority)
	}
	return out, true
}

// adminNames reads the names of the rule and of its network manager from the rule's id.
func adminNames(id string) (rule, manager string) {
	segments := strings.Split(id, "/")
	for i, s := range segments {
		if strings.EqualFold(s, "networkManagers") && i+1 < len(segments) {
			manager = segments[i+1]
		}
	}
	return segments[len(segments)-1], manager
}

// adminPeers reads prefixes, ranges, service tags and, by their ids, network groups.
func adminPeers(items []*armnetwork.AddressPrefixItem) jit.Peers {
	var out jit.Peers
	for _, i := range items {
		if i == nil {
			continue
		}
		v := arm.Value(i.AddressPrefix)
		if isAny(v) {
			return jit.AnyPeer()
		}
		if q, ok := decodePrefix(v); ok {
			out.Prefixes = append(out.Prefixes, q)
		} else {
			out.Tags = append(out.Tags, v) // a range, too: not known what it holds
		}
	}
	if len(out.Prefixes)+len(out.Tags) == 0 {
		return jit.AnyPeer()
	}
	return out
}

func adminPorts(list []*string) []jit.PortRange {
	var out []jit.PortRange
	for _, v := range list {
		if isAny(arm.Value(v)) {
			return []jit.PortRange{jit.AllPorts()}
		}
		out = append(out, decodePort(arm.Value(v)))
	}
	if len(out) == 0 {
		out = append(out, jit.AllPorts())
	}
	return out
}
