package armsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of an Azure Firewall with classic rules. The priorities are those of the REST model; public addresses and the
// unique destinations of NAT rules (address, port and protocol) count together, by Azure's page on several public addresses.
const (
	MinCollectionPriority = 100
	MaxCollectionPriority = 65000
	MaxNATDestinations    = 250
)

const firewallType = "Microsoft.Network/azureFirewalls"

// collectionLists are the properties of a firewall that hold its classic rules.
func collectionLists() []string {
	return []string{"natRuleCollections", "networkRuleCollections", "applicationRuleCollections"}
}

// putFirewall replaces the whole firewall, as putNSG does a group. Private addresses are the service's: those of
// configurations that exist stay, whatever the body says.
func (s *Server) putFirewall(c *call) (answer, *Error) {
	doc, err := parseDoc(c.body)
	if err != nil {
		return answer{}, err
	}
	old := s.resources[key(c.at.id)]
	if err := checkLocation(old, doc); err != nil {
		return answer{}, err
	}
	if err := checkMatch(c, old); err != nil {
		return answer{}, err
	}
	if old != nil {
		keepPrivateAddresses(old.Doc, doc)
	}
	if err := s.validateFirewall(c.at.id, doc); err != nil {
		return answer{}, err
	}
	o, err := s.begin(c, doc, false)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, false)
	r := s.resources[o.Target]
	return answer{status: created(old != nil), body: s.render(r, r.Doc)}, nil
}

func keepPrivateAddresses(old, doc map[string]any) {
	had := map[string]any{}
	for _, config := range items(old, "ipConfigurations") {
		name, _ := config["name"].(string)
		had[strings.ToLower(name)] = valueOf(config, "privateIPAddress")
	}
	for _, config := range items(doc, "ipConfigurations") {
		name, _ := config["name"].(string)
		if a := had[strings.ToLower(name)]; a != nil {
			setProperty(config, "privateIPAddress", a)
		}
	}
}

// valueOf returns a property of a document.
func valueOf(doc map[string]any, name string) any {
	p, _ := doc["properties"].(map[string]any)
	return p[name]
}

func idOf(v any) string {
	m, _ := v.(map[string]any)
	id, _ := m["id"].(string)
	return id
}

// firewallCheck checks one firewall. The codes are guesses.
type firewallCheck struct {
	id           string
	own          map[netip.Addr]bool // what a NAT rule may have as its destination
	public       int
	names        map[string]bool // of collections, of all kinds
	destinations map[string]bool // of NAT rules
}

// validateFirewall checks a firewall document as it is written, and stops at the first fault.
func (s *Server) validateFirewall(id string, doc map[string]any) *Error {
	v := &firewallCheck{id: id, own: map[netip.Addr]bool{}, names: map[string]bool{}, destinations: map[string]bool{}}
	managed := valueOf(doc, "firewallPolicy") != nil || valueOf(doc, "virtualHub") != nil
	configurations := items(doc, "ipConfigurations")
	for _, config := range configurations {
		if subnet := lastSegment(idOf(valueOf(config, "subnet"))); subnet != "" && !strings.EqualFold(subnet, "AzureFirewallSubnet") {
			return invalid("AzureFirewallSubnetNameInvalid", "Firewall %s is in the subnet %s; it must be AzureFirewallSubnet.", id, subnet)
		}
		if a, ok := s.publicAddress(idOf(valueOf(config, "publicIPAddress"))); ok {
			v.own[a], v.public = true, v.public+1
		}
		text, _ := valueOf(config, "privateIPAddress").(string)
		if a, err := netip.ParseAddr(text); err == nil {
			v.own[a] = true // translation of what is sent to the private address is newer, and allowed
		}
	}
	for _, list := range collectionLists() {
		if managed && len(listOf(doc, list)) > 0 {
			return invalid("AzureFirewallRuleCollectionsNotAllowedWithPolicy", "Firewall %s takes its rules from a firewall policy; it cannot have %s.", id, list)
		}
		if err := v.collections(list, doc); err != nil {
			return err
		}
	}
	if n := v.public + len(v.destinations); n > MaxNATDestinations {
		return invalid("AzureFirewallDnatDestinationLimitReached", "Firewall %s has %d public addresses and destinations of NAT rules; the maximum is %d.", id, n, MaxNATDestinations)
	}
	return nil
}

// publicAddress returns the address that a public IP address resource has now.
func (s *Server) publicAddress(id string) (netip.Addr, bool) {
	r := s.resources[key(id)]
	if r == nil {
		return netip.Addr{}, false
	}
	text, _ := valueOf(r.Doc, "ipAddress").(string)
	a, err := netip.ParseAddr(text)
	return a, err == nil
}

func (v *firewallCheck) collections(list string, doc map[string]any) *Error {
	if raw := valueOf(doc, list); raw != nil {
		if _, ok := raw.([]any); !ok {
			return invalid("InvalidRequestFormat", "Cannot parse the request: %s is not a list.", list)
		}
	}
	slots := map[int]string{}
	for _, collection := range items(doc, list) {
		name, _ := collection["name"].(string)
		if !resourceName.MatchString(name) {
			return badName(name)
		}
		if v.names[strings.ToLower(name)] {
			return invalid("DuplicateResourceName", "Resource %s has two child resources with the same name (%s).", v.id, name)
		}
		v.names[strings.ToLower(name)] = true
		number, _ := valueOf(collection, "priority").(json.Number)
		priority, err := strconv.Atoi(number.String())
		if err != nil || priority < MinCollectionPriority || priority > MaxCollectionPriority {
			return invalid("AzureFirewallRuleCollectionInvalidPriority", "Rule collection %s has the priority %v; it must be from %d to %d.", name, valueOf(collection, "priority"), MinCollectionPriority, MaxCollectionPriority)
		}
		if other, taken := slots[priority]; taken {
			return invalid("AzureFirewallRuleCollectionPriorityConflict", "Rule collections %s and %s have the same priority %d.", other, name, priority)
		}
		slots[priority] = name
		action, _ := valueOf(collection, "action").(map[string]any)
		kind, _ := action["type"].(string)
		if list != "natRuleCollections" {
			if !oneOf(kind, []string{"Allow", "Deny"}) {
				return invalid("AzureFirewallRuleCollectionInvalidAction", "Rule collection %s has the action %q; it must be Allow or Deny.", name, kind)
			}
			continue
		}
		if !strings.EqualFold(kind, "Dnat") {
			return invalid("AzureFirewallRuleCollectionInvalidAction", "NAT rule collection %s has the action %q; it must be Dnat.", name, kind)
		}
		if err := v.natRules(name, collection); err != nil {
			return err
		}
	}
	return nil
}

func (v *firewallCheck) natRules(collection string, doc map[string]any) *Error {
	list, ok := valueOf(doc, "rules").([]any)
	if !ok || len(list) == 0 {
		return invalid("AzureFirewallRuleCollectionHasNoRules", "NAT rule collection %s has no rules.", collection)
	}
	names := map[string]bool{}
	for _, item := range list {
		rule, ok := item.(map[string]any)
		if !ok {
			return invalid("InvalidRequestFormat", "Cannot parse the request: a rule of %s is not an object.", collection)
		}
		name, _ := rule["name"].(string)
		if name == "" || names[strings.ToLower(name)] {
			return invalid("AzureFirewallRuleInvalidName", "NAT rule collection %s has a rule without a name, or two rules named %q.", collection, name)
		}
		names[strings.ToLower(name)] = true
		if err := v.natRule(collection+"/"+name, rule); err != nil {
			return err
		}
	}
	return nil
}

// natRule checks one rule. Its members stand beside its name: a rule of a firewall is no resource.
func (v *firewallCheck) natRule(name string, rule map[string]any) *Error {
	lists := map[string][]string{}
	for _, member := range []string{"protocols", "sourceAddresses", "sourceIpGroups", "destinationAddresses", "destinationPorts"} {
		list, err := texts(rule, member, name)
		if err != nil {
			return err
		}
		lists[member] = list
	}
	if len(lists["protocols"]) == 0 {
		return invalid("AzureFirewallRuleInvalidProtocol", "NAT rule %s has no protocols.", name)
	}
	for _, p := range lists["protocols"] {
		if !oneOf(p, []string{"TCP", "UDP"}) {
			return invalid("AzureFirewallRuleInvalidProtocol", "NAT rule %s has the protocol %s; with the action Dnat it can be TCP and UDP.", name, p)
		}
	}
	if (len(lists["sourceAddresses"]) == 0) == (len(lists["sourceIpGroups"]) == 0) {
		return invalid("AzureFirewallRuleInvalidSource", "NAT rule %s must have either sourceAddresses or sourceIpGroups.", name)
	}
	for _, a := range lists["sourceAddresses"] {
		if _, _, ok := addressRange(a); a != "*" && !ok {
			return invalid("AzureFirewallRuleInvalidSource", "NAT rule %s has the source %s; it must be *, an IPv4 address, prefix or range.", name, a)
		}
	}
	return v.translation(name, rule, lists)
}

func (v *firewallCheck) translation(name string, rule map[string]any, lists map[string][]string) *Error {
	if len(lists["destinationAddresses"]) == 0 || len(lists["destinationPorts"]) == 0 {
		return invalid("AzureFirewallRuleInvalidDestination", "NAT rule %s must have destinationAddresses and destinationPorts.", name)
	}
	for _, text := range lists["destinationAddresses"] {
		a, err := netip.ParseAddr(text)
		if err != nil || !v.own[a] {
			return invalid("AzureFirewallRuleInvalidDestination", "NAT rule %s has the destination %s, which is no address of the firewall.", name, text)
		}
		for _, ports := range lists["destinationPorts"] {
			if low, _, _ := strings.Cut(ports, "-"); ports == "*" || !portRange(ports) || strings.Trim(low, "0") == "" {
				return invalid("AzureFirewallRuleInvalidDestinationPort", "NAT rule %s has the destination port %s; it must be from 1 to 65535.", name, ports)
			}
			for _, p := range lists["protocols"] {
				v.destinations[strings.ToUpper(fmt.Sprint(a, " ", ports, " ", p))] = true
			}
		}
	}
	address, _ := rule["translatedAddress"].(string)
	fqdn, _ := rule["translatedFqdn"].(string)
	if (address == "") == (fqdn == "") {
		return invalid("AzureFirewallRuleInvalidTranslation", "NAT rule %s must have either translatedAddress or translatedFqdn.", name)
	}
	if a, err := netip.ParseAddr(address); address != "" && (err != nil || !a.Is4()) {
		return invalid("AzureFirewallRuleInvalidTranslation", "NAT rule %s has the translated address %s; it must be an IPv4 address.", name, address)
	}
	text, _ := rule["translatedPort"].(string)
	if n, ok := port(text); !ok || n == 0 {
		return invalid("AzureFirewallRuleInvalidTranslation", "NAT rule %s has the translated port %q; it must be from 1 to 65535.", name, text)
	}
	return nil
}

// texts returns a list of strings that a rule holds; none where it holds no such list.
func texts(rule map[string]any, member, name string) ([]string, *Error) {
	raw, ok := rule[member]
	if !ok || raw == nil {
		return nil, nil
	}
	list, ok := raw.([]any)
	if !ok {
		return nil, invalid("InvalidRequestFormat", "Cannot parse the request: %s of %s is not a list.", member, name)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], ok = e.(string); !ok {
			return nil, invalid("InvalidRequestFormat", "Cannot parse the request: %s of %s holds something that is not text.", member, name)
		}
	}
	return out, nil
}

// addressRange reads an IPv4 address, prefix, or range of two addresses.
func addressRange(text string) (first, last netip.Addr, ok bool) {
	if low, high, isRange := strings.Cut(text, "-"); isRange {
		a, err1 := netip.ParseAddr(low)
		b, err2 := netip.ParseAddr(high)
		return a, b, err1 == nil && err2 == nil && a.Is4() && b.Is4() && a.Compare(b) <= 0
	}
	p, ok := parsePrefix(text)
	if !ok || !p.Addr().Is4() {
		return first, last, false
	}
	end := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		end[bit/8] |= 1 << (7 - bit%8)
	}
	return p.Addr(), netip.AddrFrom4(end), true
}

// stripFirewall drops what only the service writes from the parts of a firewall that are resources of their own.
func stripFirewall(doc map[string]any) {
	p, _ := doc["properties"].(map[string]any)
	delete(p, "ipGroups")
	for _, list := range append(collectionLists(), "ipConfigurations") {
		for _, item := range items(doc, list) {
			delete(item, "id")
			delete(item, "etag")
			delete(item, "type")
			inner, _ := item["properties"].(map[string]any)
			delete(inner, "provisioningState")
		}
	}
}

// renderFirewall sets the ids, states and etags of a firewall's parts, and adds the empty lists.
func renderFirewall(r *resource, doc map[string]any) {
	for _, list := range collectionLists() {
		if listOf(doc, list) == nil {
			setProperty(doc, list, []any{})
		}
		renderChildren(r, doc, list)
	}
	renderChildren(r, doc, "ipConfigurations")
	for _, config := range items(doc, "ipConfigurations") {
		name, _ := config["name"].(string)
		config["id"], config["type"] = r.ID+"/azureFirewallIpConfigurations/"+name, r.Type+"/azureFirewallIpConfigurations"
	}
	for _, collection := range items(doc, "natRuleCollections") {
		for _, rule := range items(collection, "rules") {
			if rule["sourceIpGroups"] == nil {
				rule["sourceIpGroups"] = []any{}
			}
		}
	}
}

// deleteLong takes a firewall away, as a long-running operation.
func (s *Server) deleteLong(c *call) (answer, *Error) {
	if _, ok := s.resources[key(c.at.id)]; !ok {
		return answer{status: http.StatusNoContent}, nil
	}
	o, err := s.begin(c, nil, true)
	if err != nil {
		return answer{}, err
	}
	s.announce(c, o, true)
	return answer{status: http.StatusAccepted}, nil
}
