package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/protect"
)

var strict = jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, RequireJustification: true}

// TestOptionsRefuse: what the policy's or the installation's options do not let anybody ask for is
// refused before anything is stored, and logged.
func TestOptionsRefuse(t *testing.T) {
	silent := want("alice", 22, time.Hour, "203.0.113.7", "web")
	silent.Justification = " "
	for name, tc := range map[string]struct {
		request jit.Request
		want    jit.Code
	}{
		"any source":       {want("alice", 22, time.Hour, "*", "web"), jit.CodeSourceAnyForbidden},
		"a wide source":    {want("alice", 22, time.Hour, "203.0.112.0/23", "web"), jit.CodeSourceTooWide},
		"no justification": {silent, jit.CodeJustificationRequired},
	} {
		for _, by := range []string{"policy", "installation"} {
			t.Run(name+"/"+by, func(t *testing.T) {
				w := newWorld(t)
				p := policyOf("web", 22)
				if by == "policy" {
					p.Options = &strict
				} else {
					w.startWith(func(p *core.Ports) { p.Floor = strict })
				}
				if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
					t.Fatalf("a policy may allow any source that may not be asked for: %v", err)
				}
				writes := w.cloud.Writes()
				if _, _, err := w.Preview(t.Context(), tc.request); code(err) != tc.want {
					t.Errorf("preview: %v, want %s", err, tc.want)
				}
				if _, err := w.ask(tc.request); code(err) != tc.want {
					t.Errorf("error %v, want %s", err, tc.want)
				}
				open, _ := w.mem.OpenGrants(t.Context())
				if len(open)+len(w.bell.Set()) != 0 || w.cloud.Writes() != writes {
					t.Errorf("a refusal left %d grants and %d wake-ups and made %d writes", len(open), len(w.bell.Set()), w.cloud.Writes()-writes)
				}
				if line := "Request Refused web " + string(tc.want); !slices.Contains(w.log(), line) {
					t.Errorf("the log does not say %q: %q", line, w.log())
				}
			})
		}
	}
	w := newWorld(t)
	w.startWith(func(p *core.Ports) { p.Floor = strict })
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.0/24", "web"))
}

// TestOptionsRefuseAnExtension: what may not be asked for now is not extended; it ends when it would have.
func TestOptionsRefuseAnExtension(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "*", "web"))
	w.startWith(func(p *core.Ports) { p.Floor = jit.Options{ForbidAnySource: true} }) // a policy that demands it ends the window
	before := w.grant(id)
	if _, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{}); code(err) != jit.CodeSourceAnyForbidden {
		t.Errorf("got %v", err)
	}
	if got := w.grant(id); !got.End().Equal(before.End()) || w.allows("web-nsg") != 1 {
		t.Errorf("moved the end to %s", got.End())
	}
	if line := "Extend Refused web SourceAnyForbidden"; !slices.Contains(w.log(), line) {
		t.Errorf("the log does not say %q: %q", line, w.log())
	}
}

// TestOptionsStay: who does not speak of a policy's options does not take them off, be it by
// enabling again, by replacing a named policy or by importing one; who does, does.
func TestOptionsStay(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	stored := func() jit.Options {
		t.Helper()
		rec, err := w.mem.Policy(t.Context(), vmID("web"))
		if err != nil {
			t.Fatal(err)
		}
		return rec.Policy.OwnOptions()
	}
	enable := func(p jit.Policy, dryRun bool) protect.Enabled {
		t.Helper()
		w.leap(time.Second)
		done, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		return done[0]
	}
	p := policyOf("web", 22)
	p.Options = &strict
	if got := enable(p, false); stored() != strict || got.InForce != strict {
		t.Fatalf("stored %v, told %v", stored(), got.InForce)
	}
	if log := w.lastEntries(1)[0].Message; !strings.Contains(log, "now: "+strict.String()) {
		t.Errorf("the log does not tell: %q", log)
	}
	for _, dryRun := range []bool{true, false} {
		if got := enable(policyOf("web", 22, 3389), dryRun); stored() != strict || got.Policy.OwnOptions() != strict || got.InForce != strict {
			t.Errorf("dry run %v: stored %v, told %+v", dryRun, stored(), got)
		}
	}
	replace := func(vms ...string) defender.NamedPolicy {
		t.Helper()
		named, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies(vms...), defender.Written{}, defender.Precondition{})
		if err != nil {
			t.Fatal(err)
		}
		return named
	}
	if replace("web", "app1"); stored() != strict {
		t.Errorf("a replacement left %v", stored())
	}
	for _, done := range g.Import(t.Context(), person("admin"), []defender.ToImport{{Name: defaultPolicy, Policies: valid(policyOf("web", 3389))}}, false)[0] {
		if done.Err != nil || stored() != strict {
			t.Errorf("an import left %v, %v", stored(), done.Err)
		}
	}
	etag := replace("web", "app1").ETag
	if m := w.machinesOf(person("admin"), inventory.MachineQuery{VM: vmID("web").Key()}).Machines[0]; m.Options != strict || m.InForce != strict {
		t.Errorf("the inventory tells %+v", m)
	}

	p = policyOf("web", 22)
	p.Options = &jit.Options{}
	if enable(p, false); !stored().IsZero() {
		t.Errorf("taken off, but stored %v", stored())
	}
	if again := replace("web", "app1"); again.ETag == etag {
		t.Error("the ETag does not tell of options")
	}
	w.startWith(func(p *core.Ports) { p.Floor = jit.Options{RequireJustification: true} })
	if got := enable(p, false); got.InForce != w.ports.Floor || !stored().IsZero() {
		t.Errorf("under a floor: stored %v, told %+v", stored(), got)
	}
}

// TestOptionsSetMeanwhile: options that somebody sets while another, who does not speak of them,
// stores the same policy stay.
func TestOptionsSetMeanwhile(t *testing.T) {
	for name, run := range map[string]func(*world) error{
		"enable": func(w *world) error {
			_, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, false)
			return err
		},
		"replace": func(w *world) error {
			_, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, valid(policyOf("app1", 22), policyOf("web", 3389)), defender.Written{}, defender.Precondition{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("app1", "web")
			once := false
			w.store.Fault = func(ctx context.Context, s coretest.Step) error {
				if s.Op != "PutPolicy" && s.Op != "PutListed" || s.After || !strings.Contains(s.Of, "/web") || once {
					return nil
				}
				once = true
				rec, err := w.mem.Policy(ctx, vmID("web"))
				if err == nil {
					rec.Policy.Options = &strict
					_, err = w.mem.PutPolicy(ctx, rec)
				}
				return err
			}
			if err := run(w); err != nil {
				t.Fatal(err)
			}
			rec, err := w.mem.Policy(t.Context(), vmID("web"))
			if err != nil || !once || rec.Policy.OwnOptions() != strict {
				t.Errorf("stored %+v, %v", rec.Policy, err)
			}
		})
	}
}
