package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// ways are all the ways in which a machine's policy is changed, each with what it tells of the windows that end.
func ways(ctx context.Context, until time.Time) map[string]func(d doors, p jit.Policy, dry bool) (narrow.Ends, error) {
	return map[string]func(d doors, p jit.Policy, dry bool) (narrow.Ends, error){
		"enable": func(d doors, p jit.Policy, dry bool) (narrow.Ends, error) {
			list, _, err := d.Enable(ctx, ann, []jit.Policy{p}, dry)
			if err != nil {
				return narrow.Ends{}, err
			}
			return list[0].Narrowed, nil
		},
		"replace a named policy": func(d doors, p jit.Policy, dry bool) (narrow.Ends, error) {
			if dry {
				return narrow.Ends{}, nil
			}
			named, err := d.ReplacePolicy(ctx, ann, defaultPolicy, valid(p, policyOf("app1", 22, 3389)), defender.Written{}, defender.Precondition{})
			return named.Narrowed, err
		},
		"import from Defender": func(d doors, p jit.Policy, dry bool) (narrow.Ends, error) {
			done := d.Import(ctx, ann, []defender.ToImport{{Name: defaultPolicy, Policies: valid(p)}}, dry)
			return done[0][0].Narrowed, done[0][0].Err
		},
		"import a document": func(d doors, p jit.Policy, dry bool) (narrow.Ends, error) {
			done, err := d.Restore(ctx, ann, []defender.Held{{Name: defaultPolicy, Policy: valid(p)[0]}}, dry, until)
			if err != nil {
				return narrow.Ends{}, err
			}
			return done[0].Narrowed, done[0].Err
		},
	}
}

// TestNarrowingReachesWhatIsOpen: in whatever way a policy is changed, what is open and not allowed any more ends with it, is told with it and by its dry
// run, is in the log, and all else stays open.
func TestNarrowingReachesWhatIsOpen(t *testing.T) {
	ctx := t.Context()
	for name, change := range ways(ctx, noon.Add(time.Hour)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web", "app1")
			bobs := w.mustAskAs(bob, 3389, "203.0.113.8", "web", "app1")
			w.mustAskAs(bob, 22, "203.0.113.8", "web")
			w.mustAskAs(bob, 22, "198.51.100.1", "web")
			w.leap(time.Second)
			d := w.permitted(everybody{})
			p := policyOf("web", 22)
			p.Ports[0].Sources, p.Ports[0].Maximum = must(jit.ParseSources("203.0.113.0/24")), 30*time.Minute
			const says = "closes 2 windows and shortens 1 window"
			before := w.lines("web-nsg")
			if dry, err := change(d, p, true); err != nil || name != "replace a named policy" && dry.String() != says {
				t.Fatalf("the dry run says %q, %v", dry, err)
			}
			w.stands("web-nsg", before...)
			got, err := change(d, p, false)
			if err != nil || got.String() != says {
				t.Errorf("it says %q, %v; want %q", got, err, says)
			}
			if after := strings.Join(w.lines("web-nsg"), "\n"); strings.Count(after, "allow ours") != 1 || !strings.Contains(after, "allow ours 203.0.113.8 -> 10.0.0.4 :22") {
				t.Errorf("rules of web-nsg:\n%s", after)
			}
			if n := w.allows("apps-nsg"); n != 1 {
				t.Errorf("%d windows at app1, want the one of before", n)
			}
			for _, vm := range w.grant(bobs).VMs {
				port := vm.Ports[0]
				if closed := vm.VM.Name == "web"; closed != (port.Status == jit.Revoked) || closed != (port.Reason == jit.PolicyChanged) {
					t.Errorf("the window at %s is %s, %q", vm.VM.Name, port.Status, port.Reason)
				}
			}
			log := strings.Join(w.log(), "\n")
			if strings.Count(log, "Close Succeeded web PolicyChanged") != 2 || strings.Contains(log, "Close Succeeded app1") {
				t.Errorf("the log:\n%s", log)
			}
			entries, _, _ := w.mem.Entries(ctx, store.EntryFilter{Operation: store.OpEnable}, "", 1)
			if len(entries) != 1 || !strings.HasSuffix(entries[0].Message, "; "+says) {
				t.Errorf("the entry of the change: %v", entries)
			}
			w.pass(30 * time.Minute)
			if n := w.allows("web-nsg"); n != 0 {
				t.Errorf("%d windows at the end of the new maximum", n)
			}
			if again, err := change(d, p, false); err != nil || again.String() != "" {
				t.Errorf("again: %q, %v", again, err)
			}
		})
	}
}

// TestNarrowingMeetsAnOpening: a policy that changes, or goes, between the decision and the opening is found by one of both.
func TestNarrowingMeetsAnOpening(t *testing.T) {
	ctx := t.Context()
	for name, change := range map[string]func(w *world) error{
		"the port goes": func(w *world) error {
			_, _, err := w.Enable(ctx, who("admin"), []jit.Policy{policyOf("web", 3389)}, false)
			return err
		},
		"the protection ends": func(w *world) error {
			_, err := w.Disable(ctx, who("admin"), []jit.ID{vmID("web")})
			return err
		},
	} {
		for _, when := range []string{"before it is stored", "after it is stored"} {
			t.Run(name+" "+when, func(t *testing.T) {
				w := newWorld(t)
				w.enable("web")
				r := want("alice", 22, time.Hour, "203.0.113.7", "web")
				if when == "before it is stored" {
					// The change comes between the decision and the insert.
					changed := false
					w.store.Fault = func(_ context.Context, s coretest.Step) error {
						if changed || s.Op != "InsertGrant" || s.After {
							return nil
						}
						changed = true
						return change(w)
					}
				}
				rec, _, err := w.Request(ctx, who("alice"), r, "")
				if err == nil && when == "after it is stored" {
					err = change(w)
				}
				if err != nil {
					t.Fatal(err)
				}
				opened, err := w.Open(ctx, who("alice"), rec)
				if code(err) != access.CodePolicyChanged && (err != nil || !opened.Grant.Closed()) {
					t.Errorf("opened %s, %v", opened.Grant.Status(), err)
				}
				if got := w.grant(rec.Grant.ID); !got.Closed() || w.allows("web-nsg") != 0 {
					t.Errorf("the grant is %s and %d rules allow", got.Status(), w.allows("web-nsg"))
				}
			})
		}
	}
}

// TestNarrowingTellsWhatMayBeRead: who may write policies and not read them learns how many windows end, and of whom.
func TestNarrowingTellsWhatMayBeRead(t *testing.T) {
	ctx := t.Context()
	write := []string{permit.ActionWrite, permit.ActionWriteVM, permit.ActionDelete}
	for name, change := range ways(ctx, noon.Add(time.Hour)) {
		for _, reads := range []bool{false, true} {
			w := newWorld(t)
			w.enable("web")
			w.mustAskAs(bob, 3389, "203.0.113.8", "web")
			w.leap(time.Second)
			may := roles{ann.Name: at(demo, write...)}
			if reads {
				may = roles{ann.Name: at(demo, append(slices.Clone(write), permit.ActionRead)...)}
			}
			got, err := change(w.permitted(may), policyOf("web", 22), false)
			if err != nil || reads != (len(got.Grants) == 1) || reads == (got.Hidden == 1) {
				t.Errorf("%s, who may read: %v: %v and %d hidden, %v", name, reads, got.Grants, got.Hidden, err)
			}
		}
	}
}

// TestNarrowingAfterACrash: where the process dies between the policy and the windows, the sweep ends them.
func TestNarrowingAfterACrash(t *testing.T) {
	ctx := t.Context()
	p := policyOf("web", 22)
	p.Ports[0].Maximum = 30 * time.Minute
	for n := 1; ; n++ {
		w := newWorld(t)
		w.enable("web")
		id := w.mustAsk(want("alice", 3389, time.Hour, "203.0.113.7", "web"))
		other := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		w.leap(time.Minute)
		seen := w.crashAt(n)
		_, _, _ = w.Enable(ctx, who("admin"), []jit.Policy{p}, false)
		w.restart()
		if len(w.policy("web").Ports) == 1 { // it is stored
			w.leap(time.Minute)
			w.sweep()
			if got := w.grant(id); !got.Closed() || got.Reason() != jit.PolicyChanged || w.allows("web-nsg") != 1 {
				t.Errorf("crashed at step %d: %s %q, %d rules allow", n, got.Status(), got.Reason(), w.allows("web-nsg"))
			}
			if got := w.grant(other).End(); !got.Equal(noon.Add(30 * time.Minute)) {
				t.Errorf("crashed at step %d: the other ends at %s", n, got)
			}
		}
		w.pass(time.Hour)
		if w.allows("web-nsg") != 0 {
			t.Errorf("crashed at step %d: a window stays", n)
		}
		if *seen < n {
			if n < 6 {
				t.Errorf("only %d steps", n)
			}
			break
		}
	}
}

func (w *world) policy(vm string) jit.Policy {
	w.t.Helper()
	rec, err := w.mem.Policy(w.t.Context(), vmID(vm))
	if err != nil {
		w.t.Fatal(err)
	}
	return rec.Policy
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("the caller has introduced a bug: " + err.Error())
	}
	return v
}
