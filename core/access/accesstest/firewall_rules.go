package accesstest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/plan"
)

func prefixes(list ...string) jit.Peers {
	var p jit.Peers
	for _, s := range list {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(s))
	}
	return p
}

// kinds reads one rule of every kind that others may have made.
func (f firewall) kinds(t *testing.T) {
	ports := func(r ...jit.PortRange) []jit.PortRange { return r }
	all := jit.AllPorts()
	rules := []jit.Rule{
		{Name: "any", Priority: 200, Access: jit.Allow, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: ports(all), DestinationPorts: ports(all)},
		{Name: "deny", Priority: 201, Protocol: jit.UDP, Source: jit.AnyPeer(), Destination: prefixes("10.0.0.0/24"), SourcePorts: ports(all), DestinationPorts: ports(jit.OnePort(53)), Description: "no <names> & \"quotes\""},
		{Name: "lists", Priority: 202, Access: jit.Allow, Protocol: jit.TCP, Source: prefixes("192.0.2.0/24", "198.51.100.7/32"), Destination: prefixes("10.0.0.4/32", "10.0.1.0/25"), SourcePorts: ports(jit.PortRange{First: 1024, Last: 2047}, jit.OnePort(5000)), DestinationPorts: ports(jit.OnePort(0), jit.OnePort(65535), jit.PortRange{First: 8000, Last: 8100})},
		{Name: "six", Priority: 203, Access: jit.Allow, Protocol: jit.TCP, Source: prefixes("2001:db8::/32"), Destination: prefixes("fd00::4/128"), SourcePorts: ports(all), DestinationPorts: ports(jit.OnePort(22))},
		{Name: "tag", Priority: 204, Access: jit.Allow, Protocol: jit.ICMP, Source: jit.Peers{Tags: []string{"VirtualNetwork"}}, Destination: jit.Peers{Tags: []string{"VirtualNetwork"}}, SourcePorts: ports(all), DestinationPorts: ports(all)},
		{Name: "out", Priority: 200, Direction: jit.Outbound, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.Peers{Tags: []string{"Internet"}}, SourcePorts: ports(all), DestinationPorts: ports(all)},
	}
	target := f.fix.Target(t, rules...)
	sameRules(t, "rules", f.read(t, target).Rules, rules)
}

func (f firewall) nothing(t *testing.T) {
	target := f.fix.Target(t, theirs("web", 200))
	s := f.read(t, target)
	f.apply(t, s, plan.Changes{})
	if now := f.read(t, target); now.Version != s.Version {
		t.Errorf("the version went from %q to %q", s.Version, now.Version)
	}
}

func (f firewall) changes(t *testing.T) {
	target := f.fix.Target(t, theirs("web", 200), theirs("ssh", 300))
	before := f.fix.Outside(t, target)
	a, b := ours("allow-a", 100, jit.Allow, 22), ours("deny-b", 299, jit.Deny, 22, 3389)
	s := f.apply(t, f.read(t, target), create(a, b))

	wider := b
	wider.DestinationPorts = []jit.PortRange{jit.OnePort(22)}
	wider.Source = prefixes("203.0.113.0/24", "2001:db8::/32")
	wider.Source.Prefixes = wider.Source.Prefixes[:1]
	wider.Description = "Portcullis v1: changed"
	c := ours("allow-c", 101, jit.Allow, 5985)
	c.Destination = prefixes("fd00::4/128")
	done := f.apply(t, s, plan.Changes{Create: []jit.Rule{c}, Update: []jit.Rule{wider}, Delete: []jit.Rule{a}})
	now := f.read(t, target)
	sameRules(t, "rules read again", now.Rules, done.Rules)
	if now.Version == s.Version {
		t.Errorf("the version is still %q after a write", s.Version)
	}
	if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
}

// swap exchanges the priorities of two rules, which no sequence of single writes can.
func (f firewall) swap(t *testing.T) {
	target := f.fix.Target(t)
	a, b := ours("a", 100, jit.Allow, 22), ours("b", 101, jit.Allow, 3389)
	s := f.apply(t, f.read(t, target), create(a, b))
	a.Priority, b.Priority = b.Priority, a.Priority
	f.apply(t, s, plan.Changes{Update: []jit.Rule{a, b}})
}

func (f firewall) chain(t *testing.T) {
	target := f.fix.Target(t, theirs("web", 200))
	s := f.read(t, target)
	for i := range 4 {
		s = f.apply(t, s, create(ours(fmt.Sprint("r", i), 100+i, jit.Allow, 22)))
	}
	for _, r := range slices.Clone(s.Rules) {
		if plan.Owned(r.Name) {
			s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{r}})
		}
	}
	sameRules(t, "rules", f.read(t, target).Rules, []jit.Rule{theirs("web", 200)})
}

// neighbours writes by turns with another writer, each time from a fresh snapshot.
func (f firewall) neighbours(t *testing.T) {
	target := f.fix.Target(t, theirs("web", 200))
	want := []jit.Rule{theirs("web", 200)}
	for i := range 4 {
		r := theirs(fmt.Sprint("other", i), 300+i)
		f.fix.Write(t, target, r)
		before := f.fix.Outside(t, target)
		mine := ours(fmt.Sprint("r", i), 100+i, jit.Allow, 22)
		f.apply(t, f.read(t, target), create(mine))
		want = append(want, r, mine)
		if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
			t.Errorf("what is not ours changed (-before +after):\n%s", diff)
		}
	}
	sameRules(t, "rules", f.read(t, target).Rules, want)
}

func (f firewall) restores(t *testing.T) {
	target := f.fix.Target(t, theirs("web", 200), theirs("ssh", 300))
	before, rules := f.fix.Outside(t, target), f.read(t, target).Rules
	a, b := ours("a", 100, jit.Allow, 22), ours("b", 299, jit.Deny, 22)
	s := f.apply(t, f.read(t, target), create(a, b))
	s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{a}})
	s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{b}})
	sameRules(t, "rules", s.Rules, rules)
	if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
}

// all makes more targets than a page of the platform is likely to hold in a test.
func (f firewall) all(t *testing.T) {
	want := map[string][]jit.Rule{}
	for i := range 5 {
		rules := []jit.Rule{theirs(fmt.Sprint("web", i), 200+i)}
		want[f.fix.Target(t, rules...).Key()] = rules
	}
	list, err := f.All(t.Context(), f.fix.Subscription())
	if err != nil {
		t.Fatalf("All: %v", err)
	}
	if len(list) != len(want) {
		t.Errorf("All gave %d targets, want %d", len(list), len(want))
	}
	for _, s := range list {
		rules, ok := want[s.Target.Key()]
		if !ok {
			t.Errorf("All gave %s, or gave it twice", s.Target)
			continue
		}
		sameRules(t, s.Target.Name, s.Rules, rules)
		delete(want, s.Target.Key())
	}
	if len(list) > 0 { // what All reads can be written back like what Rules reads
		f.apply(t, list[0], create(ours("a", 100, jit.Allow, 22)))
	}
	if !slices.IsSortedFunc(list, func(a, b access.Snapshot) int { return cmpKeys(a.Target, b.Target) }) {
		t.Error("All is not sorted by target")
	}
}
