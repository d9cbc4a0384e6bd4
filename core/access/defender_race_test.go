package access_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// meanwhile runs f once, at the first moment before a step of this kind takes effect.
func (w *world) meanwhile(op string, f func()) {
	done := false
	fault := func(_ context.Context, s coretest.Step) error {
		if s.Op == op && !s.After && !done {
			done = true
			f()
		}
		return nil
	}
	w.store.Fault, w.cloud.Fault = fault, fault
}

// TestSecondEditorIsRefused: of two who have read the same policy, the one who is
// overtaken between his read and his first write writes nothing.
func TestSecondEditorIsRefused(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	elsewhere := w.instanceWith(func(p *core.Ports) { p.Authority = w.ports.Authority }).doors
	first, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{})
	if err != nil {
		t.Fatal(err)
	}
	unchanged := defender.Precondition{Match: []string{first.ETag}}
	w.meanwhile("PutNamed", func() {
		if _, err := elsewhere.ReplacePolicy(t.Context(), person("writer"), defaultPolicy, policies("web", "app1"), defender.Written{}, unchanged); err != nil {
			t.Errorf("the first editor: %v", err)
		}
	})
	_, err = g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app2"), defender.Written{}, unchanged)
	if code(err) != defender.CodePrecondition {
		t.Errorf("the second editor: %v", err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "web app1" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestSecondEditorWithoutPrecondition: without one the last editor wins, over what is there by then.
func TestSecondEditorWithoutPrecondition(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	elsewhere := w.instanceWith(func(p *core.Ports) { p.Authority = w.ports.Authority }).doors
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	w.meanwhile("PutNamed", func() {
		if _, err := elsewhere.ReplacePolicy(t.Context(), person("writer"), defaultPolicy, policies("web", "app1"), defender.Written{}, defender.Precondition{}); err != nil {
			t.Errorf("the first editor: %v", err)
		}
	})
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app2"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "web app2" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestTakenMeanwhile: a machine that another policy takes between the check and
// the write stays there.
func TestTakenMeanwhile(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	other := defaultPolicy
	other.Name = "other"
	w.meanwhile("PutListed", func() {
		if _, err := g.ReplacePolicy(t.Context(), person("writer"), other, policies("web"), defender.Written{}, defender.Precondition{}); err != nil {
			t.Errorf("the other policy: %v", err)
		}
	})
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{}); code(err) != defender.CodeOtherPolicy {
		t.Errorf("got %v", err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), other); err != nil || machines(p) != "web" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestDroppedMeanwhile: a machine that somebody else disables while a replacement
// drops it and others does not keep the others in.
func TestDroppedMeanwhile(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1", "app2", "web"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	w.meanwhile("PutListed", func() {
		if _, err := g.Disable(t.Context(), person("admin"), []jit.ID{vmID("app2")}); err != nil {
			t.Errorf("disable: %v", err)
		}
	})
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "app1" {
		t.Errorf("%s, %v", machines(p), err)
	}
	w.stands("web-nsg", "0200 allow AllowWeb * -> * :443", "0300 allow AllowSshAny * -> * :22")
}

// TestEnableKeepsTheName: a machine that a named policy takes while the plain face
// enables it stays in that policy.
func TestEnableKeepsTheName(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	other := defaultPolicy
	other.Name = "other"
	w.meanwhile("Rules", func() {
		if _, err := g.ReplacePolicy(t.Context(), person("writer"), other, policies("web"), defender.Written{}, defender.Precondition{}); err != nil {
			t.Errorf("the other policy: %v", err)
		}
	})
	w.enable("web")
	if p, err := g.NamedPolicy(t.Context(), person("admin"), other); err != nil || machines(p) != "web" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestReplaceWithoutRoom: a policy whose deny cannot stand at all is refused before
// anything is stored, for every machine that it names.
func TestReplaceWithoutRoom(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	full := make([]jit.Rule, plan.MaxRules)
	for i := range full {
		full[i] = theirs(fmt.Sprint("rule", i), jit.Allow, 100+i, 443)
	}
	w.cloud.SetRules(nsgID("web-nsg"), full...)
	_, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app2", "web"), defender.Written{}, defender.Precondition{})
	if code(err) != plan.CodeTooManyRules {
		t.Fatalf("got %v", err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "app1" {
		t.Errorf("a refused replacement left %s, %v", machines(p), err)
	}
}

// TestImportAtOnce: a list is imported with one look at the policy of each machine and one at
// the network, and a machine whose deny has no place keeps nobody out.
func TestImportAtOnce(t *testing.T) {
	w := newWorld(t)
	full := foreignRules()
	full[1].Priority = 100 // no deny can stand above it
	w.cloud.SetRules(nsgID("web-nsg"), full...)
	var mu sync.Mutex
	calls := map[string]int{}
	count := func(_ context.Context, s coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		if !s.After {
			calls[s.Op]++
		}
		return nil
	}
	w.store.Fault, w.cloud.Fault = count, count
	list := append(policies("app1", "web", "app2", "gone"), valid(policyOf("app1", 3389))...)
	var got []string
	for _, m := range guarded(w).Import(t.Context(), person("admin"), []defender.ToImport{{Name: defaultPolicy, Policies: list}}, false)[0] {
		got = append(got, fmt.Sprint(m.VM.Name, " ", m.Enabled, " ", code(m.Err)))
	}
	want := []string{"app1 true ", "web false " + string(plan.CodeNoPriorityLeft), "app2 true ", "gone false " + string(network.CodeVMNotFound), "app1 false " + string(jit.CodeDuplicateVM)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if calls["Policy"] != 4 || calls["EachPolicy"]+calls["EachListed"] != 0 || calls["Locate"] != 1 || calls["Apply"] != 1 {
		t.Errorf("calls %v, want four of Policy, one each of Locate and Apply, and no walk through all", calls)
	}
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22")
}

// TestNamedPoliciesReadTheirOwn holds that nobody who names a policy looks through everybody's, a refusal included.
func TestNamedPoliciesReadTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	var mu sync.Mutex
	calls := map[string]int{}
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		calls[s.Op]++
		return nil
	}
	g := guarded(w)
	other := defaultPolicy
	other.Name = "other"
	initiate := func(name store.PolicyName) error {
		_, _, err := g.Initiate(t.Context(), person("requester"), name, want("", 22, time.Hour, "192.0.2.1", "web", "app1"))
		return err
	}
	for _, row := range []struct {
		name string
		call func() error
		code jit.Code
	}{
		{"initiate what another policy lists", func() error { return initiate(other) }, jit.CodePolicyNotFound},
		{"initiate", func() error { return initiate(defaultPolicy) }, ""},
		{"read", func() error { _, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); return err }, ""},
		{"read what is not there", func() error { _, err := g.NamedPolicy(t.Context(), person("admin"), other); return err }, jit.CodePolicyNotFound},
		{"list", func() error {
			_, _, err := g.NamedPolicies(t.Context(), person("admin"), store.PolicyFilter{Subscription: sub}, store.PolicyName{}, 10)
			return err
		}, ""},
		{"replace", func() error {
			_, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app2"), defender.Written{}, defender.Precondition{})
			return err
		}, ""},
		{"delete", func() error {
			_, _, err := g.DeletePolicy(t.Context(), person("admin"), defaultPolicy, defender.Precondition{})
			return err
		}, ""},
	} {
		clear(calls)
		if err := row.call(); code(err) != row.code || (err != nil) != (row.code != "") {
			t.Errorf("%s: %v, want the code %q", row.name, err, row.code)
		}
		if calls["EachPolicy"] != 0 || calls["EachListed"]+calls["Policy"] == 0 {
			t.Errorf("%s: calls %v, want no look through all policies", row.name, calls)
		}
	}
}
