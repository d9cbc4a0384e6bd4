package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/access"
	"portcullis/core/access/accesstest"
	"portcullis/core/jit"
	"portcullis/core/plan"
)

// closedWeb is web-nsg with web enabled and nothing open.
var closedWeb = []string{"0200 allow AllowWeb * -> * :443", "0299 deny ours * -> 10.0.0.4 :22,3389", "0300 allow AllowSshAny * -> * :22"}

func TestEnableRefuses(t *testing.T) {
	full := foreignRules()
	full[1].Priority = 100
	for _, tc := range []struct {
		name     string
		policies []jit.Policy
		arrange  func(*world)
		want     jit.Code
	}{
		{"nothing", nil, nil, jit.CodeNoVMs},
		{"a policy without ports", []jit.Policy{policyOf("web")}, nil, jit.CodeNoPorts},
		{"a machine twice", []jit.Policy{policyOf("web", 22), policyOf("WEB", 22)}, nil, jit.CodeDuplicateVM},
		{"an unknown machine", []jit.Policy{policyOf("web", 22), policyOf("nobody", 22)}, nil, access.CodeVMNotFound},
		{"a machine that nothing guards", []jit.Policy{policyOf("bare", 22)}, func(w *world) {
			w.cloud.Place(access.Machine{VM: vmID("bare"), Private: []netip.Addr{netip.MustParseAddr("10.0.9.9")}})
		}, access.CodeMissingNSG},
		{"a subscription that no sweep looks at", []jit.Policy{{VM: jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e1", ResourceGroup: "demo", Type: jit.TypeVM, Name: "web"}, Ports: jit.DefaultPorts()}}, nil, access.CodeNotManaged},
		{"no priority above a foreign allow", []jit.Policy{policyOf("web", 22)}, func(w *world) { w.cloud.SetRules(nsgID("web-nsg"), full...) }, plan.CodeNoPriorityLeft},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.arrange != nil {
				tc.arrange(w)
				w.start() // nothing is remembered of what stood before
			}
			writes := w.cloud.Writes()
			_, _, err := w.Enable(t.Context(), who("admin"), tc.policies, false)
			if code(err) != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if all, _ := access.AllPolicies(t.Context(), w.mem); len(all) != 0 || w.cloud.Writes() != writes {
				t.Errorf("a refusal stored %d policies and made %d writes", len(all), w.cloud.Writes()-writes)
			}
		})
	}
}

func TestEnable(t *testing.T) {
	w := newWorld(t)
	_, dry, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, true)
	if err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", "0200 allow AllowWeb * -> * :443", "0300 allow AllowSshAny * -> * :22")
	enabled, wet, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dry, wet, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Errorf("what was done (+) is not what dryRun said (-):\n%s", diff)
	}
	w.stands("web-nsg", closedWeb...)
	if len(enabled) != 1 || len(enabled[0].Overridden) != 1 || enabled[0].Overridden[0].Rule.Name != "AllowSshAny" {
		t.Errorf("enable does not name the rule that it overrides: %+v", enabled)
	}
	// One machine's policy is changed without the other's.
	w.enable("app1", "app2")
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app2", 22)}, false); err != nil {
		t.Fatal(err)
	}
	w.stands("apps-nsg", "4095 deny ours * -> 10.0.1.5 :22", "4096 deny ours * -> 10.0.1.4 :22,3389")
}

func TestDisableLeavesWhatWas(t *testing.T) {
	w := newWorld(t)
	if err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")}); code(err) != jit.CodePolicyNotFound {
		t.Errorf("error %v, want %s", err, jit.CodePolicyNotFound)
	}
	w.enable("web", "app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("WEB")}); err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", "0200 allow AllowWeb * -> * :443", "0300 allow AllowSshAny * -> * :22")
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.PolicyRemoved {
		t.Errorf("the grant is %s %s, want Revoked %s", g.Status(), g.Reason(), jit.PolicyRemoved)
	}
	if known, _ := w.mem.Known(t.Context()); len(known) != 1 {
		t.Errorf("known targets %v, want apps-nsg only", known)
	}
}

func TestRequestRefuses(t *testing.T) {
	blocked := append(foreignRules(), jit.Rule{Name: "DenyAll", Priority: 100, Access: jit.Deny, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}})
	past := want("alice", 22, 0, "203.0.113.7", "web")
	past.VMs[0].Ports[0].End = noon.Add(-time.Second)
	for _, tc := range []struct {
		name    string
		request jit.Request
		arrange func(*world)
		want    jit.Code
	}{
		{"no machine", jit.Request{Requestor: "alice"}, nil, jit.CodeNoVMs},
		{"an unknown machine", want("alice", 22, time.Hour, "203.0.113.7", "web", "nobody"), nil, access.CodeVMNotFound},
		{"a machine without policy", want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"), nil, jit.CodePolicyNotFound},
		{"a port not in the policy", want("alice", 23, time.Hour, "203.0.113.7", "web"), nil, jit.CodePortNotInPolicy},
		{"longer than the maximum", want("alice", 22, 3*time.Hour+time.Millisecond, "203.0.113.7", "web"), nil, jit.CodeDurationOverMaximum},
		{"an end in the past", past, nil, jit.CodeEndInPast},
		{"a family that the machine does not have", want("alice", 22, time.Hour, "2001:db8::1", "web"), nil, access.CodeSourceFamily},
		{"a foreign deny above", want("alice", 22, time.Hour, "203.0.113.7", "web"), func(w *world) {
			w.cloud.SetRules(nsgID("web-nsg"), blocked...)
		}, plan.CodeBlocked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			if tc.arrange != nil {
				tc.arrange(w)
				w.start() // nothing is remembered of what stood before
			}
			writes := w.cloud.Writes()
			_, err := w.ask(tc.request)
			if code(err) != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			open, _ := w.mem.OpenGrants(t.Context())
			all, _, _ := w.mem.ListGrants(t.Context(), access.GrantFilter{}, "", 10)
			if len(open)+len(all)+len(w.bell.Set()) != 0 || w.cloud.Writes() != writes {
				t.Errorf("a refusal left %d grants and %d wake-ups and made %d writes", len(all), len(w.bell.Set()), w.cloud.Writes()-writes)
			}
			for i, vm := range tc.request.VMs {
				line := "Request Refused " + vm.VM.Name + " " + string(tc.want)
				if got := w.log(); !slices.Contains(got, line) {
					t.Errorf("machine %d: the log does not say %q: %q", i, line, got)
				}
			}
		})
	}
}

func TestWindow(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.leap(time.Millisecond)
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if g := w.grant(id); g.Status() != jit.Initiated {
		t.Errorf("status %s", g.Status())
	}
	w.stands("web-nsg", append([]string{"0100 allow ours 203.0.113.7 -> 10.0.0.4 :22"}, closedWeb...)...)
	w.pass(time.Hour - time.Millisecond)
	if w.allows("web-nsg") != 1 {
		t.Error("the port is closed before its end")
	}
	w.pass(time.Millisecond)
	w.stands("web-nsg", closedWeb...)
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.Expired {
		t.Errorf("the grant is %s %s, want Revoked Expired", g.Status(), g.Reason())
	}
	wantLog := []string{"Enable Succeeded web", "Request Succeeded web", "Open Succeeded web", "Close Succeeded web Expired"}
	if diff := cmp.Diff(wantLog, w.log()); diff != "" {
		t.Errorf("activity (-want +got):\n%s", diff)
	}
}

// TestCloseIsWrittenBeforeTheOpen holds the order of a request: intent, wake-up, rule.
func TestCloseIsWrittenBeforeTheOpen(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	var order []string
	note := func(_ context.Context, s accesstest.Step) error {
		if s.After && slices.Contains([]string{"InsertGrant", "Schedule", "Apply", "UpdateGrants"}, s.Op) {
			order = append(order, s.Op)
		}
		return nil
	}
	w.cloud.Fault, w.store.Fault, w.bell.Fault = note, note, note
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if diff := cmp.Diff([]string{"InsertGrant", "Schedule", "Apply", "UpdateGrants"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestOverlap: one grant's end does not close another's (TEAM issue 279).
func TestOverlap(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	short := w.mustAsk(want("alice", 22, 10*time.Minute, "203.0.113.7", "web"))
	long := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.7", "web"))
	w.pass(10 * time.Minute)
	if !w.grant(short).Closed() || w.grant(long).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("after the short window: short %s, long %s, %d allows", w.grant(short).Status(), w.grant(long).Status(), w.allows("web-nsg"))
	}
	if _, err := w.Revoke(t.Context(), who("bob"), long); err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", closedWeb...)
}

func TestNewerRequestTakesThePlace(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.pass(time.Minute)
	other := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.8", "web")) // another source: both stay
	w.pass(time.Minute)
	writes := w.cloud.Writes()
	newer := w.mustAsk(want("alice", 22, 5*time.Minute, "203.0.113.7", "web"))
	if n := w.cloud.Writes() - writes; n != 1 {
		t.Errorf("one rule for another took %d writes, want 1", n)
	}
	if g := w.grant(old); !g.Closed() || g.Reason() != jit.NewerRequestInitiated {
		t.Errorf("the older grant is %s %s", g.Status(), g.Reason())
	}
	if w.grant(other).Status() != jit.Initiated || w.grant(newer).Status() != jit.Initiated || w.allows("web-nsg") != 2 {
		t.Errorf("other %s, newer %s, %d allows", w.grant(other).Status(), w.grant(newer).Status(), w.allows("web-nsg"))
	}
	w.pass(5 * time.Minute) // the shorter, newer one ends: the older does not come back
	if w.allows("web-nsg") != 1 {
		t.Errorf("%d allows after the newer window, want the other source's only: %q", w.allows("web-nsg"), w.lines("web-nsg"))
	}
}

func TestRepeatedRequests(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	first := w.mustAsk(r)
	w.leap(2 * time.Second)
	if again := w.mustAsk(r); again != first {
		t.Error("a double click made a second grant")
	}
	w.leap(10 * time.Second)
	later := w.mustAsk(r)
	if later == first {
		t.Error("a request ten seconds later is no double click")
	}
	r.Justification = "with a key"
	keyed := w.mustAsk(r, "key-1")
	w.leap(time.Hour)
	if again := w.mustAsk(r, "key-1"); again != keyed {
		t.Error("the same key made a second grant")
	}
	if _, err := w.ask(want("alice", 3389, time.Hour, "203.0.113.7", "web"), "key-1"); code(err) != access.CodeKeyReused {
		t.Errorf("error %v, want %s", err, access.CodeKeyReused)
	}
	bobs := want("bob", 22, time.Hour, "203.0.113.7", "web")
	if id := w.mustAsk(bobs, "key-1"); id == keyed {
		t.Error("one requestor's key named another's grant")
	}
}

func TestRevokeTwice(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	if _, err := w.Revoke(t.Context(), who("alice"), "00000000-0000-7000-8000-000000000000"); code(err) != access.CodeRequestNotFound {
		t.Errorf("error %v, want %s", err, access.CodeRequestNotFound)
	}
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	id := w.mustAsk(r)
	for range 2 {
		rec, err := w.Revoke(t.Context(), who("alice"), id)
		if err != nil || !rec.Grant.Closed() || rec.Grant.Reason() != jit.UserRequested {
			t.Fatalf("revoke: %s %s, %v", rec.Grant.Status(), rec.Grant.Reason(), err)
		}
	}
	w.stands("web-nsg", closedWeb...)
	if again := w.mustAsk(r); again == id {
		t.Error("asking again right after closing gave the closed grant")
	}
}

// TestExtendTooLate: what ends while the wake-ups for its later end are being scheduled has ended.
func TestExtendTooLate(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Hour - time.Second)
	w.bell.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.After {
			w.leap(time.Second)
		}
		return nil
	}
	if rec, err := w.Extend(t.Context(), who("alice"), id, time.Hour, time.Time{}); code(err) != jit.CodeRequestEnded {
		t.Errorf("%s, %v, want %s", rec.Grant.End(), err, jit.CodeRequestEnded)
	}
	w.bell.Fault = nil
	w.pass(0)
	w.stands("web-nsg", closedWeb...)
}

func TestExtend(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	name := func() string {
		for _, r := range w.cloud.Standing(nsgID("web-nsg")) {
			if r.Access == jit.Allow && plan.Owned(r.Name) {
				return fmt.Sprint(r.Name, r.Priority)
			}
		}
		return ""
	}
	rule := name()
	w.pass(30 * time.Minute)
	for _, tc := range []struct {
		name   string
		length time.Duration
		end    time.Time
		want   jit.Code
	}{
		{"neither", 0, time.Time{}, jit.CodeInvalidInitiate},
		{"both", time.Hour, noon.Add(2 * time.Hour), jit.CodeInvalidInitiate},
		{"in the past", 0, noon, jit.CodeEndInPast},
		{"not later", 0, noon.Add(time.Hour), jit.CodeEndNotLater},
		{"over the maximum, counted from the start", 2*time.Hour + 31*time.Minute, time.Time{}, jit.CodeDurationOverMaximum},
	} {
		if _, err := w.Extend(t.Context(), who("alice"), id, tc.length, tc.end); code(err) != tc.want {
			t.Errorf("%s: error %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != rule {
		t.Errorf("the extension moved the rule from %s to %s", rule, got)
	}
	w.pass(30 * time.Minute) // the message for the old end comes and does nothing
	if w.allows("web-nsg") != 1 {
		t.Fatal("the old end closed the extended window")
	}
	w.pass(90 * time.Minute)
	w.stands("web-nsg", closedWeb...)
	if _, err := w.Extend(t.Context(), who("alice"), id, time.Hour, time.Time{}); code(err) != jit.CodeRequestEnded {
		t.Errorf("error %v, want %s", err, jit.CodeRequestEnded)
	}
}

// TestWakeEarly: a broker whose clock is ahead wakes too early; the wake-up is
// sent again for later, and not for a time that the broker already takes as past.
func TestWakeEarly(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(58 * time.Minute)
	before := len(w.bell.Set())
	if err := w.Wake(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	set := w.bell.Set()
	if len(set) != before+1 || !set[len(set)-1].At.Equal(noon.Add(62*time.Minute)) {
		t.Errorf("wake-ups %+v, want one more two minutes after the end", set)
	}
	if w.allows("web-nsg") != 1 {
		t.Error("an early wake-up closed a live window")
	}
	for _, generation := range []int{0, 2, 99} {
		if err := w.Wake(t.Context(), id, generation); err != nil || len(w.bell.Set()) != len(set) {
			t.Errorf("a wake-up of generation %d did something (error %v)", generation, err)
		}
	}
	if err := w.Wake(t.Context(), "00000000-0000-7000-8000-000000000000", 1); err != nil {
		t.Errorf("a wake-up for an unknown grant: %v", err)
	}
}

func TestSweepClosesWhatWasMissed(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Hour + time.Second) // and no message comes
	if age, err := w.Overdue(t.Context()); err != nil || age != time.Second {
		t.Errorf("overdue %v, %v, want 1s", age, err)
	}
	rec := w.sweep()
	w.stands("web-nsg", closedWeb...)
	if rec.Closed != 1 || !w.grant(id).Closed() {
		t.Errorf("the sweep closed %d grants; the grant is %s", rec.Closed, w.grant(id).Status())
	}
	if again := w.sweep(); again.Changed != 0 || again.Closed != 0 {
		t.Errorf("a second sweep changed %d targets and closed %d grants", again.Changed, again.Closed)
	}
}

func TestSweepRepairs(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	good := w.cloud.Standing(nsgID("web-nsg"))
	orphan := jit.Rule{Name: plan.Prefix + "allow-00000000000070008000000000000000-00000000", Priority: 110, Access: jit.Allow, Protocol: jit.TCP,
		Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}}
	for _, tc := range []struct {
		name string
		edit func([]jit.Rule) []jit.Rule
	}{
		{"our rules deleted", func(rules []jit.Rule) []jit.Rule {
			return slices.DeleteFunc(rules, func(r jit.Rule) bool { return plan.Owned(r.Name) })
		}},
		{"our allow widened", func(rules []jit.Rule) []jit.Rule {
			for i := range rules {
				if plan.Owned(rules[i].Name) && rules[i].Access == jit.Allow {
					rules[i].Source = jit.AnyPeer()
				}
			}
			return rules
		}},
		{"our deny turned into an allow", func(rules []jit.Rule) []jit.Rule {
			for i := range rules {
				rules[i].Access = jit.Allow
			}
			return rules
		}},
		{"a rule of our name that no grant has", func(rules []jit.Rule) []jit.Rule { return append(rules, orphan) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.cloud.SetRules(nsgID("web-nsg"), tc.edit(w.cloud.Standing(nsgID("web-nsg")))...)
			rec := w.sweep()
			if diff := cmp.Diff(sorted(good), sorted(w.cloud.Standing(nsgID("web-nsg"))), cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
				t.Errorf("after the sweep (-want +got):\n%s", diff)
			}
			if !slices.ContainsFunc(rec.Findings, func(f access.Finding) bool { return f.Kind == access.FindingRepaired }) {
				t.Errorf("no finding tells of the repair: %+v", rec.Findings)
			}
		})
	}
}

func sorted(rules []jit.Rule) []jit.Rule {
	var out []jit.Rule
	for _, r := range rules {
		out = append(out, r.Canonical())
	}
	slices.SortFunc(out, func(a, b jit.Rule) int { return a.Priority - b.Priority })
	return out
}

func TestSweepFollowsMachines(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.place("app1", "apps-nsg", "10.0.1.9") // app1 has moved, and
	w.place("app2", "apps-nsg", "10.0.1.4") // its old address is app2's now
	w.sweep()
	w.stands("apps-nsg", "0100 allow ours 203.0.113.7 -> 10.0.1.9 :22", "4096 deny ours * -> 10.0.1.4,10.0.1.9 :22,3389")

	w.cloud.SetRules(nsgID("other-nsg"))
	w.place("app1", "other-nsg", "10.0.2.4")
	w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22,3389")
	w.stands("other-nsg", "0100 allow ours 203.0.113.7 -> 10.0.2.4 :22", "4096 deny ours * -> 10.0.2.4 :22,3389")
}

// TestSweepFollowsWhatIsExtended: an extension between the sweep's look at a grant and its move does not keep the
// grant where it was.
func TestSweepFollowsWhatIsExtended(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.place("app1", "apps-nsg", "10.0.1.9")
	w.place("app2", "apps-nsg", "10.0.1.4")
	extended := false
	w.store.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "EachPolicy" && !s.After && !extended {
			extended = true
			_, err := w.Extend(ctx, who("alice"), id, 2*time.Hour, time.Time{})
			return err
		}
		return nil
	}
	w.sweep()
	if !extended || w.grant(id).End() != noon.Add(2*time.Hour) {
		t.Fatal("nobody came in between")
	}
	w.stands("apps-nsg", "0100 allow ours 203.0.113.7 -> 10.0.1.9 :22", "4096 deny ours * -> 10.0.1.4,10.0.1.9 :22,3389")
}

// TestMachineDeleted: a window does not outlive its machine, whose address or
// name may become another's (azure-docs issue 11987).
func TestMachineDeleted(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.cloud.RemoveMachine(vmID("app1"))
	rec := w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.5 :22,3389")
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.MachineGone {
		t.Errorf("the grant is %s %s", g.Status(), g.Reason())
	}
	if !slices.ContainsFunc(rec.Findings, func(f access.Finding) bool { return f.Kind == access.FindingVMGone }) {
		t.Errorf("no finding tells that the machine is gone: %+v", rec.Findings)
	}
	if err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
		t.Errorf("disable a machine that is gone: %v", err)
	}
}

// TestTableLost: from the rules alone the sweep closes what is past its end, and
// keeps what is closed closed.
func TestTableLost(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.mem = accesstest.NewMemory()
	w.store = &accesstest.Faulty{Store: w.mem}
	w.start()
	w.leap(59 * time.Minute)
	rec := w.sweep()
	if w.allows("web-nsg") != 1 {
		t.Error("a live window was closed with the table lost")
	}
	if !slices.ContainsFunc(rec.Findings, func(f access.Finding) bool { return f.Kind == access.FindingLost }) {
		t.Errorf("no finding tells that the state is lost: %+v", rec.Findings)
	}
	w.leap(time.Minute)
	w.sweep()
	w.stands("web-nsg", closedWeb...)
}

func TestOneBrokenTargetDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	other := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.leap(2 * time.Hour)
	w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && s.Of == nsgID("web-nsg").Key() {
			return access.ErrLocked
		}
		return nil
	}
	rec, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil {
		t.Error("the sweep does not say that something failed")
	}
	if w.allows("apps-nsg") != 0 || !w.grant(other).Closed() {
		t.Error("a broken target kept another one open")
	}
	kinds := map[access.FindingKind]int{}
	for _, f := range rec.Findings {
		kinds[f.Kind]++
	}
	if kinds[access.FindingBroken] != 1 || kinds[access.FindingOverdue] != 1 {
		t.Errorf("findings %v, want one Broken and one Overdue", kinds)
	}
	w.cloud.Fault = nil
	w.sweep()
	w.stands("web-nsg", closedWeb...)
}

// TestUnconfirmedOpening: what nobody confirmed is undone, whatever its end.
func TestUnconfirmedOpening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	rec, _, err := w.Request(t.Context(), who("alice"), r, "")
	if err != nil {
		t.Fatal(err)
	}
	w.leap(jit.OpeningTimeout - time.Millisecond)
	w.sweep() // within the time the sweep finishes what the process began
	if w.allows("web-nsg") != 1 {
		t.Error("within its time the opening was not finished by the sweep")
	}
	w.leap(time.Millisecond)
	w.sweep()
	w.stands("web-nsg", closedWeb...)
	if g := w.grant(rec.Grant.ID); !g.Closed() || g.Reason() != jit.OpeningFailed {
		t.Errorf("the grant is %s %s, want Revoked OpeningFailed", g.Status(), g.Reason())
	}
}

func TestRevokedWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	revoked := false
	w.cloud.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && s.After && !revoked {
			revoked = true
			g, err := w.mem.Grant(ctx, rec.Grant.ID)
			if err != nil {
				return err
			}
			g.Grant = g.Grant.Revoke(w.now(), jit.UserRequested) // as another instance does
			_, err = w.mem.UpdateGrants(ctx, g)
			return err
		}
		return nil
	}
	got, err := w.Open(t.Context(), who("alice"), rec)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Grant.Closed() {
		t.Errorf("the grant reads %s", got.Grant.Status())
	}
	w.stands("web-nsg", closedWeb...)
}

// TestRevokeThatFindsNothingToWrite: another instance revokes the grant, and
// finds no rule to remove, right before the write that opens it.
func TestRevokeThatFindsNothingToWrite(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, once := w.instance(), true
	w.cloud.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && !s.After && once {
			once = false
			got, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			if err == nil && !got.Grant.Closed() {
				t.Errorf("the revoke reads %s", got.Grant.Status())
			}
			return err
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err != nil || !got.Grant.Closed() {
		t.Errorf("the opening ends as %s, %v", got.Grant.Status(), err)
	}
	w.stands("web-nsg", closedWeb...)
}

// TestRevokedWhileOpeningFails: another instance closes the grant right before the write that opens it, and nothing more
// can be read after that write: what it opened goes at once all the same.
func TestRevokedWhileOpeningFails(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, wrote, failed := w.instance(), false, false
	w.cloud.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && !s.After && !wrote {
			wrote = true
			_, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			return err
		}
		return nil
	}
	w.store.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.Op == "State" && wrote && !failed && w.allows("web-nsg") == 1 {
			failed = true
			return errFault
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err == nil || !failed {
		t.Errorf("the opening ends as %s, %v", got.Grant.Status(), err)
	}
	w.stands("web-nsg", closedWeb...)
}

// TestRevokedByTwo: who finds on storing it that somebody else has closed the grant is told that it is closed.
func TestRevokedByTwo(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	first := true
	w.store.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "UpdateGrants" && first {
			first = false
			_, err := w.Revoke(ctx, who("bob"), id)
			return err
		}
		return nil
	}
	rec, err := w.Revoke(t.Context(), who("alice"), id)
	if err != nil || !rec.Grant.Closed() {
		t.Errorf("%s, %v", rec.Grant.Status(), err)
	}
	if n := strings.Count(strings.Join(w.log(), "\n"), "Revoke Succeeded"); n != 1 {
		t.Errorf("the log tells of %d revokes: %q", n, w.log())
	}
}

// TestRepairByAVerb: a round that a request asked for puts right what others
// changed, and the log says so.
func TestRepairByAVerb(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	rules := w.cloud.Standing(nsgID("web-nsg"))
	for i := range rules {
		if plan.Owned(rules[i].Name) && rules[i].Access == jit.Allow {
			rules[i].Source = jit.AnyPeer() // widened by hand
		}
	}
	w.cloud.SetRules(nsgID("web-nsg"), rules...)
	w.leap(time.Minute)
	w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "web"))
	if got := w.log(); !slices.Contains(got, "Repair Succeeded") {
		t.Errorf("the log does not tell of the repair: %q", got)
	}
	if w.allows("web-nsg") != 2 {
		t.Errorf("%q", w.lines("web-nsg"))
	}
}

func TestFailedOpeningIsUndone(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	w.leap(time.Minute)
	for _, tc := range []struct{ op string }{{"Apply"}, {"Append"}, {"UpdateGrants"}} {
		t.Run(tc.op, func(t *testing.T) {
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), tc.op)
			if err != nil {
				t.Fatal(err)
			}
			once := true
			fault := func(_ context.Context, s accesstest.Step) error {
				if s.Op == tc.op && !s.After && once {
					once = false
					return &access.Unavailable{Dependency: "something", Err: errFault}
				}
				return nil
			}
			w.cloud.Fault, w.store.Fault = fault, fault
			if _, err := w.Open(t.Context(), who("alice"), rec); err == nil {
				t.Fatal("no error")
			}
			w.cloud.Fault, w.store.Fault = nil, nil
			if g := w.grant(rec.Grant.ID); !g.Closed() || g.Reason() != jit.OpeningFailed {
				t.Errorf("the new grant is %s %s", g.Status(), g.Reason())
			}
			if w.grant(old).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
				t.Errorf("the older grant, whose place it failed to take, is %s with %d allows", w.grant(old).Status(), w.allows("web-nsg"))
			}
		})
	}
}

// TestGroupCommit: callers that come while a write is under way share the next one.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		var recs []access.GrantRecord
		for i := range 32 {
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, fmt.Sprintf("203.0.113.%d", i), "web"), "")
			if err != nil {
				t.Fatal(err)
			}
			recs = append(recs, rec)
		}
		w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
			if s.Op == "Apply" && !s.After {
				time.Sleep(5 * time.Second) // as long as ARM takes, in the bubble's time
			}
			return nil
		}
		writes, began := w.cloud.Writes(), time.Now()
		errs := make(chan error, len(recs))
		for _, rec := range recs {
			go func() {
				_, err := w.Open(t.Context(), who("alice"), rec)
				errs <- err
			}()
		}
		for range recs {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if n := w.cloud.Writes() - writes; n > 2 {
			t.Errorf("32 openings of one target took %d writes, want at most 2", n)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("32 openings of one target took %v, want at most two writes' time", took)
		}
		if w.allows("web-nsg") != 32 {
			t.Errorf("%d allows, want 32", w.allows("web-nsg"))
		}
	})
}

// TestCrashAnywhere crashes every verb at every step, starts anew, lets every
// window end and sweeps once: then nothing is open, nothing foreign has changed and
// every grant is closed.
func TestCrashAnywhere(t *testing.T) {
	verbs := []struct {
		name string
		do   func(*world, string) error
	}{
		{"enable", func(w *world, _ string) error {
			_, _, err := w.Enable(w.t.Context(), who("admin"), []jit.Policy{policyOf("web", 22), policyOf("app1", 22)}, false)
			return err
		}},
		{"request", func(w *world, _ string) error {
			_, err := w.ask(want("bob", 22, time.Hour, "203.0.113.9", "web", "app1"))
			return err
		}},
		{"request behind a firewall", func(w *world, _ string) error {
			_, err := w.ask(want("bob", 22, time.Hour, "203.0.113.9", "web", "behind"))
			return err
		}},
		{"revoke behind a firewall", func(w *world, id string) error {
			_, err := w.Revoke(w.t.Context(), who("alice"), w.other)
			return err
		}},
		{"supersede", func(w *world, _ string) error {
			_, err := w.ask(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"))
			return err
		}},
		{"extend", func(w *world, id string) error {
			_, err := w.Extend(w.t.Context(), who("alice"), id, 2*time.Hour, time.Time{})
			return err
		}},
		{"revoke", func(w *world, id string) error { _, err := w.Revoke(w.t.Context(), who("alice"), id); return err }},
		{"wake", func(w *world, id string) error { w.leap(time.Hour); return w.Wake(w.t.Context(), id, 1) }},
		{"sweep", func(w *world, _ string) error {
			w.leap(time.Hour)
			_, err := w.Sweep(w.t.Context(), who("portcullis"))
			return err
		}},
		{"disable", func(w *world, _ string) error {
			return w.Disable(w.t.Context(), who("admin"), []jit.ID{vmID("web")})
		}},
	}
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			steps := 0
			for n := 1; ; n++ {
				w := newFirewalled(t)
				w.enable("web", "app1", "behind")
				id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
				w.other = w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
				w.leap(time.Minute)
				seen := w.crashAt(n)
				err := verb.do(w, id)
				reached := *seen >= n
				if !reached && err != nil {
					t.Fatalf("without a crash: %v", err)
				}
				w.restart()
				w.leap(4 * time.Hour)
				w.sweep()
				settled(t, w, fmt.Sprintf("%s crashed at step %d", verb.name, n))
				if !reached {
					break
				}
				steps++
			}
			if steps < 4 {
				t.Errorf("only %d steps were tried", steps)
			}
			t.Logf("crashed at each of %d steps", steps)
		})
	}
}

// settled checks what holds when every window has ended and a sweep has run.
func settled(t *testing.T, w *world, when string) {
	t.Helper()
	if w.other != "" {
		if got, want := w.cloud.Standing(fwID("hub-fw")), []jit.Rule{dnat("web", 443, "10.0.2.9:443")}; !slices.EqualFunc(got, want, jit.Rule.Equal) || w.allows("behind-nsg") != 0 {
			t.Errorf("%s: the firewall holds %v, the group %d allows", when, got, w.allows("behind-nsg"))
		}
	}
	for _, nsg := range []string{"web-nsg", "apps-nsg"} {
		if n := w.allows(nsg); n != 0 {
			t.Errorf("%s: %d rules of ours still open something on %s: %q", when, n, nsg, w.lines(nsg))
		}
		var foreign []jit.Rule
		for _, r := range w.cloud.Standing(nsgID(nsg)) {
			if !plan.Owned(r.Name) {
				foreign = append(foreign, r)
			}
		}
		want := foreignRules()
		if nsg != "web-nsg" {
			want = nil
		}
		if diff := cmp.Diff(want, foreign, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
			t.Errorf("%s: foreign rules of %s changed:\n%s", when, nsg, diff)
		}
	}
	open, err := w.mem.OpenGrants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range open {
		t.Errorf("%s: grant of %s is left %s", when, g.Grant.Requestor, g.Grant.Status())
	}
	policies, _ := access.AllPolicies(t.Context(), w.mem)
	for _, p := range policies {
		nsg := p.Placements[len(p.Placements)-1].Target.Name
		if !slices.ContainsFunc(w.cloud.Standing(nsgID(nsg)), func(r jit.Rule) bool { return plan.Owned(r.Name) && r.Access == jit.Deny }) {
			t.Errorf("%s: %s has a policy and no deny", when, p.Policy.VM.Name)
		}
	}
}

// TestReadAgainFails: a write that lost a race, followed by a read that fails, is
// no success (found by the simulation: an error was shadowed).
func TestReadAgainFails(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	conflict := false
	w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
		switch {
		case s.Op == "Apply" && !s.After:
			conflict = true
			return access.ErrConflict
		case s.Op == "Rules" && conflict:
			return &access.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
		}
		return nil
	}
	if rec, err := w.Revoke(t.Context(), who("alice"), id); err == nil || rec.Grant.Closed() || w.grant(id).Closed() {
		t.Errorf("the revoke reads %s, stored %s, error %v, with %d rules standing", rec.Grant.Status(), w.grant(id).Status(), err, w.allows("web-nsg"))
	}
}

// TestClocksDiffer: an instance whose clock is behind does not put back what one
// whose clock is ahead has closed (found by the simulation).
func TestClocksDiffer(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	behind := w.instance()
	behind.Now = func() time.Time { return w.now().Add(-time.Minute) }
	w.leap(time.Hour)
	once := true
	w.store.Fault = func(ctx context.Context, s accesstest.Step) error {
		// Right before the closing is stored, the other instance does something on the same target.
		if s.Op == "Append" && !s.After && once && w.allows("web-nsg") == 0 {
			once = false
			_, _, err := behind.Enable(ctx, who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, false)
			return err
		}
		return nil
	}
	if err := w.Wake(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	if once {
		t.Fatal("the other instance did nothing")
	}
	if !w.grant(id).Closed() {
		t.Errorf("the grant is %s", w.grant(id).Status())
	}
	w.stands("web-nsg", closedWeb...)
}

// TestClosingsNeverGiveUp: a closing that fails is tried again by whoever delivers
// the wake-up, then by wake-ups of its own, further and further apart, and the
// grant remembers how often and why.
func TestClosingsNeverGiveUp(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	cause := error(access.ErrLocked)
	w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.Op == "Apply" {
			return cause
		}
		return nil
	}
	w.leap(time.Hour)
	w.bell.Due(w.now())
	for try := 1; try < 3; try++ {
		if err := w.Wake(t.Context(), id, 1); err == nil || len(w.bell.Set()) != 0 {
			t.Fatalf("try %d: error %v with %d wake-ups of its own, want an error and none", try, err, len(w.bell.Set()))
		}
	}
	var waits []time.Duration
	for range 8 {
		if err := w.Wake(t.Context(), id, 1); err != nil {
			t.Fatalf("the try is not handed on: %v", err)
		}
		set := w.bell.Set()
		if len(set) != 1 {
			t.Fatalf("%d wake-ups, want 1", len(set))
		}
		wait := set[0].At.Sub(w.now())
		waits = append(waits, wait)
		w.leap(wait)
		w.bell.Due(w.now())
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	rec, _ := w.mem.Grant(t.Context(), id)
	if rec.Attempts != 10 || rec.LastError != "a management lock forbids the write" {
		t.Errorf("attempts %d, last error %q", rec.Attempts, rec.LastError)
	}
	cause = &access.Unavailable{Dependency: "Azure Resource Manager", RetryAfter: 17 * time.Minute, Err: errFault}
	if err := w.Wake(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	if set := w.bell.Set(); len(set) != 1 || set[0].At.Sub(w.now()) != 17*time.Minute {
		t.Errorf("wake-ups %+v, want one when Azure asked for it", set)
	}
	w.cloud.Fault = nil
	w.pass(17 * time.Minute)
	w.stands("web-nsg", closedWeb...)
	if !w.grant(id).Closed() || !slices.Contains(w.log(), "Close Failed web") {
		t.Errorf("the grant is %s; log %q", w.grant(id).Status(), w.log())
	}
}

// TestSweepGoesOn: a sweep that is cut off is taken up where it was.
func TestSweepGoesOn(t *testing.T) {
	w := newWorld(t)
	const n = 450
	for i := range n {
		vm, nsg := fmt.Sprintf("vm%04d", i), fmt.Sprintf("nsg%04d", i)
		w.cloud.SetRules(nsgID(nsg))
		w.place(vm, nsg, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
		w.enable(vm)
	}
	for i := range n {
		w.cloud.SetRules(nsgID(fmt.Sprintf("nsg%04d", i))) // somebody removes every rule of ours
	}
	w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && s.Of == nsgID("nsg0150").Key() && !s.After {
			w.leap(5 * time.Minute) // ARM is slow: the time runs out in the first stretch
		}
		return nil
	}
	first, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil || first.Next == "" || !first.Completed.IsZero() || first.Changed != 200 {
		t.Fatalf("the sweep says next %q, completed %v, changed %d, error %v; want it cut off after 200", first.Next, first.Completed, first.Changed, err)
	}
	w.cloud.Fault = nil
	second := w.sweep()
	if second.Next != "" || second.Changed != n-200 || second.Completed.IsZero() {
		t.Errorf("the next sweep changed %d and leaves %q", second.Changed, second.Next)
	}
	// And one that is killed has noted how far it came.
	w.cloud.Fault = func(_ context.Context, s accesstest.Step) error { return nil }
	puts := 0
	w.store.Fault = func(_ context.Context, s accesstest.Step) error {
		if s.Op == "PutSweep" && s.After {
			puts++
		}
		if puts >= 2 { // killed in the second stretch
			return errFault
		}
		return nil
	}
	if _, err := w.Sweep(t.Context(), who("portcullis")); err == nil {
		t.Fatal("the killed sweep reports no error")
	}
	w.restart()
	if last, err := w.mem.LastSweep(t.Context()); err != nil || last.Next != nsgID("nsg0200").Key() || !last.Completed.Equal(second.Completed) {
		t.Errorf("the record of the killed sweep goes on from %q, completed %v, error %v", last.Next, last.Completed, err)
	}
}

func TestSweepFindsWhatCanBeReached(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "*", "web")) // a window is no finding
	rules := append(w.cloud.Standing(nsgID("web-nsg")),
		jit.Rule{Name: "AllowVnc", Priority: 310, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Tags: []string{"Internet"}}, Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{{First: 5000, Last: 6000}}},
		jit.Rule{Name: "IncidentDeny", Priority: 99 + 1000, Access: jit.Deny, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}})
	w.cloud.SetRules(nsgID("web-nsg"), rules...)
	var got []string
	for _, f := range w.sweep().Findings {
		got = append(got, fmt.Sprint(f.Kind, " ", f.Rule, " ", f.VM.Name, ": ", f.Message))
	}
	want := []string{}
	for _, port := range []int{5900, 5985, 5986} {
		want = append(want, fmt.Sprintf("Reachable AllowVnc web: port %d of web (10.0.0.4), which its policy does not name, can be reached from the Internet through the rule AllowVnc", port))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestAnotherMachineUnderTheName: a machine that is deleted and made anew between
// two sweeps is not the one that the window was granted for.
func TestAnotherMachineUnderTheName(t *testing.T) {
	w := newWorld(t)
	set := func(nics ...string) {
		addrs := []netip.Addr{netip.MustParseAddr("10.0.1.4")}
		w.cloud.Place(access.Machine{VM: vmID("app1"), Interfaces: nics, Private: addrs, Placements: []access.Placement{{Target: nsgID("apps-nsg"), Addresses: addrs}}})
	}
	set("nic-a", "nic-b")
	w.enable("app1")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	set("nic-b", "nic-c") // one interface changed: the same machine
	w.sweep()
	if w.grant(id).Status() != jit.Initiated {
		t.Fatalf("after a change of one interface the grant is %s", w.grant(id).Status())
	}
	set("nic-d")
	w.sweep()
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.MachineGone {
		t.Errorf("the grant is %s %s", g.Status(), g.Reason())
	}
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22,3389")
}

// TestUnconfirmedTarget: what a target shows after a write that failed is written
// again before anybody is told that it holds.
func TestUnconfirmedTarget(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	doubt := doubtful{w.cloud, new(bool)}
	w.Kinds = access.KindsOf(access.SecurityGroups(doubt))
	writes := w.cloud.Writes()
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if n := w.cloud.Writes() - writes; n != 1 || w.grant(id).Status() != jit.Initiated {
		t.Errorf("%d writes, status %s", n, w.grant(id).Status())
	}
	*doubt.on = true
	writes = w.cloud.Writes()
	w.sweep()
	if n := w.cloud.Writes() - writes; n != 1 {
		t.Errorf("the sweep wrote a target in doubt %d times, want once", n)
	}
}

// doubtful is a cloud whose targets read unconfirmed until they are written.
type doubtful struct {
	*accesstest.Cloud
	on *bool
}

func (d doubtful) Rules(ctx context.Context, target jit.ID) (access.Snapshot, error) {
	s, err := d.Cloud.Rules(ctx, target)
	s.Unconfirmed = *d.on
	return s, err
}

func (d doubtful) All(ctx context.Context, sub string) ([]access.Snapshot, error) {
	all, err := d.Cloud.All(ctx, sub)
	for i := range all {
		all[i].Unconfirmed = *d.on && all[i].Target.Name == "web-nsg"
	}
	return all, err
}

func (d doubtful) Apply(ctx context.Context, s access.Snapshot, c plan.Changes) (access.Snapshot, error) {
	*d.on = false
	return d.Cloud.Apply(ctx, s, c)
}

// TestOpenedAfterItsSuccessor: a request that is opened only after a newer one has
// taken its place is not reported open (found by the simulation).
func TestOpenedAfterItsSuccessor(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	older, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, 2*time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.leap(time.Second)
	newer := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Second)
	got, err := w.Open(t.Context(), who("alice"), older)
	if err != nil || !got.Grant.Closed() || got.Grant.Reason() != jit.NewerRequestInitiated {
		t.Errorf("the older grant is %s %s, %v", got.Grant.Status(), got.Grant.Reason(), err)
	}
	if w.grant(newer).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("the newer grant is %s with %d allows", w.grant(newer).Status(), w.allows("web-nsg"))
	}
	w.pass(time.Hour)
	w.stands("web-nsg", closedWeb...)
}

// TestTwoDisablesAtOnce: of two disables that share a target, the one that is done
// first does not forget it while the other's deny stands (found by the simulation).
func TestTwoDisablesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.enable("app1")
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app2", 22)}, false); err != nil {
		t.Fatal(err)
	}
	once := true
	// The other's policy goes in the middle of the first one's round.
	w.cloud.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "Apply" && s.After && once {
			once = false
			rec, err := w.mem.Policy(ctx, vmID("app2"))
			if err != nil {
				return err
			}
			return w.mem.DeletePolicy(ctx, rec)
		}
		return nil
	}
	if err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
		t.Fatal(err)
	}
	if once {
		t.Fatal("the other disable did nothing")
	}
	w.cloud.Fault = nil
	w.sweep()
	w.stands("apps-nsg")
	if known, _ := w.mem.Known(t.Context()); len(known) != 0 {
		t.Errorf("known targets %v", known)
	}
}

// TestLogOfASupersededGrant: the log tells of a closing once, and only when it
// came about (found by the simulation).
func TestLogOfASupersededGrant(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Minute)
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, 30*time.Minute, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, once := w.instance(), true
	w.store.Fault = func(ctx context.Context, s accesstest.Step) error {
		if s.Op == "UpdateGrants" && !s.After && once {
			once = false // the newer grant is revoked right before it is stored as open
			_, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			return err
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err != nil || !got.Grant.Closed() {
		t.Fatalf("the newer grant is %s, %v", got.Grant.Status(), err)
	}
	if w.grant(old).Status() != jit.Initiated {
		t.Errorf("the older grant is %s", w.grant(old).Status())
	}
	closed := func() (n int) {
		entries, _, _ := w.mem.Entries(t.Context(), access.EntryFilter{Operation: access.OpClose}, "", 100)
		for _, e := range entries {
			if e.Grant == old {
				n++
			}
		}
		return n
	}
	if closed() != 0 {
		t.Errorf("the log says that the older grant is closed: %q", w.log())
	}
	w.pass(time.Hour)
	if closed() != 1 {
		t.Errorf("the log tells %d times of the older grant's closing: %q", closed(), w.log())
	}
}

// TestLockedTargetRefusesAnOpening: what would forbid the closing forbids the
// opening first, since both are the same write; nothing is left of it.
func TestLockedTargetRefusesAnOpening(t *testing.T) {
	for _, forbidden := range []error{access.ErrLocked, access.ErrForbidden} {
		t.Run(forbidden.Error(), func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
				if s.Op == "Apply" {
					return forbidden
				}
				return nil
			}
			if _, err := w.ask(want("alice", 22, time.Hour, "203.0.113.7", "web")); !errors.Is(err, forbidden) {
				t.Errorf("error %v, want %v", err, forbidden)
			}
			w.stands("web-nsg", closedWeb...)
			open, _ := w.mem.OpenGrants(t.Context())
			for _, g := range open {
				t.Errorf("a grant is left %s", g.Grant.Status())
			}
		})
	}
}

// TestSubscriptionThatCannotBeListed: what cannot be looked at is not taken for
// gone (a subscription that moved, a permission that was taken away).
func TestSubscriptionThatCannotBeListed(t *testing.T) {
	for _, op := range []string{"Machines", "All"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
			before := w.lines("web-nsg")
			w.cloud.Fault = func(_ context.Context, s accesstest.Step) error {
				if s.Op == op {
					return access.ErrForbidden
				}
				return nil
			}
			rec, err := w.Sweep(t.Context(), who("portcullis"))
			if !errors.Is(err, access.ErrForbidden) || rec.Error == "" {
				t.Errorf("the sweep says %q, %v", rec.Error, err)
			}
			w.stands("web-nsg", before...)
			if w.grant(id).Status() != jit.Initiated {
				t.Errorf("the grant is %s", w.grant(id).Status())
			}
			w.leap(time.Hour) // and what ends still closes
			if _, err := w.Sweep(t.Context(), who("portcullis")); !errors.Is(err, access.ErrForbidden) {
				t.Errorf("error %v", err)
			}
			w.stands("web-nsg", closedWeb...)
		})
	}
}
