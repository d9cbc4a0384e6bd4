package portal_test

import (
	"net/netip"
	"strings"
	"testing"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// firewalled puts hub-fw in front of web.
func (s *site) firewalled() {
	fw := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeFirewall, Name: "hub-fw"}
	s.wire(func(p *core.Ports) {
		p.Kinds = network.KindsOf(network.SecurityGroups(s.cloud.Kind(jit.TypeNSG)), network.AzureFirewalls(s.cloud.Kind(jit.TypeFirewall)))
	})
	s.cloud.SetRules(fw)
	s.cloud.SetAddresses(fw, netip.MustParseAddr("203.0.113.20"))
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.4")}
	nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}
	s.cloud.Place(network.Machine{VM: vm(s.t, web), Location: "westeurope", Private: addrs, Placements: []store.Placement{
		{Target: fw, Addresses: addrs, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.9.0/26")}}, {Target: nsg, Addresses: addrs}}})
}

// TestFirewall: the form pins, the list has the firewall's icon and address, and what to dial
// is the firewall's port.
func TestFirewall(t *testing.T) {
	s := newSite(t)
	s.get("configure?vm="+web).lacks(t, "Port of the firewall")
	s = newSite(t)
	s.firewalled()
	s.get("configure?vm="+web).holds(t, "Port of the firewall", "Address of the firewall", `placeholder="any"`)
	form := []string{"vm", web, "number", "22", "protocol", "TCP", "sources", "any", "maximum", "3 h", "number", "3389", "protocol", "TCP", "sources", "any", "maximum", "3 h", "mapped"}
	s.post("configure", append(form, "64000", "mapped", "", "intent", "save")...).holds(t, "Not saved", "firewall does not map port 64000", "wrong-mapped-0")
	s.post("configure", append(form, "x", "mapped", "", "intent", "save")...).holds(t, "Not saved", "is not a port from 1 to 63999")
	s.post("configure", append(form, "2222", "mapped", "", "publicip", "fe80::1", "intent", "save")...).holds(t, "Not saved", "wrong-publicip")
	s.post("configure", append(form, "2222", "mapped", "33890", "publicip", "203.0.113.20", "intent", "save")...).holds(t, "Saved.")
	s.get("configure?vm="+web).holds(t, `name="mapped" value="2222"`, `name="publicip" value="203.0.113.20"`)
	s.get("?shown=list").holds(t, `<span class="sr">Firewall: </span>`, "203.0.113.20")

	asked := s.post("request", "intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "port-0-22", "on", "for-0-22", "1 h", "port-0-3389", "on", "for-0-3389", "1 h", "why", "logs")
	s.eventually("the ports are open", func() bool {
		open, _ := s.store.OpenGrants(t.Context())
		return len(open) == 1 && open[0].Grant.Status() == jit.Initiated
	})
	open, err := s.store.OpenGrants(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("%d requests, %v: %s", len(open), err, asked.text)
	}
	s.get("requests/"+open[0].Grant.ID).holds(t, "ssh user@203.0.113.20 -p 2222", "203.0.113.20:33890", "Through the firewall")
	rdp := s.get("requests/" + open[0].Grant.ID + "/rdp?vm=" + web + "&host=203.0.113.20")
	if !strings.Contains(rdp.text, "full address:s:203.0.113.20:33890\r\n") {
		t.Errorf("the file for remote desktops: %q", rdp.text)
	}
}
