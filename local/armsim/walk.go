package armsim

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Packet is the first packet of a connection, as its sender sends it.
type Packet struct {
	Source      netip.Addr
	Destination netip.AddrPort
	Protocol    string // TCP or UDP
}

// Path is how far a packet comes.
type Path struct {
	Steps   []string       `json:"steps,omitempty"`   // what happened to it, in words
	Machine string         `json:"machine,omitempty"` // id of the virtual machine that it reaches; empty where it is dropped
	At      netip.AddrPort `json:"at,omitzero"`       // the private address and port that it reaches there
	Dropped string         `json:"dropped,omitempty"` // what dropped it
}

// Walk sends a packet through the network as its resources are in effect (see [Server.Effective]): a firewall's NAT rules,
// or the public address of an interface, then the security groups of the subnet and of the interface.
//
// A firewall translates the source too: what it lets through comes from an address in its own subnet, and is not that of its
// configuration ("one of the IP addresses in the AzureFirewallSubnet", says Microsoft's page on its NAT behaviours). Left
// out: routes, peerings' switches, load balancers, network rules, that a Standard public address lets nobody in without a
// security group, service tags other than Internet, VirtualNetwork and AzureLoadBalancer (which match nothing here), and
// application security groups as a source.
func (s *Server) Walk(p Packet) Path {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.cfg.Now())
	w := &walk{Server: s, packet: p}
	w.protocol = strings.ToUpper(p.Protocol)
	w.walk()
	return w.Path
}

type walk struct {
	*Server
	packet   Packet
	protocol string
	Path
}

func (w *walk) step(format string, args ...any) {
	w.Steps = append(w.Steps, fmt.Sprintf(format, args...))
}

func (w *walk) drop(format string, args ...any) {
	w.Dropped = fmt.Sprintf(format, args...)
}

// sorted returns the resources of a type by id.
func (s *Server) sorted(typ string) []*resource {
	var out []*resource
	for _, r := range s.resources {
		if r.Type == typ {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *resource) int { return strings.Compare(key(a.ID), key(b.ID)) })
	return out
}

func (w *walk) walk() {
	inside := "" // the virtual network in which the packet goes on; empty for any
	if fw := w.firewallAt(w.packet.Destination.Addr()); fw != nil {
		if inside = w.translate(fw); inside == "" {
			w.drop("the firewall %s has no NAT rule for it", lastSegment(fw.ID))
			return
		}
	}
	nic, config := w.arrival(inside)
	if nic == nil {
		w.drop("no interface has the address %s", w.packet.Destination.Addr())
		return
	}
	subnet, vnet := w.subnetOf(config)
	for _, guard := range []string{nsgOf(subnet), nsgOf(nic.Doc)} {
		if guard == "" {
			continue
		}
		if !w.admits(guard, vnet, config) {
			return
		}
	}
	w.Machine, w.At = idOf(valueOf(nic.Doc, "virtualMachine")), w.packet.Destination
	w.step("it reaches %s at %s", lastSegment(w.Machine), w.At)
}

// firewallAt returns the firewall that has the public address.
func (w *walk) firewallAt(a netip.Addr) *resource {
	for _, fw := range w.sorted(firewallType) {
		for _, config := range items(fw.Effective, "ipConfigurations") {
			if has, ok := w.publicAddress(idOf(valueOf(config, "publicIPAddress"))); ok && has == a {
				return fw
			}
		}
	}
	return nil
}

// translate lets the first NAT rule that matches translate the packet, and returns the firewall's virtual network.
func (w *walk) translate(fw *resource) string {
	collections := items(fw.Effective, "natRuleCollections")
	slices.SortStableFunc(collections, byPriority)
	for _, collection := range collections {
		for _, rule := range items(collection, "rules") {
			if !w.natMatches(rule) {
				continue
			}
			to, err := netip.ParseAddr(fmt.Sprint(rule["translatedAddress"]))
			n, ok := port(fmt.Sprint(rule["translatedPort"]))
			if err != nil || !ok {
				return ""
			}
			config := items(fw.Effective, "ipConfigurations")[0]
			subnet := idOf(valueOf(config, "subnet"))
			frontend, _ := netip.ParseAddr(fmt.Sprint(valueOf(config, "privateIPAddress")))
			w.packet.Source, w.packet.Destination = frontend.Next(), netip.AddrPortFrom(to, uint16(n))
			w.step("rule %v of %s translates it to %s, from %s", rule["name"], lastSegment(fw.ID), w.packet.Destination, w.packet.Source)
			vnet, _, _ := strings.Cut(key(subnet), "/subnets/")
			return vnet
		}
	}
	return ""
}

func (w *walk) natMatches(rule map[string]any) bool {
	some := func(member string, match func(string) bool) bool {
		list, err := texts(rule, member, "")
		return err == nil && slices.ContainsFunc(list, match)
	}
	return some("protocols", func(p string) bool { return strings.EqualFold(p, w.protocol) }) &&
		some("sourceAddresses", func(text string) bool {
			first, last, ok := addressRange(text)
			return text == "*" || ok && first.Compare(w.packet.Source) <= 0 && w.packet.Source.Compare(last) <= 0 && w.packet.Source.Is4()
		}) &&
		some("destinationAddresses", func(text string) bool { return text == w.packet.Destination.Addr().String() }) &&
		some("destinationPorts", func(text string) bool { return inPorts(text, w.packet.Destination.Port()) })
}

func inPorts(text string, n uint16) bool {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	a, ok1 := port(low)
	b, ok2 := port(high)
	return text == "*" || ok1 && ok2 && a <= int(n) && int(n) <= b
}

// priorityOf reads a priority; what is none comes first.
func priorityOf(doc map[string]any) int {
	n, _ := strconv.Atoi(fmt.Sprint(valueOf(doc, "priority")))
	return n
}

func byPriority(a, b map[string]any) int { return cmp.Compare(priorityOf(a), priorityOf(b)) }

// arrival returns the interface and the configuration that the packet comes to. A public address becomes the private one
// behind it. inside is the virtual network of the firewall: the interface is in it or in one that it is peered with.
func (w *walk) arrival(inside string) (*resource, map[string]any) {
	near := map[string]bool{inside: true}
	if vnet := w.resources[inside]; vnet != nil {
		for _, peering := range items(vnet.Doc, "virtualNetworkPeerings") {
			near[key(idOf(valueOf(peering, "remoteVirtualNetwork")))] = true
		}
	}
	for _, nic := range w.sorted("Microsoft.Network/networkInterfaces") {
		for _, config := range items(nic.Doc, "ipConfigurations") {
			private, err := netip.ParseAddr(fmt.Sprint(valueOf(config, "privateIPAddress")))
			if err != nil {
				continue
			}
			vnet, _, _ := strings.Cut(key(idOf(valueOf(config, "subnet"))), "/subnets/")
			public, ok := w.publicAddress(idOf(valueOf(config, "publicIPAddress")))
			switch to := w.packet.Destination; {
			case inside == "" && ok && public == to.Addr():
				w.packet.Destination = netip.AddrPortFrom(private, to.Port())
				w.step("the public address %s is that of %s, %s", public, lastSegment(nic.ID), private)
				return nic, config
			case private == to.Addr() && (inside == "" || near[vnet]):
				return nic, config
			}
		}
	}
	return nil, nil
}

// subnetOf returns a configuration's subnet and its virtual network.
func (w *walk) subnetOf(config map[string]any) (subnet, vnet map[string]any) {
	at, name, _ := strings.Cut(key(idOf(valueOf(config, "subnet"))), "/subnets/")
	r := w.resources[at]
	if r == nil {
		return nil, nil
	}
	for _, subnet := range items(r.Doc, "subnets") {
		if has, _ := subnet["name"].(string); strings.EqualFold(has, name) {
			return subnet, r.Doc
		}
	}
	return nil, r.Doc
}

// admits asks a security group: its rules for what comes in, by priority, then the default ones.
func (w *walk) admits(guard string, vnet, config map[string]any) bool {
	group := w.resources[guard]
	if group == nil {
		w.drop("the security group %s is not there", guard)
		return false
	}
	rules := items(group.Effective, "securityRules")
	for _, r := range defaultRules(group) {
		rules = append(rules, r.(map[string]any))
	}
	slices.SortStableFunc(rules, byPriority)
	for _, rule := range rules {
		p, _ := rule["properties"].(map[string]any)
		if !strings.EqualFold(fmt.Sprint(p["direction"]), "Inbound") || !w.matches(p, vnet, config) {
			continue
		}
		if !strings.EqualFold(fmt.Sprint(p["access"]), "Allow") {
			w.drop("rule %v of %s denies it", rule["name"], lastSegment(group.ID))
			return false
		}
		w.step("rule %v of %s allows it", rule["name"], lastSegment(group.ID))
		return true
	}
	w.drop("no rule of %s allows it", lastSegment(group.ID))
	return false
}

// ephemeral is the port that packets come from.
const ephemeral = 51000

func (w *walk) matches(p, vnet, config map[string]any) bool {
	protocol := fmt.Sprint(p["protocol"])
	if protocol != "*" && !strings.EqualFold(protocol, w.protocol) {
		return false
	}
	return w.portsMatch(p, "source", ephemeral) && w.portsMatch(p, "destination", w.packet.Destination.Port()) &&
		w.addressMatches(p, "source", w.packet.Source, vnet, nil) &&
		w.addressMatches(p, "destination", w.packet.Destination.Addr(), vnet, config)
}

// both returns the values of a property that is there as a singular and as a list.
func both(p map[string]any, singular, plural string) []string {
	list, _ := texts(p, plural, "")
	if one, _ := p[singular].(string); one != "" {
		list = append(list, one)
	}
	return list
}

func (w *walk) portsMatch(p map[string]any, side string, n uint16) bool {
	return slices.ContainsFunc(both(p, side+"PortRange", side+"PortRanges"), func(text string) bool { return inPorts(text, n) })
}

func (w *walk) addressMatches(p map[string]any, side string, a netip.Addr, vnet, config map[string]any) bool {
	groups, _ := p[side+"ApplicationSecurityGroups"].([]any)
	mine, _ := valueOf(config, "applicationSecurityGroups").([]any)
	for _, g := range groups {
		if slices.ContainsFunc(mine, func(m any) bool { return key(idOf(m)) == key(idOf(g)) }) {
			return true
		}
	}
	return slices.ContainsFunc(both(p, side+"AddressPrefix", side+"AddressPrefixes"), func(text string) bool {
		if q, ok := parsePrefix(text); ok {
			return q.Contains(a)
		}
		switch strings.ToLower(text) {
		case "*":
			return true
		case "virtualnetwork":
			return w.inNetwork(a, vnet)
		case "internet":
			return !w.inNetwork(a, vnet) && !a.IsPrivate()
		case "azureloadbalancer":
			return a == azureHost()
		}
		return false
	})
}

// azureHost is where health probes come from; VirtualNetwork holds it too.
func azureHost() netip.Addr { return netip.MustParseAddr("168.63.129.16") }

// inNetwork says whether an address is of the virtual network, of one that it is peered with, or the host's.
func (w *walk) inNetwork(a netip.Addr, vnet map[string]any) bool {
	if a == azureHost() {
		return true
	}
	networks := []map[string]any{vnet}
	for _, peering := range items(vnet, "virtualNetworkPeerings") {
		if r := w.resources[key(idOf(valueOf(peering, "remoteVirtualNetwork")))]; r != nil {
			networks = append(networks, r.Doc)
		}
	}
	for _, n := range networks {
		space, _ := valueOf(n, "addressSpace").(map[string]any)
		list, _ := texts(space, "addressPrefixes", "")
		for _, text := range list {
			if q, ok := parsePrefix(text); ok && q.Contains(a) {
				return true
			}
		}
	}
	return false
}

// serveWalk answers GET /local/walk?from=203.0.113.7&to=203.0.113.20:50022&protocol=TCP, for people: there is no machine to
// dial here. It answers on loopback names only.
func (s *Server) serveWalk(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.Host) {
		write(w, http.StatusMisdirectedRequest, newError(0, "MisdirectedRequest", "Walks are answered on loopback names only."))
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		write(w, http.StatusMethodNotAllowed, methodNotAllowed(r))
		return
	}
	q := r.URL.Query()
	from, err1 := netip.ParseAddr(q.Get("from"))
	to, err2 := netip.ParseAddrPort(q.Get("to"))
	protocol := cmp.Or(strings.ToUpper(q.Get("protocol")), "TCP")
	if err1 != nil || err2 != nil || protocol != "TCP" && protocol != "UDP" {
		write(w, http.StatusBadRequest, newError(0, "InvalidWalk", "Give from (an address), to (address:port) and, if it is not TCP, protocol=UDP."))
		return
	}
	write(w, http.StatusOK, s.Walk(Packet{Source: from, Destination: to, Protocol: protocol}))
}
