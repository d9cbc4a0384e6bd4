package access_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/side"
	"portcullis/core/store"
)

// theirs is a rule of others that concerns one TCP port of everybody.
func theirs(name string, access jit.Access, priority int, port uint16) jit.Rule {
	return jit.Rule{Name: name, Priority: priority, Access: access, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}}
}

// companyRules takes 101 and 103 to 109, of which 103 opens SSH.
func companyRules() []jit.Rule {
	out := []jit.Rule{theirs("AllowWeb", jit.Allow, 101, 443), theirs("AllowSSH", jit.Allow, 103, 22)}
	for n := 104; n < 110; n++ {
		out = append(out, theirs(fmt.Sprint("Company", n), jit.Allow, n, 8443))
	}
	return out
}

// kindsFound gives the findings of some kinds, one short line each.
func kindsFound(rec store.SweepRecord, kinds ...store.FindingKind) []string {
	var out []string
	for _, f := range rec.Findings {
		if slices.Contains(kinds, f.Kind) {
			out = append(out, fmt.Sprint(f.Kind, " ", f.Target.Name, " ", f.VM.Name, " ", f.Rule))
		}
	}
	return out
}

// TestEnableKeepsRoom: where a machine is protected, above its deny there is a place for a window, or a refusal says
// which rule is in the way and what to do about it; the dry run says the same.
func TestEnableKeepsRoom(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rules  []jit.Rule
		policy jit.Policy
		code   jit.Code // "" where it is protected
		says   []string
	}{
		{"an allow at 101", []jit.Rule{theirs("AllowSSH", jit.Allow, 101, 22)}, policyOf("web", 22, 3389), plan.CodeNoPriorityLeft, []string{"port 22 of web", "AllowSSH (priority 101)", "102 or more", "existingRules respect"}},
		{"an allow at 101 of a port that the policy does not name", []jit.Rule{theirs("AllowSSH", jit.Allow, 101, 22)}, policyOf("web", 3389), "", nil},
		{"an allow at 102", []jit.Rule{theirs("AllowSSH", jit.Allow, 102, 22)}, policyOf("web", 22, 3389), "", nil},
		{"an allow at 100", []jit.Rule{theirs("AllowSSH", jit.Allow, 100, 22)}, policyOf("web", 22, 3389), plan.CodeNoPriorityLeft, []string{"AllowSSH (priority 100)", "102 or more"}},
		{"company rules", companyRules(), policyOf("web", 22), "", nil},
		{"a deny of everybody at 100", []jit.Rule{theirs("DenySSH", jit.Deny, 100, 22)}, policyOf("web", 22, 3389), plan.CodeBlocked, []string{"port 22 of web", "DenySSH (priority 100)"}},
		{"a deny of everybody at 101", []jit.Rule{theirs("DenySSH", jit.Deny, 101, 22)}, policyOf("web", 22, 3389), "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.cloud.SetRules(nsgID("web-nsg"), tc.rules...)
			w.start()
			writes := w.cloud.Writes()
			for _, dryRun := range []bool{true, false} {
				_, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{tc.policy}, dryRun)
				if code(err) != tc.code {
					t.Fatalf("dry run %t: %v, want %q", dryRun, err, tc.code)
				}
				for _, part := range tc.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("dry run %t: %v does not say %q", dryRun, err, part)
					}
				}
			}
			if tc.code != "" {
				if all, _ := store.AllPolicies(t.Context(), w.mem); len(all) != 0 || w.cloud.Writes() != writes {
					t.Errorf("a refusal stored %d policies and made %d writes", len(all), w.cloud.Writes()-writes)
				}
				return
			}
			for _, port := range tc.policy.Ports {
				id := w.mustAsk(want("ann", port.Number, time.Hour, "203.0.113.7", "web"))
				if err := endNow(w, id); err != nil {
					t.Fatal(err)
				}
			}
			if got := kindsFound(w.sweep(), store.FindingExposed, store.FindingRefused, store.FindingCannotOpen); len(got) != 0 {
				t.Errorf("findings %v", got)
			}
		})
	}
}

// endNow lets a window end.
func endNow(w *world, id string) error {
	w.pass(time.Hour + time.Second)
	if g := w.grant(id); !g.Closed() {
		return fmt.Errorf("the window is %s", g.Status())
	}
	return nil
}

// TestSecondMachineKeepsTheFirst: protecting a machine never takes the last place of one that is protected.
func TestSecondMachineKeepsTheFirst(t *testing.T) {
	w := newWorld(t)
	w.cloud.SetRules(nsgID("apps-nsg"), companyRules()...)
	w.start()
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app1", 22)}, false); err != nil {
		t.Fatal(err)
	}
	before := w.lines("apps-nsg")
	_, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app2", 22, 3389)}, false)
	if code(err) != plan.CodeNoPriorityLeft || !strings.Contains(err.Error(), "AllowSSH (priority 103)") || !strings.Contains(err.Error(), "app2") {
		t.Errorf("a second deny for one place: %v", err)
	}
	w.stands("apps-nsg", before...)
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app2", 22)}, false); err != nil {
		t.Errorf("a machine that shares the first one's deny: %v", err)
	}
	w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", "app1"))
	_, err = w.ask(want("bob", 22, time.Hour, "203.0.113.8", "app2"))
	if code(err) != plan.CodeNoPriorityLeft || !strings.Contains(err.Error(), "ask again when a window has ended") || !strings.Contains(err.Error(), "AllowSSH (priority 103)") {
		t.Errorf("a second window: %v", err)
	}
	if got := kindsFound(w.sweep(), store.FindingCannotOpen); !slices.Equal(got, []string{"NothingCanBeOpened apps-nsg app1 ", "NothingCanBeOpened apps-nsg app2 "}) {
		t.Errorf("findings while a window takes the only place: %v", got)
	}
	w.pass(time.Hour + time.Second)
	if got := kindsFound(w.sweep(), store.FindingCannotOpen); len(got) != 0 {
		t.Errorf("findings after it has ended: %v", got)
	}
	w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "app2"))
}

// behindTwo places a machine behind the groups of its subnet and of its interface.
func behindTwo(w *world, subnet, nic []jit.Rule) {
	m := network.Machine{VM: vmID("two"), Location: "westeurope", Private: []netip.Addr{netip.MustParseAddr("10.0.7.4")}}
	for name, rules := range map[string][]jit.Rule{"subnet-nsg": subnet, "nic-nsg": nic} {
		w.cloud.SetRules(nsgID(name), rules...)
		m.Placements = append(m.Placements, store.Placement{Target: nsgID(name), Addresses: m.Private})
	}
	slices.SortFunc(m.Placements, func(a, b store.Placement) int { return strings.Compare(a.Target.Key(), b.Target.Key()) })
	w.cloud.Place(m)
	w.start()
}

// TestTwoGroups: of two groups one has to close a port, and both have to have room.
func TestTwoGroups(t *testing.T) {
	at := func(n int) []jit.Rule { return []jit.Rule{theirs("AllowSSH", jit.Allow, n, 22)} }
	const exposed, refused, shut = store.FindingExposed, store.FindingRefused, store.FindingCannotOpen
	w := newWorld(t)
	behindTwo(w, at(101), nil)
	enabled, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("two", 22, 3389)}, false)
	if err != nil || len(enabled) != 1 || len(enabled[0].Exposed) != 0 {
		t.Fatalf("%+v, %v", enabled, err)
	}
	w.stands("subnet-nsg", "0101 allow AllowSSH * -> * :22", "4096 deny ours * -> 10.0.7.4 :22,3389")
	w.stands("nic-nsg", "4096 deny ours * -> 10.0.7.4 :22,3389")
	if got := kindsFound(w.sweep(), exposed, refused, shut); len(got) != 0 {
		t.Errorf("findings of a port that the interface's group closes: %v", got)
	}
	w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", "two"))
	w.pass(time.Hour + time.Second)

	// The other group stops closing it: that is told of both.
	w.cloud.SetRules(nsgID("nic-nsg"), append(at(100), w.cloud.Standing(nsgID("nic-nsg"))...)...)
	if got := kindsFound(w.sweep(), exposed, shut); !slices.Equal(got, []string{"Exposed nic-nsg two AllowSSH", "Exposed subnet-nsg two AllowSSH"}) {
		t.Errorf("findings where neither closes it: %v", got)
	}
	// The subnet's rule moves to where it can be outranked: the deny goes above it.
	rules := w.cloud.Standing(nsgID("subnet-nsg"))
	rules[slices.IndexFunc(rules, func(r jit.Rule) bool { return r.Name == "AllowSSH" })].Priority = 300
	w.cloud.SetRules(nsgID("subnet-nsg"), rules...)
	if got := kindsFound(w.sweep(), exposed, shut); len(got) != 0 {
		t.Errorf("findings where the subnet's closes it: %v", got)
	}
	w.stands("subnet-nsg", "0299 deny ours * -> 10.0.7.4 :22,3389", "0300 allow AllowSSH * -> * :22")

	for name, arrange := range map[string]func(w *world){
		"neither can close it": func(w *world) { behindTwo(w, at(101), at(101)) },
		"one has no room for a window": func(w *world) {
			behindTwo(w, nil, []jit.Rule{theirs("DenySSH", jit.Deny, 100, 22)})
		},
	} {
		w := newWorld(t)
		arrange(w)
		if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("two", 22)}, false); code(err) != plan.CodeNoPriorityLeft && code(err) != plan.CodeBlocked {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLosesItsRoom: a rule that comes later and leaves a machine no room stays outranked, and a finding names the machine.
func TestLosesItsRoom(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.cloud.SetRules(nsgID("web-nsg"), append([]jit.Rule{theirs("AllowLater", jit.Allow, 101, 22)}, w.cloud.Standing(nsgID("web-nsg"))...)...)
	rec := w.sweep()
	if got := kindsFound(rec, store.FindingCannotOpen, store.FindingExposed); !slices.Equal(got, []string{"NothingCanBeOpened web-nsg web "}) {
		t.Errorf("findings %v", got)
	}
	i := slices.IndexFunc(rec.Findings, func(f store.Finding) bool { return f.Kind == store.FindingCannotOpen })
	if msg := rec.Findings[i].Message; !strings.Contains(msg, "ports 22, 3389 of web") || !strings.Contains(msg, "AllowLater (priority 101)") || !strings.Contains(msg, "102 or more") {
		t.Errorf("the finding says %q", msg)
	}
	_, err := w.ask(want("ann", 3389, time.Hour, "203.0.113.7", "web"))
	if code(err) != plan.CodeNoPriorityLeft || !strings.Contains(err.Error(), "AllowLater (priority 101)") {
		t.Errorf("a request: %v", err)
	}
}

// TestReplaceProtectsWhatItCan: of the machines of a named policy none hinders another; what stays open, or cannot be
// opened, is told with the answer, in the log and by the sweep.
func TestReplaceProtectsWhatItCan(t *testing.T) {
	for _, at := range []int{100, 101} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			w := newWorld(t)
			w.cloud.SetRules(nsgID("web-nsg"), theirs("AllowSSH", jit.Allow, at, 22))
			g := guarded(w)
			list := append(policies("app1"), valid(policyOf("web", 22, 3389))...)
			for range 2 { // clients send again what they have sent
				p, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, list, defender.Written{}, defender.Precondition{})
				if err != nil || machines(p) != "app1 web" {
					t.Fatalf("%s, %v", machines(p), err)
				}
				if h := p.Hindered[vmID("web").Key()]; len(p.Hindered) != 1 || len(h) != 1 || h[0].Kind != side.Open || h[0].Port != 22 || !strings.Contains(h[0].Err.Message, fmt.Sprintf("AllowSSH (priority %d)", at)) {
					t.Errorf("hindered %+v", p.Hindered)
				}
			}
			w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22")
			w.stands("web-nsg", fmt.Sprintf("%04d allow AllowSSH * -> * :22", at), "4096 deny ours * -> 10.0.0.4 :22,3389")
			if e := w.lastEntries(2); !strings.Contains(e[0].Message+e[1].Message, "AllowSSH") {
				t.Errorf("the log says %q and %q", e[0].Message, e[1].Message)
			}
			if got := kindsFound(w.sweep(), store.FindingExposed, store.FindingCannotOpen); !slices.Equal(got, []string{"Exposed web-nsg web AllowSSH"}) {
				t.Errorf("findings %v", got)
			}
			for _, vm := range []string{"app1", "web"} {
				w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", vm))
			}
			w.mustAsk(want("ann", 3389, time.Hour, "203.0.113.7", "web"))
		})
	}
}
