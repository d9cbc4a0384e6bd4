package jit_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/jit"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func vm(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

func sources(t testing.TB, values ...string) jit.Sources {
	t.Helper()
	s, err := jit.ParseSources(values...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// office is the policy of the tests: SSH for three hours from a prefix, port 0 and 65535 from anywhere.
func office(t testing.TB) func(jit.ID) (jit.Policy, bool) {
	t.Helper()
	p := jit.Policy{VM: vm("web"), Ports: []jit.PortRule{
		{Number: 22, Protocol: jit.TCP, Sources: sources(t, "203.0.113.0/24", "2001:db8::/32"), Maximum: 3 * time.Hour},
		{Number: 0, Protocol: jit.AnyProtocol, Sources: jit.AnySource(), Maximum: jit.MinMaximum},
		{Number: 65535, Protocol: jit.UDP, Sources: sources(t, "0.0.0.0/0"), Maximum: jit.MaxMaximum},
	}}
	return func(id jit.ID) (jit.Policy, bool) { return p, id.Equal(p.VM) }
}

func TestDecide(t *testing.T) {
	from := sources(t, "203.0.113.7")
	ssh := func(change func(*jit.RequestPort)) jit.Request {
		p := jit.RequestPort{Number: 22, Duration: time.Hour, Sources: from}
		change(&p)
		return jit.Request{Requestor: "ann", VMs: []jit.RequestVM{{VM: vm("web"), Ports: []jit.RequestPort{p}}}}
	}
	lasts := func(d time.Duration) jit.Request { return ssh(func(p *jit.RequestPort) { p.Duration = d }) }
	ends := func(end time.Time) jit.Request {
		return ssh(func(p *jit.RequestPort) { p.Duration, p.End = 0, end })
	}
	names := func(n uint16, s jit.Sources, d time.Duration) jit.Request {
		return ssh(func(p *jit.RequestPort) { p.Number, p.Sources, p.Duration = n, s, d })
	}
	with := func(change func(*jit.Request)) jit.Request {
		r := lasts(time.Hour)
		change(&r)
		return r
	}
	h3 := 3 * time.Hour
	tests := []struct {
		name   string
		r      jit.Request
		want   jit.Code
		target string
		end    time.Time // where it is granted
	}{
		{"no machines", jit.Request{}, jit.CodeNoVMs, "virtualMachines", now},
		{"201 machines", with(func(r *jit.Request) { r.VMs = make([]jit.RequestVM, 201) }), jit.CodeTooManyVMs, "virtualMachines", now},
		{"justification of 1001", with(func(r *jit.Request) { r.Justification = strings.Repeat("é", 1001) }), jit.CodeJustificationTooLong, "justification", now},
		{"a machine twice, in other case", with(func(r *jit.Request) {
			id := vm("WEB")
			r.VMs = append(r.VMs, jit.RequestVM{VM: id, Ports: r.VMs[0].Ports})
		}), jit.CodeDuplicateVM, "virtualMachines[1].id", now},
		{"no ports", with(func(r *jit.Request) { r.VMs[0].Ports = nil }), jit.CodeNoPorts, "virtualMachines[0].ports", now},
		{"a port twice", with(func(r *jit.Request) { r.VMs[0].Ports = append(r.VMs[0].Ports, r.VMs[0].Ports[0]) }), jit.CodeDuplicatePort, "virtualMachines[0].ports[1].number", now},
		{"no source", names(22, jit.Sources{}, time.Hour), jit.CodeNoSource, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"neither duration nor end", lasts(0), jit.CodeInvalidInitiate, "virtualMachines[0].ports[0]", now},
		{"both duration and end", ssh(func(p *jit.RequestPort) { p.End = now.Add(time.Hour) }), jit.CodeInvalidInitiate, "virtualMachines[0].ports[0]", now},
		{"negative duration", lasts(-time.Hour), jit.CodeInvalidDuration, "virtualMachines[0].ports[0].duration", now},
		{"the least negative duration", lasts(-1), jit.CodeInvalidDuration, "virtualMachines[0].ports[0].duration", now},
		{"the most negative duration", lasts(-1 << 63), jit.CodeInvalidDuration, "virtualMachines[0].ports[0].duration", now},
		{"a millisecond under a second", lasts(999 * time.Millisecond), jit.CodeInvalidDuration, "virtualMachines[0].ports[0].duration", now},
		{"end in the past", ends(now.Add(-time.Hour)), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end a millisecond ago", ends(now.Add(-time.Millisecond)), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end now", ends(now), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end now, in another zone", ends(now.In(time.FixedZone("", 3600))), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end within this millisecond", ends(now.Add(999 * time.Microsecond)), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end in the year 1", ends(time.Time{}.Add(1)), jit.CodeEndInPast, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"end in the year 9999", ends(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"the longest duration", lasts(1<<63 - 1), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].duration", now},
		{"over the maximum by a millisecond", lasts(h3 + time.Millisecond), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].duration", now},
		{"over the maximum by a nanosecond", lasts(h3 + 1), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].duration", now},
		{"end over the maximum by a clock that is a millisecond ahead", ends(now.Add(h3 + time.Millisecond)), "", "", now.Add(h3)},
		{"end over the maximum by a clock that is two minutes ahead", ends(now.Add(h3 + jit.ClockSkew)), "", "", now.Add(h3)},
		{"end over the maximum by more", ends(now.Add(h3 + jit.ClockSkew + time.Millisecond)), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].endTimeUtc", now},
		{"machine without policy", with(func(r *jit.Request) { r.VMs[0].VM = vm("other") }), jit.CodePolicyNotFound, "virtualMachines[0].id", now},
		{"second machine without policy", with(func(r *jit.Request) {
			r.VMs = append(r.VMs, jit.RequestVM{VM: vm("other"), Ports: r.VMs[0].Ports})
		}), jit.CodePolicyNotFound, "virtualMachines[1].id", now},
		{"port not in the policy", names(23, from, time.Hour), jit.CodePortNotInPolicy, "virtualMachines[0].ports[0].number", now},
		{"source outside", names(22, sources(t, "203.0.114.1"), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"source wider", names(22, sources(t, "203.0.112.0/23"), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"one of two sources outside", names(22, sources(t, "203.0.113.1", "8.8.8.8"), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"any source where some are allowed", names(22, jit.AnySource(), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"any source where all of IPv4 is", names(65535, jit.AnySource(), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"IPv6 where all of IPv4 is", names(65535, sources(t, "2001:db8::1"), time.Hour), jit.CodeSourceNotAllowed, "virtualMachines[0].ports[0].allowedSourceAddressPrefix", now},
		{"the duration is told before the source", names(22, jit.AnySource(), 4*time.Hour), jit.CodeDurationOverMaximum, "virtualMachines[0].ports[0].duration", now},

		{"a second", lasts(time.Second), "", "", now.Add(time.Second)},
		{"the maximum", lasts(h3), "", "", now.Add(h3)},
		{"until the maximum", ends(now.Add(h3)), "", "", now.Add(h3)},
		{"until the maximum, in another zone", ends(now.Add(h3).In(time.FixedZone("", -3600))), "", "", now.Add(h3)},
		{"the end is cut to milliseconds", lasts(time.Second + 1500*time.Microsecond), "", "", now.Add(1001 * time.Millisecond)},
		{"port 0", names(0, jit.AnySource(), 5*time.Minute), "", "", now.Add(5 * time.Minute)},
		{"port 65535", names(65535, sources(t, "0.0.0.0/0"), 24*time.Hour), "", "", now.Add(24 * time.Hour)},
		{"IPv6 source", names(22, sources(t, "2001:db8:1::/48"), time.Hour), "", "", now.Add(time.Hour)},
		{"justification of 1000", with(func(r *jit.Request) { r.Justification = strings.Repeat("é", 1000) }), "", "", now.Add(time.Hour)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := decided(office(t), jit.Options{}, tt.r, "id", now.Add(300*time.Microsecond))
			wantCode(t, err, tt.want)
			if e, ok := err.(*jit.Error); ok {
				if e.Target != tt.target {
					t.Errorf("target %q, want %q", e.Target, tt.target)
				}
				if len(g.VMs) > 0 || g.ID != "" {
					t.Errorf("refused, but gives %+v", g)
				}
				return
			}
			w := g.VMs[0].Ports[0]
			if !w.End.Equal(tt.end) || w.End.Location() != time.UTC || w.Status != jit.Initiating || w.Reason != "" {
				t.Errorf("got %+v, want end %s", w, tt.end)
			}
			if !g.Start.Equal(now) || !g.OpenBy.Equal(now.Add(jit.OpeningTimeout)) || g.Generation != 1 || !g.Live(w, now) {
				t.Errorf("got %+v", g)
			}
		})
	}
}

func TestDecideTakesTheProtocolOfThePolicy(t *testing.T) {
	r := jit.Request{Requestor: "ann", Justification: " why ", VMs: []jit.RequestVM{{VM: vm("WEB"), Ports: []jit.RequestPort{{Number: 65535, Duration: time.Hour, Sources: sources(t, "8.8.8.8")}}}}}
	g, err := decided(office(t), jit.Options{}, r, "id", now)
	if err != nil {
		t.Fatal(err)
	}
	want := jit.Grant{ID: "id", Requestor: "ann", Justification: "why", Start: now, OpenBy: now.Add(5 * time.Minute), Generation: 1, VMs: []jit.GrantVM{{VM: vm("web"), Ports: []jit.Window{
		{Number: 65535, Protocol: jit.UDP, Sources: sources(t, "8.8.8.8"), End: now.Add(time.Hour), Length: time.Hour, Status: jit.Initiating}}}}}
	if d := cmp.Diff(want, g, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Error(d)
	}
}

func TestPolicyValidate(t *testing.T) {
	good := jit.PortRule{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}
	one := func(change func(*jit.PortRule)) []jit.PortRule {
		p := good
		change(&p)
		return []jit.PortRule{p}
	}
	lasts := func(d time.Duration) []jit.PortRule { return one(func(p *jit.PortRule) { p.Maximum = d }) }
	var many []jit.PortRule
	for i := range 101 {
		many = append(many, one(func(p *jit.PortRule) { p.Number = uint16(i) })...)
	}
	tests := []struct {
		name   string
		ports  []jit.PortRule
		want   jit.Code
		target string
	}{
		{"no ports", nil, jit.CodeNoPorts, "ports"},
		{"101 ports", many, jit.CodeTooManyPorts, "ports"},
		{"a port twice", []jit.PortRule{good, good}, jit.CodeDuplicatePort, "ports[1].number"},
		{"zero port rule", make([]jit.PortRule, 1), jit.CodeInvalidProtocol, "ports[0].protocol"},
		{"protocol in lower case", one(func(p *jit.PortRule) { p.Protocol = "tcp" }), jit.CodeInvalidProtocol, "ports[0].protocol"},
		{"ICMP", one(func(p *jit.PortRule) { p.Protocol = jit.ICMP }), jit.CodeInvalidProtocol, "ports[0].protocol"},
		{"no source", one(func(p *jit.PortRule) { p.Sources = jit.Sources{} }), jit.CodeInvalidSource, "ports[0].allowedSourceAddressPrefix"},
		{"no maximum", lasts(0), jit.CodeInvalidMaximum, "ports[0].maxRequestAccessDuration"},
		{"under 5 minutes by a millisecond", lasts(5*time.Minute - time.Millisecond), jit.CodeInvalidMaximum, "ports[0].maxRequestAccessDuration"},
		{"over a day by a millisecond", lasts(24*time.Hour + time.Millisecond), jit.CodeInvalidMaximum, "ports[0].maxRequestAccessDuration"},
		{"100 ports", many[:100], "", ""},
		{"5 minutes", lasts(5 * time.Minute), "", ""},
		{"a day", lasts(24 * time.Hour), "", ""},
		{"the default ports", jit.DefaultPorts(), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := jit.Policy{VM: vm("web"), Ports: tt.ports}.Validate()
			wantCode(t, err, tt.want)
			if e, ok := err.(*jit.Error); ok && e.Target != tt.target {
				t.Errorf("target %q, want %q", e.Target, tt.target)
			}
		})
	}
}

func TestParseWords(t *testing.T) {
	for _, s := range []string{"", " ", "TCP ", "\ufeffTCP", "ICMP", "Any", "**", "6", "tcp,udp", "\u212a"} {
		_, err := jit.ParseProtocol(s)
		wantCode(t, err, jit.CodeInvalidProtocol)
	}
	for s, want := range map[string]jit.Protocol{"tcp": jit.TCP, "Tcp": jit.TCP, "UDP": jit.UDP, "*": jit.AnyProtocol} {
		if got, err := jit.ParseProtocol(s); err != nil || got != want {
			t.Errorf("%q gives %q, %v", s, got, err)
		}
	}
	for _, s := range []string{" ", "replace", "override ", "re\u017fpect"} {
		_, err := jit.ParseExistingRules(s)
		wantCode(t, err, jit.CodeInvalidExistingRules)
	}
	for s, want := range map[string]jit.ExistingRules{"": jit.Override, "Override": jit.Override, "RESPECT": jit.Respect} {
		if got, err := jit.ParseExistingRules(s); err != nil || got != want {
			t.Errorf("%q gives %v, %v", s, got, err)
		}
	}
	if jit.Protocol("").Overlaps(jit.TCP) || jit.TCP.Overlaps(jit.UDP) || !jit.UDP.Overlaps(jit.AnyProtocol) {
		t.Error("protocols overlap wrongly")
	}
}

func TestErrorAt(t *testing.T) {
	e := &jit.Error{Code: "C", Target: "number", Message: "m"}
	for _, tt := range []struct{ target, path, want string }{{"number", "ports[0]", "ports[0].number"}, {"", "ports[0]", "ports[0]"}, {"number", "", "number"}, {"", "", ""}} {
		e.Target = tt.target
		if got := e.At(tt.path); got.Target != tt.want || e.Target != tt.target {
			t.Errorf("%q at %q: got %q, want %q; the receiver has %q", tt.target, tt.path, got.Target, tt.want, e.Target)
		}
	}
}
