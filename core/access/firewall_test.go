package access_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/dial"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/store"
)

func fwID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeFirewall, Name: name}
}

var (
	fwAddr   = netip.MustParseAddr("203.0.113.20")
	fwSubnet = netip.MustParsePrefix("10.0.9.0/26")
)

// dnat is a foreign NAT rule.
func dnat(name string, port uint16, to string) jit.Rule {
	return jit.Rule{Name: name, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.PeersOf(fwAddr),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}, Translated: netip.MustParseAddrPort(to)}
}

// newFirewalled is newWorld with the machine behind, which hub-fw stands in front of and behind-nsg guards.
func newFirewalled(t *testing.T) *world {
	w := newWorld(t)
	w.cloud.SetRules(fwID("hub-fw"), dnat("web", 443, "10.0.2.9:443"))
	w.cloud.SetAddresses(fwID("hub-fw"), fwAddr)
	w.cloud.SetRules(nsgID("behind-nsg"))
	w.behind("behind", "10.0.2.4")
	return w
}

func (w *world) behind(vm, addr string) {
	a := []netip.Addr{netip.MustParseAddr(addr)}
	w.cloud.Place(network.Machine{VM: vmID(vm), Location: "westeurope", Private: a, Placements: []store.Placement{
		{Target: fwID("hub-fw"), Addresses: a, Inside: []netip.Prefix{fwSubnet}}, {Target: nsgID("behind-nsg"), Addresses: a}}})
}

// nat gives our NAT rules at hub-fw as "port -> where".
func (w *world) nat() []string {
	var out []string
	for _, r := range w.cloud.Standing(fwID("hub-fw")) {
		if label.Owned(r.Name) {
			from := "*"
			if !r.Source.Any {
				from = jit.SourcesOf(r.Source.Prefixes...).String()
			}
			out = append(out, from+" "+netip.AddrPortFrom(r.Destination.Prefixes[0].Addr(), r.DestinationPorts[0].First).String()+" -> "+r.Translated.String())
		}
	}
	slices.Sort(out)
	return out
}

func (w *world) mapped(id string) netip.AddrPort { return w.grant(id).VMs[0].Ports[0].Mapped }

// TestFirewallOpensAndCloses: a grant behind a firewall stands at both, the group admits what
// the firewall sends, and both are as they were in the end.
func TestFirewallOpensAndCloses(t *testing.T) {
	w := newFirewalled(t)
	w.enable("behind")
	if got := w.nat(); len(got) != 0 {
		t.Fatalf("a policy alone maps %v", got)
	}
	before := w.cloud.Standing(nsgID("behind-nsg"))
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	at := w.mapped(id)
	if at.Addr() != fwAddr || at.Port() < dial.FirstMapped || at.Port() > dial.LastMapped {
		t.Fatalf("mapped at %s", at)
	}
	if got, want := w.nat(), []string{"203.0.113.7 " + at.String() + " -> 10.0.2.4:22"}; !slices.Equal(got, want) {
		t.Errorf("NAT rules %v, want %v", got, want)
	}
	for _, r := range w.cloud.Standing(nsgID("behind-nsg")) {
		if r.Access == jit.Allow {
			if got := jit.SourcesOf(r.Source.Prefixes...).String(); got != "10.0.9.0/26,203.0.113.7" {
				t.Errorf("the group admits %s", got)
			}
		}
	}
	if g := w.grant(id); g.OpenBy.Sub(g.Start) != 25*time.Minute || g.Status() != jit.Initiated {
		t.Errorf("%s, to be confirmed within %s", g.Status(), g.OpenBy.Sub(g.Start))
	}
	w.pass(time.Hour)
	if got := w.nat(); len(got) != 0 || !w.grant(id).Closed() {
		t.Errorf("after the end %v stands, the grant is %s", got, w.grant(id).Status())
	}
	if got := w.cloud.Standing(nsgID("behind-nsg")); !slices.EqualFunc(got, before, jit.Rule.Equal) {
		t.Errorf("the group holds %v", got)
	}
	again := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "behind"))
	if got := w.mapped(again); got != at {
		t.Errorf("mapped at %s the next time, was %s", got, at)
	}
}

// TestFirewallPins holds pinned addresses and ports, and their refusals.
func TestFirewallPins(t *testing.T) {
	for _, tc := range []struct {
		name string
		port uint16
		at   string
		code jit.Code
	}{
		{"a port that a foreign rule has", 443, "", dial.CodeMappedPortTaken},
		{"an address that the firewall has not", 0, "203.0.113.99", dial.CodePublicAddressNotFound},
		{"a free port", 2222, "203.0.113.20", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newFirewalled(t)
			p := policyOf("behind", 22)
			p.Ports[0].Mapped = tc.port
			if tc.at != "" {
				p.PublicAddress = netip.MustParseAddr(tc.at)
			}
			if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
				t.Fatal(err)
			}
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "behind"), "")
			var refused *jit.Error
			if errors.As(err, &refused); tc.code != "" && (refused == nil || refused.Code != tc.code) {
				t.Fatalf("error %v, want %s", err, tc.code)
			}
			if tc.code == "" && (err != nil || rec.Grant.VMs[0].Ports[0].Mapped.String() != "203.0.113.20:2222") {
				t.Errorf("%v, mapped at %s", err, rec.Grant.VMs[0].Ports[0].Mapped)
			}
			if got := w.nat(); len(got) != 0 {
				t.Errorf("%v stands", got)
			}
		})
	}
}

// TestFirewallKeepsThePortOfAnOpenWindow: what others put onto the firewall meanwhile does not
// move a window, and is told.
func TestFirewallKeepsThePortOfAnOpenWindow(t *testing.T) {
	w := newFirewalled(t)
	w.enable("behind")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	at := w.mapped(id)
	w.cloud.SetRules(fwID("hub-fw"), append(w.cloud.Standing(fwID("hub-fw")), dnat("thief", at.Port(), "10.0.2.9:22"), dnat("aside", 9022, "10.0.2.4:22"))...)
	found := w.sweep().Findings
	if got := w.nat(); len(got) != 1 || w.mapped(id) != at {
		t.Errorf("%v stands, mapped at %s", got, w.mapped(id))
	}
	for _, want := range []store.FindingKind{store.FindingBlocked, store.FindingExposed} {
		if !slices.ContainsFunc(found, func(f store.Finding) bool { return f.Kind == want && f.Target.Equal(fwID("hub-fw")) }) {
			t.Errorf("no finding %s at the firewall: %v", want, found)
		}
	}
	w.pass(time.Hour)
	next := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	if w.mapped(next) == at {
		t.Errorf("the port that a foreign rule has taken, %s, was given again", at)
	}
}

// TestFirewallRepair: a NAT rule of ours that others redirect or widen is put right, and the log tells. One that they delete is not put
// back, since a firewall has no rule of ours that would show that nobody ended the window: it closes.
func TestFirewallRepair(t *testing.T) {
	for name, harm := range map[string]func(jit.Rule) []jit.Rule{
		"deleted": func(jit.Rule) []jit.Rule { return nil },
		"redirected": func(r jit.Rule) []jit.Rule {
			r.Translated = netip.MustParseAddrPort("10.0.6.6:22")
			return []jit.Rule{r}
		},
		"widened": func(r jit.Rule) []jit.Rule { r.Source = jit.AnyPeer(); return []jit.Rule{r} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newFirewalled(t)
			w.enable("behind")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
			want := w.nat()
			var rules []jit.Rule
			for _, r := range w.cloud.Standing(fwID("hub-fw")) {
				if label.Owned(r.Name) {
					rules = append(rules, harm(r)...)
				} else {
					rules = append(rules, r)
				}
			}
			w.cloud.SetRules(fwID("hub-fw"), rules...)
			w.sweep()
			if name == "deleted" {
				if g := w.grant(id); !g.Closed() || g.Reason() != jit.NotCertain || len(w.nat()) != 0 || w.allows("behind-nsg") != 0 {
					t.Errorf("the window is %s %s, with %v", g.Status(), g.Reason(), w.nat())
				}
				return
			}
			if got := w.nat(); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			repaired := 0
			for _, e := range w.lastEntries(100) {
				if e.Operation == store.OpRepair && e.Target.Equal(fwID("hub-fw")) {
					repaired++
				}
			}
			if repaired != 1 {
				t.Errorf("%d repairs in the log, want 1", repaired)
			}
		})
	}
}

// TestFirewallTableLost: a NAT rule whose grant is lost goes at the end that its description tells.
func TestFirewallTableLost(t *testing.T) {
	w := newFirewalled(t)
	w.enable("behind")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	w.mem = coretest.NewMemory()
	w.store = &coretest.Faulty{Store: w.mem}
	w.start()
	w.sweep()
	if got := w.nat(); len(got) != 1 {
		t.Fatalf("before the end %v stands", got)
	}
	w.leap(time.Hour)
	w.sweep()
	if got := w.nat(); len(got) != 0 {
		t.Errorf("after the end %v stands", got)
	}
}

// TestFirewallFollow: a machine that gets another address is mapped at the same port to its new one; one that
// no firewall stands in front of any more is dialled directly.
func TestFirewallFollow(t *testing.T) {
	w := newFirewalled(t)
	w.enable("behind")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	at := w.mapped(id)
	w.behind("behind", "10.0.2.44")
	w.sweep()
	if got, want := w.nat(), []string{"203.0.113.7 " + at.String() + " -> 10.0.2.44:22"}; !slices.Equal(got, want) {
		t.Errorf("after the move %v, want %v", got, want)
	}
	w.place("behind", "behind-nsg", "10.0.2.44")
	w.sweep()
	w.sweep()
	if got := w.nat(); len(got) != 0 || w.mapped(id).IsValid() {
		t.Errorf("without a firewall %v stands, mapped at %s", got, w.mapped(id))
	}
	for _, r := range w.cloud.Standing(nsgID("behind-nsg")) {
		if r.Access == jit.Allow && jit.SourcesOf(r.Source.Prefixes...).String() != "203.0.113.7" {
			t.Errorf("the group still admits %v", r.Source.Prefixes)
		}
	}
}

// TestUnknownKindRefuses: what stands behind a target of an unknown kind is not opened.
func TestUnknownKindRefuses(t *testing.T) {
	w := newFirewalled(t)
	w.enable("behind")
	w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(w.cloud.Kind(jit.TypeNSG))) })
	_, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "behind"), "")
	var refused *jit.Error
	if !errors.As(err, &refused) || refused.Code != network.CodeUnknownTarget || !strings.Contains(refused.Message, jit.TypeFirewall) {
		t.Errorf("error %v", err)
	}
	if n := w.allows("behind-nsg"); n != 0 {
		t.Errorf("%d allows stand", n)
	}
}
