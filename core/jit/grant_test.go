package jit_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

// grantOf gives a grant of ann's for port 22, 23, ... of web, one for each window.
func grantOf(id string, start time.Time, windows ...jit.Window) jit.Grant {
	g := jit.Grant{ID: id, Requestor: "ann", Start: start, OpenBy: start.Add(jit.OpeningTimeout), Generation: 1, VMs: []jit.GrantVM{{VM: vm("web")}}}
	for i, w := range windows {
		w.Number = uint16(22 + i)
		if w.Sources.IsEmpty() {
			w.Sources = jit.AnySource()
		}
		w.Protocol = jit.TCP
		g.VMs[0].Ports = append(g.VMs[0].Ports, w)
	}
	return g
}

func open(end time.Time) jit.Window    { return jit.Window{End: end, Status: jit.Initiated} }
func opening(end time.Time) jit.Window { return jit.Window{End: end, Status: jit.Initiating} }

func TestLiveIsHalfOpen(t *testing.T) {
	end := now.Add(time.Hour)
	tests := []struct {
		name string
		w    jit.Window
		at   time.Time
		want bool
	}{
		{"zero window", jit.Window{}, now, false},
		{"zero status", jit.Window{End: end}, now, false},
		{"revoked", jit.Window{End: end, Status: jit.Revoked}, now, false},
		{"revoking", jit.Window{End: end, Status: jit.Revoking}, now, false},
		{"unknown status", jit.Window{End: end, Status: 99}, now, false},
		{"open at its end", open(end), end, false},
		{"open at its end, in another zone", open(end), end.In(time.FixedZone("", 7200)), false},
		{"open after its end", open(end), end.Add(1), false},
		{"opening at OpenBy", opening(end), now.Add(jit.OpeningTimeout), false},
		{"opening past its end", opening(now.Add(time.Second)), now.Add(time.Second), false},
		{"open just before its end", open(end), end.Add(-1), true},
		{"open after OpenBy", open(end), now.Add(jit.OpeningTimeout), true},
		{"opening just before OpenBy", opening(end), now.Add(jit.OpeningTimeout - 1), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := grantOf("g", now)
			if got := g.Live(tt.w, tt.at); got != tt.want {
				t.Errorf("live %t, want %t", got, tt.want)
			}
		})
	}
}

func TestGrantSumsUp(t *testing.T) {
	revoked := func(why jit.Reason) jit.Window {
		return jit.Window{End: now.Add(time.Minute), Status: jit.Revoked, Reason: why}
	}
	end := now.Add(time.Hour)
	tests := []struct {
		name                     string
		windows                  []jit.Window
		status                   jit.Status
		reason                   jit.Reason
		live, closed, overdue    bool
		ends                     int
		statusText, reasonOnWire string
	}{
		{name: "no windows", status: jit.Revoked, closed: true, statusText: "Revoked"},
		{name: "opening", windows: []jit.Window{opening(end)}, status: jit.Initiating, live: true, ends: 1, statusText: "Initiating"},
		{name: "open", windows: []jit.Window{open(end)}, status: jit.Initiated, live: true, ends: 1, statusText: "Initiated"},
		{name: "open, and one closed", windows: []jit.Window{revoked(jit.Expired), open(end)}, status: jit.Initiated, reason: jit.Expired, live: true, ends: 2, statusText: "Initiated"},
		{name: "revoking reads as open", windows: []jit.Window{{End: now, Status: jit.Revoking, Reason: jit.UserRequested}}, status: jit.Revoking, reason: jit.UserRequested, overdue: true, ends: 1, statusText: "Initiated"},
		{name: "past its end", windows: []jit.Window{open(now)}, status: jit.Initiated, overdue: true, ends: 1, statusText: "Initiated"},
		{name: "one past its end", windows: []jit.Window{open(now), open(end)}, status: jit.Initiated, live: true, overdue: true, ends: 2, statusText: "Initiated"},
		{name: "closed", windows: []jit.Window{revoked(jit.Expired), revoked(jit.UserRequested)}, status: jit.Revoked, reason: jit.Expired, closed: true, ends: 1, statusText: "Revoked"},
		{name: "a status of zero is neither open nor closed", windows: []jit.Window{{End: end}}, overdue: true, ends: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := grantOf("g", now, tt.windows...)
			got := fmt.Sprint(g.Status(), g.Reason(), g.AnyLive(now), g.Closed(), g.Overdue(now), len(g.Ends()), g.Status() == tt.status)
			want := fmt.Sprint(tt.statusText, tt.reason, tt.live, tt.closed, tt.overdue, tt.ends, true)
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestEndsAreDistinctAndSorted(t *testing.T) {
	early, late := now.Add(time.Minute), now.Add(time.Hour)
	g := grantOf("g", now, open(late), open(early), open(early.In(time.FixedZone("", 3600))))
	if d := cmp.Diff([]time.Time{early, late}, g.Ends()); d != "" {
		t.Error(d)
	}
	if !g.End().Equal(late) {
		t.Errorf("ends at %s", g.End())
	}
}

func TestSettled(t *testing.T) {
	at := now.Add(jit.OpeningTimeout)
	tests := []struct {
		name   string
		w      jit.Window
		status jit.Status
		reason jit.Reason
	}{
		{"open stays", open(at.Add(1)), jit.Initiated, ""},
		{"closed keeps its reason", jit.Window{End: now, Status: jit.Revoked, Reason: jit.PolicyRemoved}, jit.Revoked, jit.PolicyRemoved},
		{"at its end", open(at), jit.Revoked, jit.Expired},
		{"never confirmed", opening(at.Add(time.Hour)), jit.Revoked, jit.OpeningFailed},
		{"never confirmed and past its end", opening(at), jit.Revoked, jit.Expired},
		{"revoking", jit.Window{End: now, Status: jit.Revoking, Reason: jit.UserRequested}, jit.Revoked, jit.UserRequested},
		{"zero status", jit.Window{End: at.Add(1)}, jit.Revoked, jit.Expired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := grantOf("g", now, tt.w).Settled(at).VMs[0].Ports[0]
			if w.Status != tt.status || w.Reason != tt.reason {
				t.Errorf("got %d %q, want %d %q", w.Status, w.Reason, tt.status, tt.reason)
			}
		})
	}
}

func TestOpenedOnlyWhatIsLive(t *testing.T) {
	g := grantOf("g", now, opening(now.Add(time.Hour)), opening(now.Add(time.Minute)), jit.Window{End: now.Add(time.Hour), Status: jit.Revoking})
	got := g.Opened(now.Add(time.Minute)).VMs[0].Ports
	if got[0].Status != jit.Initiated || got[1].Status != jit.Initiating || got[2].Status != jit.Revoking {
		t.Errorf("got %+v", got)
	}
	if late := g.Opened(g.OpenBy).VMs[0].Ports[0].Status; late != jit.Initiating {
		t.Errorf("confirmed after OpenBy: %d", late)
	}
}

func TestRevoke(t *testing.T) {
	g := grantOf("g", now, open(now.Add(time.Hour)), open(now.Add(time.Minute)), jit.Window{End: now, Status: jit.Revoked, Reason: jit.Expired})
	at := now.Add(10 * time.Minute).Add(300 * time.Microsecond)
	got := g.Revoke(at, jit.UserRequested)
	w := got.VMs[0].Ports
	if got.Generation != 2 || w[0].Status != jit.Revoking || !w[0].End.Equal(now.Add(10*time.Minute)) || w[0].Reason != jit.UserRequested {
		t.Errorf("got %+v", got)
	}
	if !w[1].End.Equal(now.Add(time.Minute)) || w[1].Reason != "" || got.Settled(at).VMs[0].Ports[1].Reason != jit.Expired {
		t.Errorf("a window that was over already is not Expired: %+v", w[1])
	}
	if w[2].Reason != jit.Expired || w[2].Status != jit.Revoked {
		t.Errorf("a closed window changed: %+v", w[2])
	}
	if got.AnyLive(at) {
		t.Error("still live")
	}
	again := got.Revoke(at.Add(time.Minute), jit.PolicyRemoved).VMs[0].Ports[0]
	if again.Reason != jit.UserRequested {
		t.Errorf("the second revocation changed the reason to %s", again.Reason)
	}
	g.VMs = append(g.VMs, jit.GrantVM{VM: vm("app"), Ports: []jit.Window{open(now.Add(time.Hour))}})
	one := g.RevokeVM(vm("APP"), at, jit.PolicyRemoved)
	if one.VMs[0].Ports[0].Status != jit.Initiated || one.VMs[1].Ports[0].Status != jit.Revoking {
		t.Errorf("got %+v", one)
	}
}

func TestSuperseded(t *testing.T) {
	end := now.Add(time.Hour)
	base := func() jit.Grant { return grantOf("a", now, open(end)) }
	newer := func(change func(*jit.Grant)) jit.Grant {
		g := grantOf("b", now.Add(time.Second), opening(end.Add(time.Hour)))
		change(&g)
		return g
	}
	tests := []struct {
		name  string
		older jit.Grant
		newer jit.Grant
		want  bool
	}{
		{"itself", base(), base(), false},
		{"another requestor", base(), newer(func(g *jit.Grant) { g.Requestor = "bob" }), false},
		{"a requestor in other case", base(), newer(func(g *jit.Grant) { g.Requestor = "Ann" }), false},
		{"another machine", base(), newer(func(g *jit.Grant) { g.VMs[0].VM = vm("app") }), false},
		{"another port", base(), newer(func(g *jit.Grant) { g.VMs[0].Ports[0].Number = 3389 }), false},
		{"other sources", base(), newer(func(g *jit.Grant) { g.VMs[0].Ports[0].Sources = sources(t, "10.0.0.0/8") }), false},
		{"newer not live", base(), newer(func(g *jit.Grant) { g.VMs[0].Ports[0].Status = jit.Revoking }), false},
		{"newer not confirmed in time", base(), newer(func(g *jit.Grant) { g.OpenBy = now }), false},
		{"older not live", grantOf("a", now, open(now)), newer(func(*jit.Grant) {}), false},
		{"in fact older", base(), newer(func(g *jit.Grant) { g.Start = now.Add(-1) }), false},
		{"the same instant, lower id", grantOf("c", now, open(end)), newer(func(g *jit.Grant) { g.Start = now }), false},
		{"the same instant, higher id", base(), newer(func(g *jit.Grant) { g.Start = now }), true},
		{"same requestor, machine, port, sources", base(), newer(func(*jit.Grant) {}), true},
		{"that ends earlier", base(), newer(func(g *jit.Grant) { g.VMs[0].Ports[0].End = now.Add(2 * time.Minute) }), true},
		{"machine in other case", base(), newer(func(g *jit.Grant) { g.VMs[0].VM = vm("WEB") }), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := now.Add(time.Minute)
			got, found := tt.older.Superseded(tt.newer, at)
			w := tt.older.VMs[0].Ports[0]
			if found != tt.want {
				t.Fatalf("superseded %t, want %t", found, tt.want)
			}
			desired := tt.older.Desired(vm("web"), w, at, []jit.Grant{tt.older, tt.newer})
			if tt.older.Live(w, at) && desired == tt.want {
				t.Errorf("desired %t though superseded is %t", desired, tt.want)
			}
			if !found && !cmp.Equal(got, tt.older, cmpopts.EquateComparable(netip.AddrPort{})) || found && (got.Generation != 2 || got.VMs[0].Ports[0].Reason != jit.NewerRequestInitiated || got.AnyLive(at) || !got.Settled(at).Closed()) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestExtend(t *testing.T) {
	from := sources(t, "203.0.113.7")
	w := func(end time.Time) jit.Window { return jit.Window{End: end, Status: jit.Initiated, Sources: from} }
	at := now.Add(time.Hour)
	end := now.Add(2 * time.Hour)
	tests := []struct {
		name     string
		g        jit.Grant
		duration time.Duration
		end      time.Time
		want     jit.Code
	}{
		{"neither", grantOf("g", now, w(end)), 0, time.Time{}, jit.CodeInvalidInitiate},
		{"both", grantOf("g", now, w(end)), time.Hour, end, jit.CodeInvalidInitiate},
		{"to the past", grantOf("g", now, w(end)), 0, now, jit.CodeEndInPast},
		{"to now", grantOf("g", now, w(end)), 0, at, jit.CodeEndInPast},
		{"over", grantOf("g", now, w(at)), time.Hour, time.Time{}, jit.CodeRequestEnded},
		{"revoked", grantOf("g", now, jit.Window{End: end, Status: jit.Revoking}), time.Hour, time.Time{}, jit.CodeRequestEnded},
		{"no windows", grantOf("g", now), time.Hour, time.Time{}, jit.CodeRequestEnded},
		{"to the same end", grantOf("g", now, w(end)), 0, end, jit.CodeEndNotLater},
		{"to an earlier end", grantOf("g", now, w(end)), time.Minute, time.Time{}, jit.CodeEndNotLater},
		{"over the maximum from its start by a millisecond", grantOf("g", now, w(end)), 0, now.Add(3*time.Hour + jit.ClockSkew + time.Millisecond), jit.CodeDurationOverMaximum},
		{"three more hours", grantOf("g", now, w(end)), 3 * time.Hour, time.Time{}, jit.CodeDurationOverMaximum},
		{"one of two ports not in the policy", grantOf("g", now, w(end), w(end)), 2 * time.Hour, time.Time{}, jit.CodePortNotInPolicy},
		{"source no longer allowed", grantOf("g", now, open(end)), 2 * time.Hour, time.Time{}, jit.CodeSourceNotAllowed},
		{"to the maximum from its start", grantOf("g", now, w(end)), 0, now.Add(3 * time.Hour), ""},
		{"for two more hours", grantOf("g", now, w(end)), 2 * time.Hour, time.Time{}, ""},
		{"to the maximum by a clock that is two minutes ahead", grantOf("g", now, w(end)), 0, now.Add(3*time.Hour + jit.ClockSkew), ""},
		{"by two minutes more than are left", grantOf("g", now, w(end)), 2*time.Hour + 119*time.Second, time.Time{}, ""},
		{"beyond the maximum that it lasts already", grantOf("g", now, w(now.Add(3*time.Hour))), 0, now.Add(3*time.Hour + time.Minute), jit.CodeEndNotLater},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decide.Extend(tt.g, office(t), jit.Options{}, tt.duration, tt.end, at.Add(300*time.Microsecond))
			wantCode(t, err, tt.want)
			if tt.want != "" {
				if d := cmp.Diff(tt.g, got, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
					t.Errorf("refused, but changed: %s", d)
				}
				return
			}
			if !got.End().Equal(now.Add(3*time.Hour)) || got.Generation != 2 {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("the policy is gone", func(t *testing.T) {
		_, err := decide.Extend(grantOf("g", now, w(end)), func(jit.ID) (jit.Policy, bool) { return jit.Policy{}, false }, jit.Options{}, 2*time.Hour, time.Time{}, at)
		wantCode(t, err, jit.CodePolicyNotFound)
	})
	t.Run("what ended stays ended", func(t *testing.T) {
		g := grantOf("g", now, w(end), w(at))
		got, err := decide.Extend(g, office(t), jit.Options{}, 2*time.Hour, time.Time{}, at)
		wantCode(t, err, "")
		if !got.VMs[0].Ports[1].End.Equal(at) {
			t.Errorf("got %+v", got)
		}
	})
}

func drawGrant(t *rapid.T, id string) jit.Grant {
	g := jit.Grant{ID: id, Requestor: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "requestor"), Start: now, Generation: 1}
	g.OpenBy = now.Add(time.Duration(rapid.IntRange(-1, 2).Draw(t, "open by")) * time.Minute)
	for _, name := range []string{"web", "app"} {
		v := jit.GrantVM{VM: vm(name)}
		for i := range rapid.IntRange(0, 2).Draw(t, "windows") {
			v.Ports = append(v.Ports, jit.Window{Number: uint16(22 + i), Protocol: jit.TCP, Sources: drawSources(t, "sources"), Status: jit.Status(rapid.IntRange(0, int(jit.Revoked)).Draw(t, "status")),
				End: now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(t, "end")) * time.Minute)})
		}
		g.VMs = append(g.VMs, v)
	}
	return g
}

func copyOf(g jit.Grant) jit.Grant {
	vms := make([]jit.GrantVM, len(g.VMs))
	for i, v := range g.VMs {
		vms[i] = jit.GrantVM{VM: v.VM, Ports: append([]jit.Window(nil), v.Ports...)}
	}
	g.VMs = vms
	return g
}

// No method changes its receiver, nothing that closed opens again, and no later
// instant makes live what was not.
func TestGrantMethods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, other := drawGrant(t, "a"), drawGrant(t, "b")
		before := copyOf(g)
		at := now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "at")) * time.Minute)
		policy := func(id jit.ID) (jit.Policy, bool) {
			return jit.Policy{VM: id, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}, {Number: 23, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}, true
		}
		superseded, _ := g.Superseded(other, at)
		extended, _ := decide.Extend(g, policy, jit.Options{}, time.Hour, time.Time{}, at)
		results := map[string]jit.Grant{"Opened": g.Opened(at), "Revoke": g.Revoke(at, jit.UserRequested), "RevokeVM": g.RevokeVM(vm("web"), at, jit.UserRequested),
			"Settled": g.Settled(at), "Superseded": superseded, "Extend": extended}
		for name, r := range results {
			if d := cmp.Diff(before, g, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
				t.Fatalf("%s changed its receiver: %s", name, d)
			}
			for i, v := range r.VMs {
				for j, w := range v.Ports {
					old := g.VMs[i].Ports[j]
					if r.Live(w, at) && !g.Live(old, at) {
						t.Fatalf("%s made live: %+v from %+v", name, w, old)
					}
					if w.Status < old.Status {
						t.Fatalf("%s went back from %d to %d", name, old.Status, w.Status)
					}
					if name != "Extend" && w.End.After(old.End) {
						t.Fatalf("%s moved an end later", name)
					}
					if w.Status >= jit.Initiated && g.Live(w, at) != g.Live(w, at.Add(time.Second)) && g.Live(w, at.Add(time.Second)) {
						t.Fatalf("becomes live by itself: %+v", w)
					}
				}
			}
			// Nobody may reach the receiver through the result.
			for i := range r.VMs {
				for j := range r.VMs[i].Ports {
					if name != "Superseded" && name != "Extend" { // these may give the receiver itself
						r.VMs[i].Ports[j].Number = 9999
					}
				}
			}
		}
		if d := cmp.Diff(before, g, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
			t.Fatalf("a result shares windows with its receiver: %s", d)
		}
		if settled := g.Settled(at); settled.Overdue(at) {
			t.Fatalf("settled, but overdue: %+v", settled)
		}
		if again := g.Settled(at).Settled(at); !cmp.Equal(again, g.Settled(at), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})) {
			t.Fatal("settling twice is not settling once")
		}
	})
}
