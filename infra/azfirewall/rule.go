package azfirewall

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

// This file is the only place that knows how ARM writes a NAT rule.

// decodeRule decodes one element of a NAT rule collection's rules. It never fails: anything unknown gets the
// widest meaning, so that it counts as possibly matching. If the rule translates to a name instead of an address,
// the result has the zero address.
func decodeRule(raw json.RawMessage) jit.Rule {
	p := arm.Object(raw)
	r := jit.Rule{
		Name: arm.Text(p["name"]), Access: jit.Allow, Protocol: decodeProtocol(p["protocols"]),
		Source: decodePeers(p["sourceAddresses"], p["sourceIpGroups"]), Destination: decodePeers(p["destinationAddresses"], nil),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, Description: arm.Text(p["description"]),
	}
	for _, text := range decodeTexts(p["destinationPorts"]) {
		r.DestinationPorts = append(r.DestinationPorts, decodePort(text))
	}
	if len(r.DestinationPorts) == 0 {
		r.DestinationPorts = []jit.PortRange{jit.AllPorts()}
	}
	to, err1 := netip.ParseAddr(arm.Text(p["translatedAddress"]))
	port, err2 := strconv.ParseUint(arm.Text(p["translatedPort"]), 10, 16)
	if err1 == nil && err2 == nil {
		r.Translated = netip.AddrPortFrom(to.Unmap(), uint16(port))
	}
	return r
}

// decodeTexts returns a list of strings; a value that is not a list becomes one string, as it is written.
func decodeTexts(raw json.RawMessage) []string {
	var list []json.RawMessage
	if len(raw) > 0 && json.Unmarshal(raw, &list) != nil {
		return []string{arm.AsWritten(raw)}
	}
	var out []string
	for _, v := range list {
		out = append(out, arm.Text(v))
	}
	return out
}

// decodeProtocol returns TCP or UDP if the rule names only that; both, and anything else, is any.
func decodeProtocol(raw json.RawMessage) jit.Protocol {
	only := jit.Protocol("")
	for _, text := range decodeTexts(raw) {
		p := jit.Protocol(strings.ToUpper(text))
		if p != jit.TCP && p != jit.UDP || only != "" && only != p {
			return jit.AnyProtocol
		}
		only = p
	}
	if only == "" {
		return jit.AnyProtocol
	}
	return only
}

// decodePeers decodes one side. A side that names nothing is any.
func decodePeers(addresses, groups json.RawMessage) jit.Peers {
	var out jit.Peers
	for _, text := range decodeTexts(addresses) {
		if text == "" || text == "*" || strings.EqualFold(text, "Any") {
			return jit.AnyPeer()
		}
		if list, ok := decodeAddresses(text); ok {
			out.Prefixes = append(out.Prefixes, list...)
		} else {
			out.Tags = append(out.Tags, text)
		}
	}
	out.Groups = append(out.Groups, decodeTexts(groups)...)
	if len(out.Prefixes)+len(out.Tags)+len(out.Groups) == 0 {
		return jit.AnyPeer()
	}
	return out
}

// decodeAddresses parses an address, a prefix, or a range of addresses, which becomes the fewest prefixes that
// cover it exactly.
func decodeAddresses(text string) ([]netip.Prefix, bool) {
	if low, high, isRange := strings.Cut(text, "-"); isRange {
		a, err1 := netip.ParseAddr(strings.TrimSpace(low))
		b, err2 := netip.ParseAddr(strings.TrimSpace(high))
		if err1 != nil || err2 != nil || !a.Is4() || !b.Is4() || a.Compare(b) > 0 {
			return nil, false
		}
		return prefixesOf(a, b), true
	}
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return nil, false
		}
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return nil, false
	}
	return []netip.Prefix{p.Masked()}, true
}

// prefixesOf returns the fewest prefixes that cover the IPv4 addresses from first to last.
func prefixesOf(first, last netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for {
		bits := 32
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1)
			if wider.Masked().Addr() != first || lastOf(wider).Compare(last) > 0 {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(first, bits)
		out = append(out, p)
		if end := lastOf(p); end.Compare(last) >= 0 {
			return out
		} else {
			first = end.Next()
		}
	}
}

// lastOf returns the last address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
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

// wireRule is a NAT rule as we send it.
type wireRule struct {
	Name         string   `json:"name"`
	Description  string   `json:"description,omitempty"`
	Protocols    []string `json:"protocols"`
	Sources      []string `json:"sourceAddresses"`
	Destinations []string `json:"destinationAddresses"`
	Ports        []string `json:"destinationPorts"`
	To           string   `json:"translatedAddress"`
	ToPort       string   `json:"translatedPort"`
}

// encodeRule encodes a rule of ours for ARM. A rule that cannot be a NAT rule is an error.
func encodeRule(r jit.Rule) (json.RawMessage, error) {
	wrong := func(format string, args ...any) (json.RawMessage, error) {
		return nil, fmt.Errorf("rule %s: %s", r.Name, fmt.Sprintf(format, args...))
	}
	w := wireRule{Name: r.Name, Description: r.Description, To: r.Translated.Addr().String(), ToPort: strconv.Itoa(int(r.Translated.Port()))}
	switch p := jit.Protocol(strings.ToUpper(string(r.Protocol))); p {
	case jit.AnyProtocol:
		w.Protocols = []string{string(jit.TCP), string(jit.UDP)}
	case jit.TCP, jit.UDP:
		w.Protocols = []string{string(p)}
	default:
		return wrong("protocol %q is not one that a NAT rule takes", r.Protocol)
	}
	switch {
	case r.Access != jit.Allow || r.Direction != jit.Inbound:
		return wrong("a NAT rule only lets in")
	case r.Priority != 0:
		return wrong("the priority %d is not a rule's but its collection's", r.Priority)
	case !r.Translated.Addr().Is4() || r.Translated.Port() == 0:
		return wrong("it is translated to %s, which is no IPv4 address and port", r.Translated)
	case len(r.Source.Tags)+len(r.Source.Groups)+len(r.Destination.Tags)+len(r.Destination.Groups) > 0:
		return wrong("tags and groups are not for a NAT rule of ours")
	case r.Destination.Any || len(r.Destination.Prefixes) != 1 || !r.Destination.Prefixes[0].IsSingleIP() || !r.Destination.Prefixes[0].Addr().Is4():
		return wrong("its destination is not one IPv4 address")
	case len(r.DestinationPorts) != 1 || r.DestinationPorts[0].First != r.DestinationPorts[0].Last || r.DestinationPorts[0].First == 0:
		return wrong("its destination is not one port")
	case len(r.SourcePorts) > 0 && !slices.Contains(r.SourcePorts, jit.AllPorts()):
		return wrong("a NAT rule does not look at source ports")
	}
	if w.Sources = []string{"*"}; !r.Source.Any {
		w.Sources = nil
		for _, p := range r.Source.Prefixes {
			if !p.IsValid() || !p.Addr().Is4() {
				return wrong("the source %s is not IPv4", p)
			}
			w.Sources = append(w.Sources, jit.PrefixString(p.Masked()))
		}
	}
	if len(w.Sources) == 0 {
		return wrong("source: no addresses")
	}
	w.Destinations = []string{r.Destination.Prefixes[0].Addr().String()}
	w.Ports = []string{strconv.Itoa(int(r.DestinationPorts[0].First))}
	return arm.Encode(w)
}
