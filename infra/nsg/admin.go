package nsg

import (
	"context"
	"fmt"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/infra/arm"
)

// maxAdminPages bounds how often the rules of one network are asked for, of which a page
// holds as many as ARM likes.
const maxAdminPages = 50

// AdminRules gives the inbound security admin rules in effect on a virtual network, with one POST a page.
// The permission is Microsoft.Network/virtualNetworks/listNetworkManagerEffectiveSecurityAdminRules/action.
// A rule of which something is not understood is taken for the widest meaning, as in a security group, and
// an action that is not known for Deny and AlwaysAllow is taken for Allow: it is not told as deciding.
// Default rules of a network manager have no priority that a caller can read otherwise, and count like others.
//
// Unverified against the live service: all of it but the shape of the SDK's model.
func (c *Client) AdminRules(ctx context.Context, network string) ([]reach.AdminRule, error) {
	doing := "list security admin rules of " + network
	id, err := azarm.ParseResourceID(network)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.Network/virtualNetworks") {
		return nil, fmt.Errorf("%s: not a virtual network", doing)
	}
	s, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var out []reach.AdminRule
	next := armnetwork.QueryRequestOptions{}
	for range maxAdminPages {
		page, err := s.management.ListNetworkManagerEffectiveSecurityAdminRules(ctx, id.ResourceGroupName, id.Name, next, nil)
		if err != nil {
			return nil, arm.Translate(ctx, doing, network, err)
		}
		for _, r := range page.Value {
			if rule, ok := adminRule(r); ok {
				out = append(out, rule)
			}
		}
		if text(page.SkipToken) == "" {
			return out, nil
		}
		next.SkipToken = to.Ptr(text(page.SkipToken))
	}
	return nil, fmt.Errorf("%s: more than %d pages", doing, maxAdminPages)
}

// adminRule reads one effective rule, custom or default; false for one that is not inbound.
func adminRule(r armnetwork.EffectiveBaseSecurityAdminRuleClassification) (reach.AdminRule, bool) {
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
	out.Name, out.Manager = adminNames(text(r.GetEffectiveBaseSecurityAdminRule().ID))
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
		v := text(i.AddressPrefix)
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
		if isAny(text(v)) {
			return []jit.PortRange{jit.AllPorts()}
		}
		out = append(out, decodePort(text(v)))
	}
	if len(out) == 0 {
		out = append(out, jit.AllPorts())
	}
	return out
}
