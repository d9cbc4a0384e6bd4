package jit_test

import (
	"testing"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/narrow"
)

// TestNarrowed: after a change of a policy every live window is one that could be requested now, with the length that it is left; the rest
// stays as it is.
func TestNarrowed(t *testing.T) {
	rule := func(n uint16, p jit.Protocol, from string, most time.Duration) jit.PortRule {
		return jit.PortRule{Number: n, Protocol: p, Sources: sources(t, from), Maximum: most}
	}
	policy := func(rules ...jit.PortRule) jit.Policy { return jit.Policy{VM: vm("web"), Ports: rules} }
	with := func(p jit.Policy, o jit.Options) jit.Policy { p.Options = &o; return p }
	window := func(change func(*jit.Window)) jit.Window {
		w := jit.Window{Number: 22, Protocol: jit.TCP, Sources: sources(t, "203.0.113.0/28"), End: now.Add(2 * time.Hour), Status: jit.Initiated}
		if change != nil {
			change(&w)
		}
		return w
	}
	const closes, stays = "closes", "stays"
	for _, tt := range []struct {
		name   string
		policy jit.Policy
		floor  jit.Options
		change func(*jit.Window)
		why    string
		want   string // closes, stays, or when it ends after its start
	}{
		{"the same policy", policy(rule(22, jit.TCP, "203.0.113.0/24", 3*time.Hour)), jit.Options{}, nil, "", stays},
		{"a wider one", policy(rule(22, jit.AnyProtocol, "*", 24*time.Hour)), jit.Options{}, nil, "", stays},
		{"another machine's", jit.Policy{VM: vm("web2"), Ports: []jit.PortRule{rule(443, jit.TCP, "*", time.Hour)}}, jit.Options{}, nil, "", stays},
		{"the port is out", policy(rule(3389, jit.TCP, "*", 3*time.Hour)), jit.Options{}, nil, "", closes},
		{"the source is out", policy(rule(22, jit.TCP, "198.51.100.0/24", 3*time.Hour)), jit.Options{}, nil, "", closes},
		{"half of the source is out", policy(rule(22, jit.TCP, "203.0.113.0/29", 3*time.Hour)), jit.Options{}, nil, "", closes},
		{"another protocol", policy(rule(22, jit.UDP, "*", 3*time.Hour)), jit.Options{}, nil, "", closes},
		{"one protocol of both", policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{}, func(w *jit.Window) { w.Protocol = jit.AnyProtocol }, "", closes},
		{"not from any source, of any", with(policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{ForbidAnySource: true}), jit.Options{}, func(w *jit.Window) { w.Sources = jit.AnySource() }, "", closes},
		{"not from any source, of a range", with(policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{ForbidAnySource: true}), jit.Options{}, nil, "", stays},
		{"narrower ranges", with(policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{WidestIPv4: 29, WidestIPv6: 64}), jit.Options{}, nil, "", closes},
		{"the installation's demand", policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{WidestIPv4: 29, WidestIPv6: 64}, nil, "", closes},
		{"a justification, of none", with(policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{RequireJustification: true}), jit.Options{}, nil, "", closes},
		{"a justification, of one", with(policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{RequireJustification: true}), jit.Options{}, nil, "a change", stays},
		{"a maximum that is over", policy(rule(22, jit.TCP, "*", 30*time.Minute)), jit.Options{}, nil, "", closes},
		{"a maximum that is over just now", policy(rule(22, jit.TCP, "*", time.Hour)), jit.Options{}, nil, "", closes},
		{"a maximum that is not over", policy(rule(22, jit.TCP, "*", time.Hour+time.Millisecond)), jit.Options{}, nil, "", "1h0m0.001s"},
		{"a maximum of its length", policy(rule(22, jit.TCP, "*", 3*time.Hour)), jit.Options{}, nil, "", stays},
		{"one that is opening", policy(rule(3389, jit.TCP, "*", 3*time.Hour)), jit.Options{}, func(w *jit.Window) { w.Status = jit.Initiating }, "", closes},
		{"one that closes already", policy(rule(3389, jit.TCP, "*", 3*time.Hour)), jit.Options{}, func(w *jit.Window) { w.Status = jit.Revoking }, "", stays},
		{"one that is closed", policy(rule(3389, jit.TCP, "*", 3*time.Hour)), jit.Options{}, func(w *jit.Window) { w.Status = jit.Revoked }, "", stays},
		{"one that has ended", policy(rule(3389, jit.TCP, "*", 3*time.Hour)), jit.Options{}, func(w *jit.Window) { w.End = now }, "", stays},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := now.Add(-time.Hour)
			before := window(tt.change)
			g := jit.Grant{ID: "g", Justification: tt.why, Start: start, OpenBy: now.Add(time.Minute), Generation: 3, VMs: []jit.GrantVM{{VM: vm("web"), Ports: []jit.Window{before}}}}
			if tt.name == "a maximum of its length" {
				g.VMs[0].Ports[0].End = start.Add(3 * time.Hour)
				before = g.VMs[0].Ports[0]
			}
			got, changed := decide.Narrow(g, tt.policy, tt.floor, now)
			want, generation := before, 3
			switch tt.want {
			case stays:
			case closes:
				want.Status, want.Reason, want.End, generation = jit.Revoking, jit.PolicyChanged, now, 4
			default:
				d, err := time.ParseDuration(tt.want)
				if err != nil {
					t.Fatal(err)
				}
				want.End, generation = start.Add(d), 4
			}
			w := got.VMs[0].Ports[0]
			if changed != (tt.want != stays) || w.Status != want.Status || w.Reason != want.Reason || !w.End.Equal(want.End) || got.Generation != generation {
				t.Errorf("got %v %s %q until %s, generation %d; want %s %q until %s, generation %d", changed, w.Status, w.Reason, w.End, got.Generation, want.Status, want.Reason, want.End, generation)
			}
			part, differs := narrow.Differing(g, got, func(jit.ID) bool { return true })
			if differs != changed || changed && len(part.VMs[0].Ports) != 1 {
				t.Errorf("what differs: %v %v", differs, part.VMs)
			}
			if again, changed := decide.Narrow(got, tt.policy, tt.floor, now); changed || again.Generation != got.Generation {
				t.Error("narrowing again changes it again")
			}
		})
	}
}
