package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// roles is what callers may do: "action scope" lines by name; scopes below are included.
type roles map[string][]string

func (r roles) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	for _, action := range actions {
		if !slices.ContainsFunc(r[who.Name], func(line string) bool {
			allowed, at, _ := strings.Cut(line, " ")
			return allowed == action && (at == scope || strings.HasPrefix(scope, at+"/"))
		}) {
			return action, nil
		}
	}
	return "", nil
}

const demo = "/subscriptions/" + sub + "/resourceGroups/demo"

var defaultPolicy = store.PolicyName{Subscription: sub, ResourceGroup: "demo", Location: "westeurope", Name: "default"}

// at gives the lines of actions at a scope.
func at(scope string, actions ...string) []string {
	var out []string
	for _, a := range actions {
		out = append(out, a+" "+scope)
	}
	return out
}

func person(name string) jit.Caller {
	return jit.Caller{ID: "tid/" + name, Name: name, Correlation: "test"}
}

func policies(vms ...string) []jit.ValidPolicy {
	var out []jit.ValidPolicy
	for _, vm := range vms {
		out = append(out, valid(policyOf(vm, 22))...)
	}
	return out
}

// guarded is the world's verbs behind the roles of: admin (everything), reader,
// requester, writer (as Defender's table has "configure or edit"), and those who may
// do something with web alone.
func guarded(w *world) doors {
	web := vmID("web").String()
	return w.permitted(roles{
		"admin":     at("/subscriptions/"+sub, permit.ActionRead, permit.ActionWrite, permit.ActionDelete, permit.ActionInitiate, permit.ActionReadVM, permit.ActionWriteVM),
		"reader":    at(demo, permit.ActionRead, permit.ActionReadVM),
		"requester": at(demo, permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM),
		"writer":    at(demo, permit.ActionRead, permit.ActionWrite, permit.ActionWriteVM),
		"webreader": at(web, permit.ActionRead),
		"webadmin":  at(web, permit.ActionRead, permit.ActionWrite, permit.ActionDelete, permit.ActionInitiate, permit.ActionReadVM, permit.ActionWriteVM),
		"nobody":    nil,
	})
}

func machines(p defender.NamedPolicy) string {
	var out []string
	for _, m := range p.Machines {
		out = append(out, m.Policy.VM.Name)
	}
	return strings.Join(out, " ")
}

// TestNamedPolicyPermissions is every call on named policies by every caller. "" is
// allowed; else the code of the refusal. No caller is left out, so that none is allowed by default.
func TestNamedPolicyPermissions(t *testing.T) {
	const no = permit.CodeForbidden
	callers := []string{"admin", "reader", "requester", "writer", "webreader", "webadmin", "nobody"}
	for _, tc := range []struct {
		name string
		want [7]jit.Code
		call func(context.Context, doors, jit.Caller) error
	}{
		{"get", [7]jit.Code{"", "", "", "", "", "", no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, err := g.NamedPolicy(ctx, who, defaultPolicy)
			return err
		}},
		{"get what does not exist", [7]jit.Code{jit.CodePolicyNotFound, jit.CodePolicyNotFound, jit.CodePolicyNotFound, jit.CodePolicyNotFound, no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			other := defaultPolicy
			other.Name = "other"
			_, err := g.NamedPolicy(ctx, who, other)
			return err
		}},
		{"replace", [7]jit.Code{"", no, no, "", no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, err := g.ReplacePolicy(ctx, who, defaultPolicy, policies("web", "app1", "app2"), defender.Written{}, defender.Precondition{})
			return err
		}},
		{"drop a machine", [7]jit.Code{"", no, no, "", no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, err := g.ReplacePolicy(ctx, who, defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{})
			return err
		}},
		{"drop all", [7]jit.Code{"", no, no, "", no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, err := g.ReplacePolicy(ctx, who, defaultPolicy, nil, defender.Written{}, defender.Precondition{})
			return err
		}},
		{"delete", [7]jit.Code{"", no, no, no, no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, _, err := g.DeletePolicy(ctx, who, defaultPolicy, defender.Precondition{})
			return err
		}},
		{"delete what does not exist", [7]jit.Code{"", no, no, no, no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			other := defaultPolicy
			other.Name = "other"
			_, _, err := g.DeletePolicy(ctx, who, other, defender.Precondition{})
			return err
		}},
		{"initiate", [7]jit.Code{"", no, "", no, no, "", no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, _, err := g.Initiate(ctx, who, defaultPolicy, want("", 22, time.Hour, "192.0.2.1", "web"))
			return err
		}},
		{"initiate of two", [7]jit.Code{"", no, "", no, no, no, no}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, _, err := g.Initiate(ctx, who, defaultPolicy, want("", 22, time.Hour, "192.0.2.1", "web", "app1"))
			return err
		}},
		{"a broken initiate", [7]jit.Code{jit.CodeInvalidInitiate, jit.CodeInvalidInitiate, jit.CodeInvalidInitiate, jit.CodeInvalidInitiate, jit.CodeInvalidInitiate, jit.CodeInvalidInitiate, jit.CodeInvalidInitiate}, func(ctx context.Context, g doors, who jit.Caller) error {
			_, _, err := g.Initiate(ctx, who, defaultPolicy, want("", 22, 0, "192.0.2.1", "web"))
			return err
		}},
		{"import", [7]jit.Code{"", no, no, "", no, "", no}, func(ctx context.Context, g doors, who jit.Caller) error {
			return g.Import(ctx, who, []defender.ToImport{{Name: defaultPolicy, Policies: valid(policyOf("web", 22, 3389))}}, false)[0][0].Err
		}},
	} {
		for i, name := range callers {
			t.Run(tc.name+" by "+name, func(t *testing.T) {
				w := newWorld(t)
				g := guarded(w)
				if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app1"), defender.Written{}, defender.Precondition{}); err != nil {
					t.Fatal(err)
				}
				before := w.lines("web-nsg")
				err := tc.call(t.Context(), g, person(name))
				if got := code(err); got != tc.want[i] || got == "" && err != nil {
					t.Fatalf("got %v, want %q", err, tc.want[i])
				}
				if tc.want[i] != "" && !cmp.Equal(before, w.lines("web-nsg")) {
					t.Error("a refusal changed the rules")
				}
				if refused, ok := errors.AsType[*jit.Error](err); ok && refused.Code == no && tc.name == "drop a machine" && strings.Contains(refused.Message+refused.Target, "app1") {
					t.Errorf("the refusal names a machine that the caller may not know of: %v", refused)
				}
			})
		}
	}
}

// TestNamedPoliciesShowWhatMayBeRead: a policy shows the machines that the caller may read.
func TestNamedPoliciesShowWhatMayBeRead(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app1"), defender.Written{}, defender.Precondition{}); err != nil {
		t.Fatal(err)
	}
	w.mustAsk(want("admin", 22, time.Hour, "192.0.2.1", "web", "app1"))
	for name, shown := range map[string]string{"admin": "web app1", "reader": "web app1", "webreader": "web", "nobody": ""} {
		list, _, err := g.NamedPolicies(t.Context(), person(name), store.PolicyFilter{Subscription: strings.ToUpper(sub)}, store.PolicyName{}, 10)
		if err != nil || len(list) > 1 || len(list) == 1 && machines(list[0]) != shown || len(list) == 0 && shown != "" {
			t.Errorf("%s: %+v, %v", name, list, err)
			continue
		}
		if len(list) == 1 && (len(list[0].Requests) != 1 || len(list[0].Requests[0].VMs) != len(strings.Fields(shown))) {
			t.Errorf("%s sees of the requests %+v", name, list[0].Requests)
		}
	}
	// Who may read web alone cannot lose app1 by writing back what he read.
	list, _, err := g.NamedPolicies(t.Context(), person("webadmin"), store.PolicyFilter{Subscription: sub}, store.PolicyName{}, 10)
	if err != nil || machines(list[0]) != "web" {
		t.Fatalf("%+v, %v", list, err)
	}
	_, err = g.ReplacePolicy(t.Context(), person("webadmin"), defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{Match: []string{list[0].ETag}})
	if got := code(err); got != defender.CodePrecondition && got != permit.CodeForbidden {
		t.Errorf("got %v", err)
	}
	if p, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "web app1" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestReplaceCrash: wherever a replacement stops, the same call completes it, by the ETag of before and at once.
func TestReplaceCrash(t *testing.T) {
	var seen defender.Precondition
	run := func(w *world) error {
		_, err := guarded(w).ReplacePolicy(w.t.Context(), person("admin"), defaultPolicy, policies("app1", "app2"), defender.Written{}, seen)
		return err
	}
	prepare := func(t *testing.T) *world {
		w := newWorld(t)
		p, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1", "web"), defender.Written{}, defender.Precondition{})
		if err != nil {
			t.Fatal(err)
		}
		seen.Match = []string{p.ETag}
		w.mustAsk(want("admin", 22, time.Hour, "192.0.2.1", "web"))
		return w
	}
	w := prepare(t)
	steps := w.crashAt(0)
	if err := run(w); err != nil || *steps < 10 {
		t.Fatalf("%d steps, %v", *steps, err)
	}
	webAfter, appsAfter := w.lines("web-nsg"), w.lines("apps-nsg")
	for n := 1; n <= *steps; n++ {
		t.Run(fmt.Sprint("step ", n), inBubble(func(t *testing.T) { // who repeats waits for the claim of who has died
			w := prepare(t)
			w.crashAt(n)
			if err := run(w); err == nil {
				t.Fatal("no error")
			}
			w.restart()
			if err := run(w); err != nil {
				t.Fatal(err)
			}
			w.sweep() // closes what was marked to close when it stopped
			if diff := cmp.Diff(webAfter, w.lines("web-nsg")); diff != "" {
				t.Errorf("rules of web-nsg (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(appsAfter, w.lines("apps-nsg")); diff != "" {
				t.Errorf("rules of apps-nsg (-want +got):\n%s", diff)
			}
			if p, err := guarded(w).NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "app1 app2" {
				t.Errorf("%s, %v", machines(p), err)
			}
		}))
	}
}
