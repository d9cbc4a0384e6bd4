package access_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/store"
)

// TestDryRunIsTheRealThing: what a dry run tells is what the verb then does to the rules and to the windows, and the dry run itself
// leaves everything as it was: rules, grants, policies, wake-ups and the log.
func TestDryRunIsTheRealThing(t *testing.T) {
	ctx := t.Context()
	type told struct {
		changes []preview.Change
		grants  []jit.Grant // as they would be
	}
	of := func(rec store.GrantRecord, changes []preview.Change, err error) (told, error) {
		return told{changes, []jit.Grant{rec.Grant}}, err
	}
	both := []jit.ID{vmID("web"), vmID("app1")}
	narrower := []jit.Policy{policyOf("web", 3389), policyOf("app1", 22)}
	narrower[1].Ports[0].Maximum = 10 * time.Minute
	wantGrants := map[string]int{"revoke": 1, "extend": 1, "disable": 1, "enable that closes and shortens": 3} // of alice on each machine, and bob's
	for name, verb := range map[string]struct {
		dry  func(w *world, id string) (told, error)
		real func(w *world, id string) error
	}{
		"revoke": {func(w *world, id string) (told, error) { return of(w.PreviewRevoke(ctx, id)) },
			func(w *world, id string) error { _, err := w.Revoke(ctx, who("alice"), id); return err }},
		"extend": {func(w *world, id string) (told, error) { return of(w.PreviewExtend(ctx, id, 2*time.Hour, time.Time{})) },
			func(w *world, id string) error {
				_, err := w.Extend(ctx, who("alice"), id, 2*time.Hour, time.Time{})
				return err
			}},
		"disable": {func(w *world, _ string) (told, error) {
			ends, changes, err := w.PreviewDisable(ctx, both[:1])
			return told{changes, ends.Grants}, err
		}, func(w *world, _ string) error { _, err := w.Disable(ctx, who("admin"), both[:1]); return err }},
		"enable that closes and shortens": {func(w *world, _ string) (told, error) {
			list, changes, err := w.Enable(ctx, who("admin"), narrower, true)
			return told{changes, slices.Concat(list[0].Narrowed.Grants, list[1].Narrowed.Grants)}, err
		}, func(w *world, _ string) error { _, _, err := w.Enable(ctx, who("admin"), narrower, false); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			w.enable("app1")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"))
			w.mustAsk(want("bob", 22, time.Hour, "203.0.113.9", "app1"))
			all := func() string {
				policies, err := store.AllPolicies(ctx, w.mem)
				if err != nil {
					t.Fatal(err)
				}
				grants, err := w.mem.OpenGrants(ctx)
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal([]any{w.lines("web-nsg"), w.lines("apps-nsg"), policies, grants, w.bell.Set(), w.log()})
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			before, writes := all(), w.cloud.Writes()
			rules := map[string][]jit.Rule{"web-nsg": w.cloud.Standing(nsgID("web-nsg")), "apps-nsg": w.cloud.Standing(nsgID("apps-nsg"))}
			got, err := verb.dry(w, id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, all()); diff != "" || w.cloud.Writes() != writes {
				t.Fatalf("the dry run changed something (%d writes):\n%s", w.cloud.Writes()-writes, diff)
			}
			if err := verb.real(w, id); err != nil {
				t.Fatal(err)
			}
			for _, c := range got.changes {
				if diff := cmp.Diff(named(apply(rules[c.Target.Name], c)), named(w.cloud.Standing(nsgID(c.Target.Name)))); diff != "" {
					t.Errorf("%s after what was told (-), and after the verb (+):\n%s", c.Target.Name, diff)
				}
				delete(rules, c.Target.Name)
			}
			for name, stood := range rules {
				if diff := cmp.Diff(named(stood), named(w.cloud.Standing(nsgID(name)))); diff != "" {
					t.Errorf("%s changed, which was not told:\n%s", name, diff)
				}
			}
			for _, g := range got.grants {
				now := w.grant(g.ID)
				for _, vm := range g.VMs {
					for _, then := range now.VMs {
						for j := range vm.Ports {
							if then.VM.Equal(vm.VM) && (!then.Ports[j].End.Equal(vm.Ports[j].End) || then.Ports[j].Reason != vm.Ports[j].Reason) {
								t.Errorf("%s: told %v, got %v", vm.VM.Name, vm.Ports[j], then.Ports[j])
							}
						}
					}
				}
			}
			if len(got.grants) != wantGrants[name] || name == "disable" && (len(got.grants[0].VMs) != 1 || got.grants[0].VMs[0].VM.Name != "web") {
				t.Errorf("it told of %v", got.grants)
			}
		})
	}
}

// apply gives rules after changes.
func apply(rules []jit.Rule, c preview.Change) []jit.Rule {
	out := slices.DeleteFunc(slices.Clone(rules), func(r jit.Rule) bool {
		return slices.ContainsFunc(slices.Concat(c.Changes.Delete, c.Changes.Update), func(o jit.Rule) bool { return o.Name == r.Name })
	})
	return slices.Concat(out, c.Changes.Create, c.Changes.Update)
}

// named gives rules as texts, sorted.
func named(rules []jit.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, fmt.Sprintf("%s %d %s %v -> %v %v: %s", r.Name, r.Priority, r.Access, r.Source, r.Destination, r.DestinationPorts, r.Description))
	}
	slices.Sort(out)
	return out
}

// TestDryRunOfDisableAfterAMove: windows stand where the machine was when they were asked for, and the dry run tells of their rules there.
func TestDryRunOfDisableAfterAMove(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.cloud.SetRules(nsgID("new-nsg"))
	w.place("web", "new-nsg", "10.0.2.4")
	w.enable("web")
	told := map[string]int{}
	_, changes, err := w.PreviewDisable(t.Context(), []jit.ID{vmID("web")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		told[c.Target.Name] = len(c.Changes.Delete)
	}
	before := map[string]int{"web-nsg": len(w.cloud.Standing(nsgID("web-nsg"))), "new-nsg": len(w.cloud.Standing(nsgID("new-nsg")))}
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")}); err != nil {
		t.Fatal(err)
	}
	for name, stood := range before {
		if gone := stood - len(w.cloud.Standing(nsgID(name))); gone == 0 || told[name] != gone {
			t.Errorf("%s lost %d rules, and the dry run told of %d", name, gone, told[name])
		}
	}
}
