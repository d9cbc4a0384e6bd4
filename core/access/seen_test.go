package access_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/store"
)

// TestStaleEdit: an edit that builds on a policy that somebody has changed meanwhile is refused and changes nothing, also where that happens at the last
// moment; it says who, when, what it was and what it is, to those who may read it.
func TestStaleEdit(t *testing.T) {
	ctx := t.Context()
	tag := store.PolicyETag
	original, changed := policyOf("web", 22, 3389), policyOf("web", 22)
	key := vmID("web").Key()
	for _, tt := range []struct {
		name  string
		tags  []string
		fresh bool
	}{
		{"of before", []string{tag(original)}, false},
		{"none", []string{store.NoPolicy}, false},
		{"weak", []string{"W/" + tag(changed)}, false},
		{"no tag", []string{}, false},
		{"of now", []string{tag(changed)}, true},
		{"one of several", []string{tag(original), tag(changed)}, true},
		{"any", []string{"*"}, true},
	} {
		for _, dry := range []bool{true, false} {
			w := newWorld(t)
			w.enable("web")
			w.leap(time.Minute)
			if _, _, err := w.EnableIf(ctx, who("bob"), must(jit.ValidatePolicies([]jit.Policy{changed})), nil, false); err != nil {
				t.Fatal(err)
			}
			w.leap(time.Minute)
			_, _, err := w.EnableIf(ctx, who("ann"), must(jit.ValidatePolicies([]jit.Policy{policyOf("web", 22, 8022)})), protect.Seen{key: tt.tags}, dry)
			if tt.fresh != (err == nil) || !tt.fresh && code(err) != store.CodePrecondition {
				t.Errorf("%s, dry run %v: %v", tt.name, dry, err)
			}
			if err != nil {
				for _, want := range []string{"bob changed the policy of web at 2026-11-23T12:01:00Z", "before: 22 TCP from * for 3 h, 3389 TCP", "now: 22 TCP from * for 3 h ("} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: it does not say %q: %v", tt.name, want, err)
					}
				}
			}
			if got := tag(w.policy("web")); (got == tag(changed)) == (tt.fresh && !dry) {
				t.Errorf("%s, dry run %v: the policy is %v", tt.name, dry, w.policy("web"))
			}
		}
	}
	// Between the look and the write.
	w := newWorld(t)
	w.enable("web")
	done := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if done || s.Op != "PutPolicy" || s.After {
			return nil
		}
		done = true
		_, _, err := w.instance().EnableIf(ctx, who("bob"), must(jit.ValidatePolicies([]jit.Policy{changed})), nil, false)
		return err
	}
	if _, _, err := w.EnableIf(ctx, who("ann"), must(jit.ValidatePolicies([]jit.Policy{policyOf("web", 8022)})), protect.Seen{key: {tag(original)}}, false); code(err) != store.CodePrecondition {
		t.Errorf("at the last moment: %v", err)
	}
	if got := w.policy("web"); tag(got) != tag(changed) {
		t.Errorf("the policy is %v", got)
	}
	// Of what is gone, and to whom may not read.
	if _, _, err := w.EnableIf(ctx, who("ann"), must(jit.ValidatePolicies([]jit.Policy{policyOf("app1", 22)})), protect.Seen{vmID("app1").Key(): {"*"}}, false); code(err) != store.CodePrecondition {
		t.Errorf("a machine without a policy: %v", err)
	}
	d := w.permitted(roles{ann.Name: at(demo, permit.ActionWrite, permit.ActionWriteVM)})
	if _, _, err := d.EnableIf(ctx, ann, []jit.Policy{original}, protect.Seen{key: {tag(original)}}, false); code(err) != store.CodePrecondition || strings.Contains(err.Error(), "22") || strings.Contains(err.Error(), "bob") {
		t.Errorf("who may not read it: %v", err)
	}
}
