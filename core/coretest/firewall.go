package coretest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// Failure names a way in which a firewall's platform fails.
type Failure string

// The failures that [FirewallFixture] arranges.
const (
	Locked     Failure = "Locked"     // a management lock forbids writes
	Forbidden  Failure = "Forbidden"  // the identity may read but not write
	Throttled  Failure = "Throttled"  // every call is told to retry after some seconds
	Down       Failure = "Down"       // every call gets "service unavailable"
	ReplyLost  Failure = "ReplyLost"  // the next write takes effect, but its response is lost
	Superseded Failure = "Superseded" // the next write is accepted, then superseded by another writer's
	Broken     Failure = "Broken"     // the next write is accepted and then fails
)

// FirewallFixture controls the state and behaviour of a firewall's platform, through the platform's own
// interfaces.
type FirewallFixture interface {
	// Subscription is the subscription of the targets that Target creates.
	Subscription() string
	// Target creates a target with the rules, all foreign, and with properties unknown to the ports, such as tags.
	Target(t *testing.T, rules ...jit.Rule) jit.ID
	// Remove deletes a target.
	Remove(t *testing.T, target jit.ID)
	// Write writes a rule as another writer would: it replaces the one of the same name, or adds one.
	Write(t *testing.T, target jit.ID, r jit.Rule)
	// Outside returns everything foreign on the target, in any form that stays the same while nothing there changes.
	// It excludes what the platform writes by itself (versions, states).
	Outside(t *testing.T, target jit.ID) string
	// Fail makes the platform fail at a target from now on.
	Fail(t *testing.T, target jit.ID, how Failure)
}

// TestFirewall tests a firewall against the contract of [network.RuleStore], with rules of its dialect.
// newFirewall creates one and its fixture for each subtest.
func TestFirewall(t *testing.T, dialect Dialect, newFirewall func(t *testing.T) (network.RuleStore, FirewallFixture)) {
	for _, tc := range []struct {
		name string
		test func(firewall, *testing.T)
	}{
		{"refuses a target that does not exist", firewall.missing},
		{"refuses to touch a rule of others", firewall.foreignChange},
		{"refuses a stale snapshot", firewall.stale},
		{"refuses while locked", firewall.locked},
		{"refuses without permission", firewall.forbidden},
		{"says when to come back while throttled", firewall.throttled},
		{"says that the platform is down", firewall.down},
		{"tells the truth after a lost reply", firewall.replyLost},
		{"tells the truth after a superseded write", firewall.superseded},
		{"tells the truth after a write that broke", firewall.broken},
		{"says so until a broken write is settled", firewall.settles},
		{"lets one of several writers win", firewall.race},
		{"reads rules of every kind", firewall.kinds},
		{"writes nothing for no changes", firewall.nothing},
		{"creates, updates and deletes at once", firewall.changes},
		{"swaps what two rules do at once", firewall.swap},
		{"writes again from what a write gave", firewall.chain},
		{"leaves what is not ours between other writers", firewall.neighbours},
		{"leaves everything as it was in the end", firewall.restores},
		{"reads every target", firewall.all},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fw, fix := newFirewall(t)
			tc.test(firewall{fw, fix, dialect}, t)
		})
	}
}

type firewall struct {
	network.RuleStore
	fix FirewallFixture
	Dialect
}

// shown returns rules in a comparable form: canonical and sorted.
func shown(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules))
	for _, r := range rules {
		out = append(out, r.Canonical())
	}
	slices.SortFunc(out, func(a, b jit.Rule) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out
}

func sameRules(t *testing.T, what string, got, want []jit.Rule) {
	t.Helper()
	if diff := cmp.Diff(shown(want), shown(got), cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func (f firewall) read(t *testing.T, target jit.ID) network.Snapshot {
	t.Helper()
	s, err := f.Rules(t.Context(), network.Ordinary(), target)
	if err != nil {
		t.Fatalf("Rules: %v", err)
	}
	return s
}

func (f firewall) apply(t *testing.T, s network.Snapshot, c plan.Changes) network.Snapshot {
	t.Helper()
	done, err := f.Apply(t.Context(), network.Ordinary(), s, c)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	sameRules(t, "rules that Apply gave", done.Rules, c.Apply(s.Rules))
	return done
}

// refused checks that Apply fails with want and leaves the target unchanged.
func (f firewall) refused(t *testing.T, s network.Snapshot, c plan.Changes, want error) {
	t.Helper()
	before := f.fix.Outside(t, s.Target)
	if _, err := f.Apply(t.Context(), network.Ordinary(), s, c); !errors.Is(err, want) {
		t.Errorf("Apply: error %v, want %v", err, want)
	}
	if diff := cmp.Diff(before, f.fix.Outside(t, s.Target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
}

func create(rules ...jit.Rule) plan.Changes { return plan.Changes{Create: rules} }

func (f firewall) missing(t *testing.T) {
	target := f.fix.Target(t)
	s := f.read(t, target)
	f.fix.Remove(t, target)
	if _, err := f.Rules(t.Context(), network.Ordinary(), target); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Rules: error %v, want %v", err, store.ErrNotFound)
	}
	// A platform that checks the version first cannot distinguish gone from changed.
	_, err := f.Apply(t.Context(), network.Ordinary(), s, create(f.Ours("a", 0)))
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
		t.Errorf("Apply: error %v, want %v or %v", err, store.ErrNotFound, store.ErrConflict)
	}
	if _, err := f.Rules(t.Context(), network.Ordinary(), target); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Rules after Apply: error %v, want %v: Apply made the target again", err, store.ErrNotFound)
	}
}

func (f firewall) foreignChange(t *testing.T) {
	web := f.Theirs("web", 0)
	target := f.fix.Target(t, web)
	before := f.fix.Outside(t, target)
	moved := f.Theirs("web", 100)
	for _, tc := range []struct {
		name string
		c    plan.Changes
	}{
		{"create", create(f.Theirs("other", 50))},
		{"update", plan.Changes{Update: []jit.Rule{moved}}},
		{"delete", plan.Changes{Delete: []jit.Rule{web}}},
		{"delete among others", plan.Changes{Create: []jit.Rule{f.Ours("a", 0)}, Delete: []jit.Rule{web}}},
	} {
		if _, err := f.Apply(t.Context(), network.Ordinary(), f.read(t, target), tc.c); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
	if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
	sameRules(t, "rules", f.read(t, target).Rules, []jit.Rule{web})
}

func (f firewall) stale(t *testing.T) {
	web, ssh := f.Theirs("web", 0), f.Theirs("ssh", 10)
	target := f.fix.Target(t, web)
	s := f.read(t, target)
	f.fix.Write(t, target, ssh)
	f.refused(t, s, create(f.Ours("a", 0)), store.ErrConflict)
	fresh := f.read(t, target)
	sameRules(t, "rules", fresh.Rules, []jit.Rule{web, ssh})
	if fresh.Version == s.Version {
		t.Errorf("the version is still %q after a write", s.Version)
	}
}

func (f firewall) locked(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	f.fix.Fail(t, target, Locked)
	f.refused(t, f.read(t, target), create(f.Ours("a", 0)), store.ErrLocked)
	sameRules(t, "rules", f.read(t, target).Rules, []jit.Rule{f.Theirs("web", 0)})
}

func (f firewall) forbidden(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	f.fix.Fail(t, target, Forbidden)
	f.refused(t, f.read(t, target), create(f.Ours("a", 0)), store.ErrForbidden)
	sameRules(t, "rules", f.read(t, target).Rules, []jit.Rule{f.Theirs("web", 0)})
}

// unavailable returns the *store.Unavailable of every call.
func (f firewall) unavailable(t *testing.T, how Failure) map[string]*store.Unavailable {
	t.Helper()
	target := f.fix.Target(t, f.Theirs("web", 0))
	s := f.read(t, target)
	before := f.fix.Outside(t, target)
	f.fix.Fail(t, target, how)
	_, rules := f.Rules(t.Context(), network.Ordinary(), target)
	_, all := f.All(t.Context(), network.Ordinary(), f.fix.Subscription())
	_, apply := f.Apply(t.Context(), network.Ordinary(), s, create(f.Ours("a", 0)))
	out := map[string]*store.Unavailable{}
	for name, err := range map[string]error{"Rules": rules, "All": all, "Apply": apply} {
		var u *store.Unavailable
		if !errors.As(err, &u) {
			t.Fatalf("%s: error %v, want *store.Unavailable", name, err)
		}
		if u.Dependency == "" || u.Err == nil {
			t.Errorf("%s: %+v does not say what is unavailable and why", name, u)
		}
		out[name] = u
	}
	if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
	return out
}

func (f firewall) throttled(t *testing.T) {
	for name, u := range f.unavailable(t, Throttled) {
		if u.RetryAfter <= 0 {
			t.Errorf("%s: RetryAfter is %v, want what the platform asked for", name, u.RetryAfter)
		}
	}
}

func (f firewall) down(t *testing.T) { f.unavailable(t, Down) }

// truthful applies a rule while the platform fails: either the error makes the caller read again, or the rule is
// in effect.
func (f firewall) truthful(t *testing.T, how Failure) error {
	t.Helper()
	web, a := f.Theirs("web", 0), f.Ours("a", 0)
	target := f.fix.Target(t, web)
	s := f.read(t, target)
	f.fix.Fail(t, target, how)
	done, err := f.Apply(t.Context(), network.Ordinary(), s, create(a))
	stands := func(rules []jit.Rule, want jit.Rule) bool { return slices.ContainsFunc(rules, want.Equal) }
	switch now := f.read(t, target); {
	case err == nil && !(stands(done.Rules, a) && stands(now.Rules, a)):
		t.Errorf("Apply gave no error, and the rule does not stand")
	case err != nil && !errors.Is(err, store.ErrConflict):
		t.Errorf("Apply: error %v, want %v", err, store.ErrConflict)
	case !stands(now.Rules, web):
		t.Errorf("a rule of others is gone")
	}
	return err
}

func (f firewall) replyLost(t *testing.T) { f.truthful(t, ReplyLost) }

func (f firewall) superseded(t *testing.T) {
	if err := f.truthful(t, Superseded); err == nil {
		t.Error("Apply gave no error")
	}
}

// settles checks that a target whose last write failed is unconfirmed, and that writing the shown rules again
// makes them effective.
func (f firewall) settles(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	s := f.read(t, target)
	if s.Unconfirmed {
		t.Error("a target at rest is unconfirmed")
	}
	f.fix.Fail(t, target, Broken)
	if _, err := f.Apply(t.Context(), network.Ordinary(), s, create(f.Ours("a", 0))); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("Apply: error %v, want %v", err, store.ErrConflict)
	}
	s = f.read(t, target)
	if !s.Unconfirmed {
		t.Fatal("after a write that broke the target is not unconfirmed")
	}
	done, err := f.Apply(t.Context(), network.Ordinary(), s, plan.Changes{})
	if err != nil || done.Unconfirmed || f.read(t, target).Unconfirmed {
		t.Errorf("after writing what it shows again: unconfirmed %t, error %v", done.Unconfirmed, err)
	}
}

func (f firewall) broken(t *testing.T) {
	if err := f.truthful(t, Broken); err == nil {
		t.Error("Apply gave no error")
	}
}

// race starts several writers from one snapshot: one succeeds, the others must read again.
func (f firewall) race(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	s := f.read(t, target)
	names := []string{"a", "b", "c", "d"}
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { _, errs[i] = f.Apply(t.Context(), network.Ordinary(), s, create(f.Ours(name, i))) })
	}
	all.Wait()
	want := []jit.Rule{f.Theirs("web", 0)}
	for i, name := range names {
		if errs[i] == nil {
			want = append(want, f.Ours(name, i))
		} else if !errors.Is(errs[i], store.ErrConflict) {
			t.Errorf("writer %s: error %v, want %v", name, errs[i], store.ErrConflict)
		}
	}
	if len(want) != 2 {
		t.Errorf("%d writers succeeded from one snapshot, want 1", len(want)-1)
	}
	sameRules(t, "rules", f.read(t, target).Rules, want)
}
