package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
)

func host(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i%250 + 1)}) }

// protect gives n machines that protect SSH, one address each.
func protect(n int) []roster.Protected {
	var out []roster.Protected
	for i := range n {
		port := jit.PortRule{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}
		out = append(out, roster.Protected{Policy: jit.Policy{VM: vmID(fmt.Sprintf("vm%d", i)), Ports: []jit.PortRule{port}}, Addresses: []netip.Addr{host(i)}})
	}
	return out
}

// grants gives n open grants, each for one machine and from one address.
func grants(n int) []roster.Opening {
	var out []roster.Opening
	for i := range n {
		vm := vmID(fmt.Sprintf("vm%d", i))
		w := jit.Window{Number: 22, Protocol: jit.TCP, Sources: jit.SourcesOf(netip.PrefixFrom(host(i), 32)), End: noon.Add(time.Hour), Status: jit.Initiated}
		g := jit.Grant{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i+1), Requestor: fmt.Sprintf("user%d", i%50), Start: noon.Add(-time.Hour), VMs: []jit.GrantVM{{VM: vm, Ports: []jit.Window{w}}}}
		out = append(out, roster.Opening{Grant: g, Addresses: map[string][]netip.Addr{vm.Key(): {host(i)}}})
	}
	return out
}

// others gives n foreign rules from priority 1000 that do not bear on SSH, with peers addresses on each side.
func others(n, peers int) []jit.Rule {
	var out []jit.Rule
	for i := range n {
		r := jit.Rule{Name: fmt.Sprintf("other-%d", i), Priority: 1000 + i, Access: jit.Access(i % 2), Protocol: jit.TCP, SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{{First: 8000, Last: 9000}, jit.OnePort(443)}}
		for j := range peers {
			r.Source.Prefixes = append(r.Source.Prefixes, netip.PrefixFrom(host(i*peers+j), 32))
			r.Destination.Prefixes = append(r.Destination.Prefixes, netip.PrefixFrom(host(i*peers+j), 32))
		}
		out = append(out, r)
	}
	return out
}

func codes(p plan.Plan) (out []string) {
	for _, r := range p.Refused {
		who := "deny"
		if r.Grant != "" {
			who = "grant"
		}
		out = append(out, who+" "+string(r.Err.Code))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name             string
		policies, grants int
		foreign          []jit.Rule
		rules, refused   int
		codes            string
	}{
		{"a thousand foreign rules", 1, 1, others(1000, 1), 0, 2, "deny TooManyRules,grant TooManyRules"},
		{"room for the deny", 1, 1, others(999, 1), 1, 1, "grant TooManyRules"},
		{"room for both", 1, 1, others(998, 1), 2, 0, ""},
		{"more grants than rules", 10, 10, others(990, 1), 10, 1, "grant TooManyRules"},
		{"4000 foreign addresses", 1, 1, others(1, 4000), 0, 2, "deny TooManyAddresses,grant TooManyAddresses"},
		{"room for one address", 1, 1, others(1, 3999), 1, 1, "grant TooManyAddresses"},
		{"room for two addresses", 1, 1, others(1, 3998), 2, 0, ""},
		{"4000 machines", 4000, 0, nil, 1, 0, ""},
		{"4001 machines: the deny guards 4000", 4001, 0, nil, 1, 1, "deny TooManyAddresses"},
		{"no room for a grant beside 4000 machines", 4000, 1, nil, 1, 1, "grant TooManyAddresses"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := compute(plan.Input{State: roster.State{Known: true, Policies: protect(tt.policies), Openings: grants(tt.grants)}, Current: tt.foreign, Now: noon})
			if len(p.Rules) != tt.rules || len(p.Refused) != tt.refused || strings.Join(codes(p), ",") != tt.codes {
				t.Errorf("%d rules, %d refused, %s; want %d, %d, %s", len(p.Rules), len(p.Refused), codes(p), tt.rules, tt.refused, tt.codes)
			}
			n := 0
			for _, r := range slices.Concat(tt.foreign, p.Rules) {
				n += len(r.Destination.Prefixes)
			}
			if n > plan.MaxPeers {
				t.Errorf("%d destinations", n)
			}
		})
	}
}

// A machine that is one too many does not unguard those that are guarded.
func TestGuardedMachinesStayGuarded(t *testing.T) {
	in := plan.Input{State: roster.State{Known: true, Policies: protect(4001)[1:]}, Now: noon}
	in.Current = compute(in).Changes.Apply(nil)
	in.Policies = protect(4001)
	p := compute(in)
	if len(p.Rules) != 1 || len(p.Refused) != 1 || slices.Contains(p.Rules[0].Destination.Prefixes, netip.PrefixFrom(host(0), 32)) {
		t.Fatalf("%d rules, refused %v", len(p.Rules), p.Refused)
	}
	if len(p.Rules[0].Destination.Prefixes) != plan.MaxPeers {
		t.Errorf("guards %d", len(p.Rules[0].Destination.Prefixes))
	}
}

// A deny that had to stand low did not come to rest: its own place counted as taken.
func TestDenyWithoutPlaceStays(t *testing.T) {
	in := plan.Input{State: roster.State{Known: true, Policies: protect(1)}, Current: []jit.Rule{reachtest.Rule(t, "Any", "allow 100 tcp * -> * :22")}, Now: noon}
	for i := range 3 {
		p := compute(in)
		if i > 0 && !p.Changes.Empty() {
			t.Fatalf("round %d: %+v", i, p.Changes)
		}
		in.Current = p.Changes.Apply(in.Current)
	}
}

// Two denies for one place above a foreign allow took it from each other in turn.
func TestDeniesDoNotSwap(t *testing.T) {
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: protect(2)}, Current: []jit.Rule{reachtest.Rule(t, "Any", "allow 101 * * -> * :22")}}
	in.Policies[1].Policy.Ports[0].Protocol = jit.UDP
	later := in.Policies
	for _, first := range [][]roster.Protected{later[:1], later[1:]} {
		in.Policies = first
		once := in
		once.Current = compute(in).Changes.Apply(in.Current)
		once.Policies = later
		for i := range 3 {
			p := compute(once)
			if i > 0 && !p.Changes.Empty() {
				t.Fatalf("round %d: %+v", i, p.Changes)
			}
			once.Current = p.Changes.Apply(once.Current)
		}
	}
}

// A newer request that is refused closed the older window that it would have
// superseded.
func TestRefusedGrantSupersedesNothing(t *testing.T) {
	in := plan.Input{State: roster.State{Known: true, Openings: grants(1)}, Current: []jit.Rule{reachtest.Rule(t, "Taken", "allow 101 tcp * -> * :443"), reachtest.Rule(t, "Deny", "deny 102 * * -> * :*")}, Now: noon}
	in.Current = compute(in).Changes.Apply(in.Current)
	newer := grants(2)[1]
	newer.Grant.Requestor, newer.Grant.Start = in.Openings[0].Grant.Requestor, noon
	newer.Grant.OpenBy = noon.Add(time.Minute)
	older := in.Openings[0].Grant.VMs[0]
	newer.Grant.VMs = append(newer.Grant.VMs, older)
	newer.Addresses[older.VM.Key()] = []netip.Addr{host(0)}
	in.Openings = append(in.Openings, newer)
	p := compute(in)
	if !p.Changes.Empty() || len(p.Refused) != 1 || p.Refused[0].Grant != newer.Grant.ID || p.Refused[0].Err.Code != plan.CodeBlocked {
		t.Errorf("changes %+v, refused %v", p.Changes, p.Refused)
	}
}

// Exposure is told for each address family by itself.
func TestExposedByFamily(t *testing.T) {
	port := jit.PortRule{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{{Policy: jit.Policy{VM: vmID("dual"), Ports: []jit.PortRule{port}}, Addresses: tinyVMs["a"]}}}}
	in.Current = []jit.Rule{reachtest.Rule(t, "V4", "allow 100 tcp 0.0.0.0/0 -> 10.0.0.4 :22"), reachtest.Rule(t, "V4too", "allow 250 tcp 0.0.0.0/0 -> 10.0.0.4 :22"), reachtest.Rule(t, "V6", "allow 200 tcp ::/0 -> fd00::4 :22")}
	p := compute(in)
	got := fmt.Sprint(texts(p.Exposed, func(f plan.Foreign) string { return f.Rule.Name }), texts(p.Overridden, func(f plan.Foreign) string { return f.Rule.Name }))
	if want := "[V4] [V6 V4too]"; got != want {
		t.Errorf("exposed and overridden %s, want %s", got, want)
	}
}

func TestNames(t *testing.T) {
	id := "00000001-0000-4000-8000-0000000000ab"
	good := "portcullis-allow-000000010000400080000000000000ab-0123abcd"
	tests := []struct {
		name  string
		owned bool
		grant string
	}{
		{"", false, ""},
		{"portcullis", false, ""},
		{"xportcullis-allow", false, ""},
		{"Portcullis_allow", false, ""},
		{"portcull\u0130s-allow-" + good[17:], false, ""}, // lower case maps this letter to i
		{"portculli\u017f-allow-" + good[17:], false, ""},
		{"\ufeff" + good, false, ""},
		{"portcullis-", true, ""},
		{"portcullis-deny-0123456789ab", true, ""},
		{good[:len(good)-1], true, ""},
		{good + "0", true, ""},
		{strings.Replace(good, "-0123abcd", "_0123abcd", 1), true, ""},
		{strings.Replace(good, "0123abcd", "0123abcg", 1), true, ""},
		{good, true, id},
		{strings.ToUpper(good), true, id},
	}
	for _, tt := range tests {
		grant, ok := label.GrantOf(tt.name)
		if label.Owned(tt.name) != tt.owned || grant != tt.grant || ok != (tt.grant != "") {
			t.Errorf("%q: owned %t, grant %q, %t", tt.name, label.Owned(tt.name), grant, ok)
		}
	}
}

func TestEndOf(t *testing.T) {
	for _, s := range []string{"", "allow until 2026-03-01T16:00:00Z to web", "Portcullis v2: allow until 2026-03-01T16:00:00Z to web", "Portcullis v1: deny to web",
		"Portcullis v1: allow until  to web", "Portcullis v1: allow until 2026-03-01 to web", "Portcullis v1: allow until 2026-02-30T16:00:00Z to web", " Portcullis v1: allow until 2026-03-01T16:00:00Z", "Portcullis v1: allow until 2026-03-01T16:00:00 to web"} {
		if end, ok := label.EndOf(s); ok {
			t.Errorf("%q ends %s", s, end)
		}
	}
	for _, s := range []string{"Portcullis v1: allow until 2026-03-01T16:00:00Z to web", "Portcullis v1: allow until 2026-03-01T16:00:00Z", "Portcullis v1: allow until 2026-03-01T17:00:00+01:00 to web"} {
		if end, ok := label.EndOf(s); !ok || !end.Equal(noon.Add(4*time.Hour)) {
			t.Errorf("%q ends %s, %t", s, end, ok)
		}
	}
}

// FuzzNames: whatever grant and end are written, the same are read; nothing that
// is not ours is read as ours.
func FuzzNames(f *testing.F) {
	f.Add("portcullis-allow-000000010000400080000000000000ab-0123abcd", "Portcullis v1: allow until 2026-03-01T16:00:00Z to web", int64(1), "web")
	f.Add("PORTCULLIS-DENY-x", "", int64(999), "\u202e")
	f.Fuzz(func(t *testing.T, name, description string, ms int64, vm string) {
		if id, ok := label.GrantOf(name); ok {
			if !label.Owned(name) || len(id) != 36 || !strings.EqualFold(strings.ReplaceAll(id, "-", ""), name[17:49]) {
				t.Fatalf("%q names the grant %q", name, id)
			}
		}
		if end, ok := label.EndOf(description); ok && end.Location() != time.UTC {
			t.Fatalf("%q ends %s", description, end)
		}
		end := noon.Add(time.Duration(ms%1e10) * time.Millisecond)
		if !end.After(noon) {
			return
		}
		in := plan.Input{Now: noon, State: roster.State{Known: true, Openings: grants(1)}}
		in.Openings[0].Grant.VMs[0].VM.Name = vm
		in.Openings[0].Grant.VMs[0].Ports[0].End = end
		in.Openings[0].Addresses = map[string][]netip.Addr{in.Openings[0].Grant.VMs[0].VM.Key(): {host(0)}}
		p := compute(in)
		if len(p.Rules) != 1 {
			t.Fatalf("%d rules", len(p.Rules))
		}
		r := p.Rules[0]
		got, ok := label.EndOf(r.Description)
		if late := got.Sub(end); !ok || late < 0 || late >= time.Second {
			t.Fatalf("end %s is written as %q", end, r.Description)
		}
		if id, ok := label.GrantOf(r.Name); !ok || id != in.Openings[0].Grant.ID {
			t.Fatalf("%s names %q", r.Name, id)
		}
		if n := len([]rune(r.Description)); n > 140 {
			t.Fatalf("a description of %d characters", n)
		}
	})
}

// FuzzCompute reads a target from bytes; the invariants that need no oracle must hold.
func FuzzCompute(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x02\x00\x10\x00\x05\x03\x01\x01\x02\x01\x00\x00"))
	f.Add(slices.Repeat([]byte{7, 1, 3, 0}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			b := int(data[0])
			data = data[1:]
			return b % n
		}
		in := plan.Input{Now: noon, State: roster.State{Known: next(8) != 0, Policies: protect(next(6))}}
		for i := range in.Policies {
			in.Policies[i].Policy.ExistingRules = jit.ExistingRules(next(2))
			in.Policies[i].Policy.Ports[0].Protocol = []jit.Protocol{jit.TCP, jit.UDP, jit.AnyProtocol}[next(3)]
			in.Policies[i].Policy.Ports[0].Number = uint16(22 + next(2))
		}
		in.Openings = grants(next(6))
		for i := range in.Openings {
			w := &in.Openings[i].Grant.VMs[0].Ports[0]
			w.Status, w.End = jit.Status(next(6)), noon.Add(time.Duration(next(3)-1)*time.Minute)
		}
		used := map[int]bool{}
		for range next(40) {
			n := 100 + next(40)
			if used[n] {
				continue
			}
			used[n] = true
			name := []string{"other", "portcullis-x", "portcullis-allow-000000010000400080000000000000ab-0123abcd"}[next(3)]
			in.Current = append(in.Current, jit.Rule{Name: fmt.Sprintf("%s%d", name, n), Priority: n, Access: jit.Access(next(2)), Protocol: jit.TCP, Direction: jit.Direction(next(2)),
				Source: jit.AnyPeer(), Destination: jit.PeersOf(host(next(6))), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(uint16(22 + next(3)))}})
		}
		p := compute(in)
		after := p.Changes.Apply(in.Current)
		at := map[[2]int]bool{}
		for _, r := range after {
			k := [2]int{int(r.Direction), r.Priority}
			if at[k] || r.Priority < plan.MinPriority || r.Priority > plan.MaxPriority {
				t.Fatalf("priority %d of %s", r.Priority, r.Name)
			}
			at[k] = true
		}
		if len(foreignOf(after)) != len(foreignOf(in.Current)) {
			t.Fatal("a foreign rule is gone")
		}
		in.Current = after
		if again := compute(in); !again.Changes.Empty() {
			t.Fatalf("computed again: %+v", again.Changes)
		}
	})
}

// BenchmarkCompute1000 plans a full target: 500 foreign rules, 30 machines
// protected, 498 grants standing, one new and one that has ended.
func BenchmarkCompute1000(b *testing.B) {
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: protect(30), Openings: grants(499)}, Current: others(500, 2)}
	in.Current = compute(in).Changes.Apply(in.Current)
	in.Openings = append(in.Openings[1:], grants(500)[499:]...)
	b.ReportAllocs()
	for b.Loop() {
		if p := compute(in); len(p.Changes.Create) != 1 || len(p.Changes.Delete) != 1 {
			b.Fatalf("%d created, %d deleted, refused %v", len(p.Changes.Create), len(p.Changes.Delete), p.Refused)
		}
	}
	b.ReportMetric(float64(len(in.Current)), "rules")
}

// BenchmarkComputeWindows plans a full target that is all ours: 999 machines behind one deny, a window for each,
// one of which has just ended.
func BenchmarkComputeWindows(b *testing.B) {
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: protect(999), Openings: grants(999)}}
	in.Current = compute(in).Changes.Apply(nil)
	in.Openings[500].Grant.VMs[0].Ports[0].End = noon
	b.ReportAllocs()
	for b.Loop() {
		if p := compute(in); len(p.Changes.Delete) != 1 || len(p.Changes.Create)+len(p.Changes.Update) != 0 {
			b.Fatalf("%d created, %d updated, %d deleted", len(p.Changes.Create), len(p.Changes.Update), len(p.Changes.Delete))
		}
	}
	b.ReportMetric(float64(len(in.Current)), "rules")
}

// BenchmarkComputeBearing plans 990 machines and 900 windows beside a foreign allow that each machine's policy overrides.
func BenchmarkComputeBearing(b *testing.B) {
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: protect(990), Openings: grants(900)}}
	in.Current = []jit.Rule{reachtest.Rule(b, "some", "deny 2900 tcp 10.0.0.0/8 -> * :22"), reachtest.Rule(b, "all", "allow 3000 tcp * -> * :22")}
	in.Current = compute(in).Changes.Apply(in.Current)
	b.ReportAllocs()
	for b.Loop() {
		if p := compute(in); !p.Changes.Empty() || len(p.Overridden) != 990 || len(p.Exposed) != 0 {
			b.Fatalf("%d overridden, %d exposed", len(p.Overridden), len(p.Exposed))
		}
	}
}
