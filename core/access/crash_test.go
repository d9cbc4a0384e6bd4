package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// TestRepairByAVerb: a round that a request asked for puts right what others
// changed, and the log says so.
func TestRepairByAVerb(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	rules := w.cloud.Standing(nsgID("web-nsg"))
	for i := range rules {
		if label.Owned(rules[i].Name) && rules[i].Access == jit.Allow {
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

// TestGroupCommit: callers that come while a write is under way share the next one.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		var recs []store.GrantRecord
		for i := range 32 {
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, fmt.Sprintf("203.0.113.%d", i), "web"), "")
			if err != nil {
				t.Fatal(err)
			}
			recs = append(recs, rec)
		}
		w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
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
			_, err := w.Disable(w.t.Context(), who("admin"), []jit.ID{vmID("web")})
			return err
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
			if !label.Owned(r.Name) {
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
	policies, _ := store.AllPolicies(t.Context(), w.mem)
	for _, p := range policies {
		nsg := p.Placements[len(p.Placements)-1].Target.Name
		if !slices.ContainsFunc(w.cloud.Standing(nsgID(nsg)), func(r jit.Rule) bool { return label.Owned(r.Name) && r.Access == jit.Deny }) {
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
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		switch {
		case s.Op == "Apply" && !s.After:
			conflict = true
			return store.ErrConflict
		case s.Op == "Rules" && conflict:
			return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
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
	behind := w.instanceWith(func(p *core.Ports) { p.Now = func() time.Time { return w.now().Add(-time.Minute) } })
	w.leap(time.Hour)
	once := true
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
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

// TestUnconfirmedTarget: what a target shows after a write that failed is written
// again before anybody is told that it holds.
func TestUnconfirmedTarget(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	doubt := doubtful{w.cloud, new(bool)}
	w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(doubt)) })
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
	*coretest.Cloud
	on *bool
}

func (d doubtful) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	s, err := d.Cloud.Rules(ctx, p, target)
	s.Unconfirmed = *d.on
	return s, err
}

func (d doubtful) All(ctx context.Context, p network.Priority, sub string) ([]network.Snapshot, error) {
	all, err := d.Cloud.All(ctx, p, sub)
	for i := range all {
		all[i].Unconfirmed = *d.on && all[i].Target.Name == "web-nsg"
	}
	return all, err
}

func (d doubtful) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	*d.on = false
	return d.Cloud.Apply(ctx, p, s, c)
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
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
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
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
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
