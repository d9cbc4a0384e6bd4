package document

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
	"portcullis/infra/arm"
)

// This file is the only place that knows how ARM writes a security rule.

// DecodeRule reads one element of securityRules. It never fails: what it does not
// understand it takes for the widest meaning (an unknown access for Allow, an
// unreadable prefix for a tag, an unreadable port for all ports, an unreadable
// priority for the highest rank), so that who plans with the rule counts it as
// possibly matching, and places our deny above it.
func DecodeRule(raw json.RawMessage) jit.Rule {
	e := arm.Object(raw)
	p := arm.Object(e["properties"])
	r := jit.Rule{
		Name:             arm.Text(e["name"]),
		Access:           jit.Allow,
		Protocol:         decodeProtocol(arm.Text(p["protocol"])),
		Source:           decodePeers(p, "source"),
		Destination:      decodePeers(p, "destination"),
		SourcePorts:      decodePorts(p, "source"),
		DestinationPorts: decodePorts(p, "destination"),
		Description:      arm.Text(p["description"]),
	}
	if strings.EqualFold(arm.Text(p["access"]), "Deny") {
		r.Access = jit.Deny
	}
	if strings.EqualFold(arm.Text(p["direction"]), "Outbound") {
		r.Direction = jit.Outbound
	}
	if json.Unmarshal(p["priority"], &r.Priority) != nil {
		r.Priority = 0
	}
	return r
}

// decodeValues gives the values of a property that ARM has as a singular and as a list.
func decodeValues(p map[string]json.RawMessage, singular, plural string) []string {
	var out []string
	if s := arm.Text(p[singular]); s != "" {
		out = append(out, s)
	}
	var list []json.RawMessage
	if raw := p[plural]; len(raw) > 0 && json.Unmarshal(raw, &list) != nil {
		return append(out, arm.AsWritten(raw))
	}
	for _, v := range list {
		out = append(out, arm.Text(v))
	}
	return out
}

func decodeProtocol(s string) jit.Protocol {
	switch p := jit.Protocol(strings.ToUpper(s)); p {
	case jit.TCP, jit.UDP, jit.ICMP, jit.ESP, jit.AH:
		return p
	}
	return jit.AnyProtocol
}

func isAny(s string) bool { return s == "" || s == "*" || strings.EqualFold(s, "Any") }

// decodePeers reads one side, "source" or "destination". A side that names nothing is any.
func decodePeers(p map[string]json.RawMessage, side string) jit.Peers {
	var out jit.Peers
	for _, v := range decodeValues(p, side+"AddressPrefix", side+"AddressPrefixes") {
		if isAny(v) {
			return jit.AnyPeer()
		}
		if q, ok := decodePrefix(v); ok {
			out.Prefixes = append(out.Prefixes, q)
		} else {
			out.Tags = append(out.Tags, v)
		}
	}
	var groups []json.RawMessage
	raw := p[side+"ApplicationSecurityGroups"]
	if len(raw) > 0 && json.Unmarshal(raw, &groups) != nil {
		groups = []json.RawMessage{raw}
	}
	for _, g := range groups {
		id := arm.Text(arm.Object(g)["id"])
		if id == "" {
			id = arm.AsWritten(g)
		}
		out.Groups = append(out.Groups, id)
	}
	if len(out.Prefixes)+len(out.Tags)+len(out.Groups) == 0 {
		return jit.AnyPeer()
	}
	return out
}

func decodePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

func decodePorts(p map[string]json.RawMessage, side string) []jit.PortRange {
	var out []jit.PortRange
	for _, v := range decodeValues(p, side+"PortRange", side+"PortRanges") {
		out = append(out, decodePort(v))
	}
	if len(out) == 0 {
		out = append(out, jit.AllPorts())
	}
	return out
}

func decodePort(s string) jit.PortRange {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return jit.AllPorts()
	}
	return jit.PortRange{First: uint16(first), Last: uint16(last)}
}

// wireRule and wireProperties are a rule as we send it. ARM takes a value in the
// singular property or values in the plural one, never both, and * only as singular.
type wireRule struct {
	Name       string         `json:"name"`
	Properties wireProperties `json:"properties"`
}

type wireProperties struct {
	Description       string    `json:"description,omitempty"`
	Protocol          string    `json:"protocol"`
	SourcePort        string    `json:"sourcePortRange,omitempty"`
	SourcePorts       []string  `json:"sourcePortRanges,omitempty"`
	DestinationPort   string    `json:"destinationPortRange,omitempty"`
	DestinationPorts  []string  `json:"destinationPortRanges,omitempty"`
	Source            string    `json:"sourceAddressPrefix,omitempty"`
	Sources           []string  `json:"sourceAddressPrefixes,omitempty"`
	SourceGroups      []wireRef `json:"sourceApplicationSecurityGroups,omitempty"`
	Destination       string    `json:"destinationAddressPrefix,omitempty"`
	Destinations      []string  `json:"destinationAddressPrefixes,omitempty"`
	DestinationGroups []wireRef `json:"destinationApplicationSecurityGroups,omitempty"`
	Access            string    `json:"access"`
	Priority          int       `json:"priority"`
	Direction         string    `json:"direction"`
}

type wireRef struct {
	ID string `json:"id"`
}

// EncodeRule writes a rule as ARM takes it. A side or a port list that names nothing
// is an error: ARM would refuse it, or take it for any.
func EncodeRule(r jit.Rule) (json.RawMessage, error) {
	w := wireRule{Name: r.Name, Properties: wireProperties{
		Description: r.Description, Access: r.Access.String(), Priority: r.Priority, Direction: "Inbound",
	}}
	p := &w.Properties
	if r.Direction == jit.Outbound {
		p.Direction = "Outbound"
	}
	var err error
	if p.Protocol, err = encodeProtocol(r.Protocol); err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	if p.SourcePort, p.SourcePorts, err = encodePorts(r.SourcePorts); err != nil {
		return nil, fmt.Errorf("rule %s: source: %w", r.Name, err)
	}
	if p.DestinationPort, p.DestinationPorts, err = encodePorts(r.DestinationPorts); err != nil {
		return nil, fmt.Errorf("rule %s: destination: %w", r.Name, err)
	}
	if p.Source, p.Sources, p.SourceGroups, err = encodePeers(r.Source); err != nil {
		return nil, fmt.Errorf("rule %s: source: %w", r.Name, err)
	}
	if p.Destination, p.Destinations, p.DestinationGroups, err = encodePeers(r.Destination); err != nil {
		return nil, fmt.Errorf("rule %s: destination: %w", r.Name, err)
	}
	text, err := arm.Encode(w)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	return text, nil
}

func encodeProtocol(p jit.Protocol) (string, error) {
	switch p := jit.Protocol(strings.ToUpper(string(p))); p {
	case jit.AnyProtocol:
		return "*", nil
	case jit.TCP, jit.UDP, jit.ICMP, jit.ESP, jit.AH:
		return string(p[:1]) + strings.ToLower(string(p[1:])), nil
	}
	return "", fmt.Errorf("protocol %q is not one that a security rule takes", p)
}

func encodePorts(ranges []jit.PortRange) (string, []string, error) {
	if slices.Contains(ranges, jit.AllPorts()) {
		return "*", nil, nil
	}
	values := make([]string, 0, len(ranges))
	for _, r := range ranges {
		switch {
		case r.First > r.Last:
			return "", nil, fmt.Errorf("the port range %d-%d is empty", r.First, r.Last)
		case r.First == r.Last:
			values = append(values, strconv.Itoa(int(r.First)))
		default:
			values = append(values, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return oneOrMore(values, "no ports")
}

func encodePeers(p jit.Peers) (string, []string, []wireRef, error) {
	if p.Any {
		return "*", nil, nil, nil
	}
	var refs []wireRef
	for _, g := range p.Groups {
		refs = append(refs, wireRef{ID: g})
	}
	values := make([]string, 0, len(p.Prefixes)+len(p.Tags))
	for _, q := range p.Prefixes {
		if !q.IsValid() {
			return "", nil, nil, fmt.Errorf("a prefix is not valid")
		}
		values = append(values, jit.PrefixString(q.Masked()))
	}
	values = append(values, p.Tags...)
	if len(values) == 0 && len(refs) > 0 {
		return "", nil, refs, nil
	}
	one, more, err := oneOrMore(values, "no addresses")
	return one, more, refs, err
}

func oneOrMore(values []string, none string) (string, []string, error) {
	switch len(values) {
	case 0:
		return "", nil, fmt.Errorf("%s", none)
	case 1:
		return values[0], nil, nil
	}
	return "", values, nil
}
