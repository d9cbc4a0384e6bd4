package coretest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
)

// kinds reads one foreign rule of every kind.
func (f firewall) kinds(t *testing.T) {
	target := f.fix.Target(t, f.Others...)
	sameRules(t, "rules", f.read(t, target).Rules, f.Others)
}

func (f firewall) nothing(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	s := f.read(t, target)
	f.apply(t, s, plan.Changes{})
	if now := f.read(t, target); now.Version != s.Version {
		t.Errorf("the version went from %q to %q", s.Version, now.Version)
	}
}

func (f firewall) changes(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0), f.Theirs("ssh", 100))
	before := f.fix.Outside(t, target)
	a, b, c := f.Ours("a", 0), f.Ours("b", 1), f.Ours("c", 2)
	s := f.apply(t, f.read(t, target), create(a, b))
	wider := f.Changed(b)
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

// swap exchanges two rules' contents, which no sequence of single writes can do.
func (f firewall) swap(t *testing.T) {
	target := f.fix.Target(t)
	s := f.apply(t, f.read(t, target), create(f.Ours("a", 0), f.Ours("b", 1)))
	f.apply(t, s, plan.Changes{Update: []jit.Rule{f.Ours("a", 1), f.Ours("b", 0)}})
}

func (f firewall) chain(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	s := f.read(t, target)
	for i := range 4 {
		s = f.apply(t, s, create(f.Ours(fmt.Sprint("r", i), i)))
	}
	for _, r := range slices.Clone(s.Rules) {
		if label.Owned(r.Name) {
			s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{r}})
		}
	}
	sameRules(t, "rules", f.read(t, target).Rules, []jit.Rule{f.Theirs("web", 0)})
}

// neighbours alternates with another writer, each time from a fresh snapshot.
func (f firewall) neighbours(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0))
	want := []jit.Rule{f.Theirs("web", 0)}
	for i := range 4 {
		r := f.Theirs(fmt.Sprint("other", i), 100+i)
		f.fix.Write(t, target, r)
		before := f.fix.Outside(t, target)
		mine := f.Ours(fmt.Sprint("r", i), i)
		f.apply(t, f.read(t, target), create(mine))
		want = append(want, r, mine)
		if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
			t.Errorf("what is not ours changed (-before +after):\n%s", diff)
		}
	}
	sameRules(t, "rules", f.read(t, target).Rules, want)
}

func (f firewall) restores(t *testing.T) {
	target := f.fix.Target(t, f.Theirs("web", 0), f.Theirs("ssh", 100))
	before, rules := f.fix.Outside(t, target), f.read(t, target).Rules
	a, b := f.Ours("a", 0), f.Ours("b", 1)
	s := f.apply(t, f.read(t, target), create(a, b))
	s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{a}})
	s = f.apply(t, s, plan.Changes{Delete: []jit.Rule{b}})
	sameRules(t, "rules", s.Rules, rules)
	if diff := cmp.Diff(before, f.fix.Outside(t, target)); diff != "" {
		t.Errorf("what is not ours changed (-before +after):\n%s", diff)
	}
}

// all creates more targets than a page of the platform is likely to hold in a test.
func (f firewall) all(t *testing.T) {
	want := map[string][]jit.Rule{}
	for i := range 5 {
		rules := []jit.Rule{f.Theirs(fmt.Sprint("web", i), i)}
		want[f.fix.Target(t, rules...).Key()] = rules
	}
	list, err := f.All(t.Context(), network.Ordinary(), f.fix.Subscription())
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
	if len(list) > 0 { // a snapshot from All can be written from, like one from Rules
		f.apply(t, list[0], create(f.Ours("a", 0)))
	}
	if !slices.IsSortedFunc(list, func(a, b network.Snapshot) int { return cmpKeys(a.Target, b.Target) }) {
		t.Error("All is not sorted by target")
	}
}
