package access_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// editorKey is the context's key for the number of the editor who calls.
type editorKey struct{}

// stop is one editor at a call on policies, or at his end if proceed is nil.
type stop struct {
	editor  int
	call    string
	proceed chan struct{}
}

// reads reports whether the call changes nothing. Two such calls give the same in either order.
func (s stop) reads() bool {
	return strings.HasPrefix(s.call, "Policy ") || strings.HasPrefix(s.call, "EachListed ")
}

// interleave runs two editors at once, each stopped at every call on policies, and lets one call through at a time: of those that
// could go on, that which choices names, and the first once choices are used up. It returns how many could go on each time, and
// what the editors got. Of runs that differ only in the order of reads, one is enough. It must run in a bubble.
func interleave(ctx context.Context, w *world, choices []int, editors [2]func(context.Context) error) (options []int, errs []error) {
	stops := make(chan stop, 100)
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		editor, ok := ctx.Value(editorKey{}).(int)
		if !ok || s.After || !strings.Contains("Policy EachListed PutPolicy DeletePolicy PutNamed DropNamed PutListed DropListed", s.Op) {
			return nil
		}
		at := stop{editor: editor, call: s.Op + " " + s.Of, proceed: make(chan struct{})}
		stops <- at
		<-at.proceed
		return nil
	}
	errs = make([]error, len(editors))
	for i, edit := range editors {
		go func() {
			errs[i] = edit(context.WithValue(ctx, editorKey{}, i))
			stops <- stop{editor: i}
		}()
	}
	waiting := make([][]stop, len(editors))
	asleep := false // the first editor, whose read would be no other before the second's than after it
	known := false  // the rest of the run is that of another
	for working := len(editors); ; {
		time.Sleep(20 * time.Millisecond) // of the bubble: who waits for others to read with reads, a few times in a row
		synctest.Wait()
		for len(stops) > 0 || working > 0 && !slices.ContainsFunc(waiting, func(at []stop) bool { return len(at) > 0 }) {
			at := <-stops // who only waits for another goes on now, since time passes
			if at.proceed == nil {
				working--
				continue
			}
			waiting[at.editor] = append(waiting[at.editor], at)
		}
		var ready []int
		for i, at := range waiting {
			slices.SortFunc(at, func(a, b stop) int { return strings.Compare(a.call, b.call) }) // one editor's calls at once, in one order
			if len(at) > 0 {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			return options, errs
		}
		if asleep && len(ready) == 2 {
			ready = ready[1:]
		} else if asleep { // as it was when the first went on at once
			known = true
		}
		if known {
			ready = ready[:1]
		}
		next := ready[0]
		if n := len(options); n < len(choices) {
			next = ready[choices[n]]
		}
		options = append(options, len(ready))
		asleep = !known && next == 1 && len(waiting[0]) > 0 && waiting[0][0].reads() && waiting[1][0].reads()
		close(waiting[next][0].proceed)
		waiting[next] = waiting[next][1:]
	}
}

// TestTwoEditorsInterleaved has two editors at two instances, who have seen the same policy, over every interleaving of their
// calls on what is stored of policies: one succeeds, and the list is exactly what he makes of it.
func TestTwoEditorsInterleaved(t *testing.T) {
	type doing = func(context.Context, doors, defender.Precondition) error
	replace := func(vms ...string) doing {
		return func(ctx context.Context, d doors, c defender.Precondition) error {
			_, err := d.ReplacePolicy(ctx, person("admin"), defaultPolicy, policies(vms...), defender.Written{}, c)
			return err
		}
	}
	remove := func(ctx context.Context, d doors, c defender.Precondition) error {
		_, _, err := d.DeletePolicy(ctx, person("admin"), defaultPolicy, c)
		return err
	}
	for _, row := range []struct {
		name   string
		before func(*world)
		edits  [2]doing
		makes  [2]string
	}{
		{"both create it", func(*world) {}, [2]doing{replace("web"), replace("app1")}, [2]string{"web", "app1"}},
		{"both add", func(w *world) { mustReplace(w, "web") }, [2]doing{replace("web", "app1"), replace("web", "app2")}, [2]string{"web app1", "web app2"}},
		{"both add to what is enabled by itself", func(w *world) { w.enable("web") }, [2]doing{replace("web", "app1"), replace("web", "app2")}, [2]string{"web app1", "web app2"}},
		{"one drops what the other keeps", func(w *world) { mustReplace(w, "web", "app1") }, [2]doing{replace("web"), replace("app1")}, [2]string{"web", "app1"}},
		{"one deletes", func(w *world) { mustReplace(w, "web") }, [2]doing{replace("app1"), remove}, [2]string{"app1", ""}},
		{"one undoes what the other does", func(w *world) { mustReplace(w, "web") }, [2]doing{replace("app1"), replace()}, [2]string{"app1", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			runs := 0
			for choices := []int{}; choices != nil; runs++ {
				var options []int
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					row.before(w)
					seen := defender.Precondition{NoneMatch: []string{"*"}}
					if p, err := guarded(w).NamedPolicy(t.Context(), person("admin"), defaultPolicy); err == nil {
						seen = defender.Precondition{Match: []string{p.ETag}}
					}
					here := guarded(w)
					there := w.instanceWith(func(p *core.Ports) { p.Authority = w.ports.Authority }).doors
					var errs []error
					options, errs = interleave(t.Context(), w, choices, [2]func(context.Context) error{
						func(ctx context.Context) error { return row.edits[0](ctx, here, seen) },
						func(ctx context.Context) error { return row.edits[1](ctx, there, seen) },
					})
					w.store.Fault = nil
					p, err := here.NamedPolicy(t.Context(), person("admin"), defaultPolicy)
					if err != nil && code(err) != jit.CodePolicyNotFound {
						t.Fatal(err)
					}
					won := slices.Index(errs, nil)
					if won < 0 || code(errs[1-won]) != defender.CodePrecondition || machines(p) != row.makes[won] {
						t.Errorf("choices %v of %v: %v; the policy lists %q", choices, options, errs, machines(p))
					}
				})
				if t.Failed() {
					return
				}
				choices = following(choices, options)
			}
			t.Logf("%d interleavings", runs)
			if runs < 20 {
				t.Errorf("%d interleavings are too few to be all", runs)
			}
		})
	}
}

// following returns the choices of the next run after one that had these options, in the order of a search in depth; nil after the last.
func following(choices, options []int) []int {
	next := make([]int, len(options))
	copy(next, choices)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]+1 < options[i] {
			next[i]++
			return next[:i+1]
		}
	}
	return nil
}

func mustReplace(w *world, vms ...string) defender.NamedPolicy {
	w.t.Helper()
	p, err := guarded(w).ReplacePolicy(w.t.Context(), person("admin"), defaultPolicy, policies(vms...), defender.Written{}, defender.Precondition{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// headOf returns what is stored of the default policy besides its machines.
func headOf(w *world) (head store.NamedRecord) {
	w.t.Helper()
	n := defaultPolicy
	err := w.mem.EachListed(w.t.Context(), store.PolicyFilter{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Location: n.Location, Name: n.Name}, store.PolicyName{},
		func(r store.NamedRecord) error { head = r; return nil }, func(store.PolicyRecord) error { return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return head
}

// TestClaimThatStays: while somebody seems to be at it, others are refused after a while, and nothing is written; after a minute
// the next editor takes his place.
func TestClaimThatStays(t *testing.T) {
	for _, row := range []struct {
		name  string
		until time.Duration
		code  jit.Code
	}{
		{"in force", time.Minute, store.CodeConcurrent},
		{"over", 0, ""},
		{"of a clock that is hours ahead", 5 * time.Hour, ""},
	} {
		t.Run(row.name, inBubble(func(t *testing.T) {
			w := newWorld(t)
			mustReplace(w, "web")
			head := headOf(w)
			head.Claim = store.Claim{Until: w.now().Add(row.until), Makes: "another list"}
			if _, err := w.mem.PutNamed(t.Context(), head); err != nil {
				t.Fatal(err)
			}
			before := headOf(w)
			for name, edit := range map[string]func() error{
				"replace": func() error {
					_, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web", "app1"), defender.Written{}, defender.Precondition{})
					return err
				},
				"delete": func() error {
					_, _, err := guarded(w).DeletePolicy(t.Context(), person("admin"), defaultPolicy, defender.Precondition{})
					return err
				},
			} {
				if err := edit(); code(err) != row.code {
					t.Errorf("%s: %v", name, err)
				}
			}
			if after := headOf(w); row.code != "" && after.Version != before.Version {
				t.Errorf("a refused editor wrote %+v", after)
			}
			if after := headOf(w); row.code == "" && after.Claim != (store.Claim{}) {
				t.Errorf("the claim %+v is left", after.Claim)
			}
		}))
	}
}

// TestClaimLost: who is so slow that another takes his place writes nothing more.
func TestClaimLost(t *testing.T) {
	w := newWorld(t)
	mustReplace(w, "web")
	elsewhere := w.instanceWith(func(p *core.Ports) { p.Authority = w.ports.Authority }).doors
	w.meanwhile("DropListed", func() { // app1 is written, and web not yet dropped
		w.leap(2 * time.Minute)
		if _, err := elsewhere.ReplacePolicy(t.Context(), person("writer"), defaultPolicy, policies("web", "app2"), defender.Written{}, defender.Precondition{}); err != nil {
			t.Errorf("the second editor: %v", err)
		}
	})
	_, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1"), defender.Written{}, defender.Precondition{})
	if code(err) != store.CodeConcurrent {
		t.Errorf("the first editor: %v", err)
	}
	if p, err := guarded(w).NamedPolicy(t.Context(), person("admin"), defaultPolicy); err != nil || machines(p) != "web app2" {
		t.Errorf("%s, %v", machines(p), err)
	}
}

// TestClaimWithoutWrites: a policy that is only claimed does not exist.
func TestClaimWithoutWrites(t *testing.T) {
	w := newWorld(t)
	if _, err := w.mem.PutNamed(t.Context(), store.NamedRecord{Name: defaultPolicy, Draft: true, Claim: store.Claim{Makes: "a list"}}); err != nil {
		t.Fatal(err)
	}
	g := guarded(w)
	if _, err := g.NamedPolicy(t.Context(), person("admin"), defaultPolicy); code(err) != jit.CodePolicyNotFound {
		t.Errorf("read: %v", err)
	}
	if list, _, err := g.NamedPolicies(t.Context(), person("admin"), store.PolicyFilter{Subscription: sub}, store.PolicyName{}, 10); err != nil || len(list) != 0 {
		t.Errorf("list: %v, %v", list, err)
	}
	if _, found, err := g.DeletePolicy(t.Context(), person("admin"), defaultPolicy, defender.Precondition{}); err != nil || found {
		t.Errorf("delete: %t, %v", found, err)
	}
	if _, err := g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("web"), defender.Written{}, defender.Precondition{NoneMatch: []string{"*"}}); err != nil {
		t.Errorf("create: %v", err)
	}
	if head := headOf(w); head.Draft || head.Claim != (store.Claim{}) || !head.Since.Equal(w.now()) {
		t.Errorf("stored %s", fmt.Sprintf("%+v", head))
	}
}
