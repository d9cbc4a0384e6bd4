package rbac_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/rbac"
	"portcullis/local/armsim"
)

// first is the calls for a caller's first check in a subscription, with one role.
var first = []string{"denyAssignments", "roleAssignments", "roleDefinitions"}

// TestCalls checks the calls to ARM: the same for one machine and for two hundred, and none for cached answers.
func TestCalls(t *testing.T) {
	r := newRig(t)
	_, role := r.grant(grant{actions: list("*")})
	r.grant(grant{at: demo + "2", actions: list("*")}) // applies to nothing checked below
	r.grant(grant{to: bob, role: role})
	r.calls()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			at := fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/vm%d", demo, i)
			if got, err := r.Missing(t.Context(), caller(ann), at, initiate, readVM); got != "" || err != nil {
				t.Errorf("missing %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"two hundred machines at once", func() {}, first},
		{"another machine and another action", func() { r.missing(ann, web, write) }, nil},
		{"another caller with the same role", func() { r.missing(bob, web, write) }, list("roleAssignments")},
		{"one without roles", func() { r.missing(unit, web, write) }, list("roleAssignments")},
		{"again: refusals are remembered too", func() { r.missing(unit, web, write) }, nil},
		{"a moment before five seconds are over", func() { r.clock.advance(rbac.RefusalLife - 1); r.missing(unit, web, write) }, nil},
		{"five seconds later: only what could grant it is asked for", func() { r.clock.advance(1); r.missing(unit, web, write) }, list("roleAssignments")},
		{"who was permitted costs nothing", func() { r.missing(ann, web, write); r.missing(bob, web, write) }, nil},
		{"another subscription", func() { r.missing(ann, "/subscriptions/"+other, write) }, list("denyAssignments", "roleAssignments")},
		{"a moment before a minute is over", func() { r.clock.advance(rbac.Life - rbac.RefusalLife - 1); r.missing(ann, web, write) }, nil},
		{"a minute later", func() { r.clock.advance(1); r.missing(ann, web, write) }, first},
	} {
		step.do()
		if diff := cmp.Diff(step.want, r.calls()); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestCallsForGroups checks that a caller's deny assignments are read only if one that applies to the machine may
// name a group of theirs.
func TestCallsForGroups(t *testing.T) {
	for _, tc := range []struct {
		name  string
		deny  deny
		asked bool
		want  string
	}{
		{"a group that he is in", deny{to: []object{who(team)}, actions: list(initiate)}, true, initiate},
		{"somebody else", deny{to: []object{who(bob)}, actions: list(initiate)}, true, ""},
		{"himself", deny{to: []object{who(ann)}, actions: list(initiate)}, false, initiate},
		{"everybody", deny{to: []object{all()}, actions: list(initiate)}, false, initiate},
		{"a group, but not him", deny{to: []object{who(team)}, except: []object{who(ann)}, actions: list(initiate)}, false, ""},
		{"a group, on other machines", deny{at: demo + "2", to: []object{who(team)}, actions: list(initiate)}, false, ""},
	} {
		r := newRig(t)
		r.grant(grant{actions: list("*")})
		r.deny(tc.deny)
		r.arm.SetGroups(map[string][]string{ann: {team}})
		r.calls()
		want := slices.Clone(first)
		if tc.asked {
			want = append(list("denyAssignments"), first...)
		}
		for range 2 { // the second time everything is cached
			if got := r.missing(ann, web, initiate); got != tc.want {
				t.Errorf("%s: missing %q, want %q", tc.name, got, tc.want)
			}
			if diff := cmp.Diff(want, r.calls()); diff != "" {
				t.Errorf("%s: calls (-want +got):\n%s", tc.name, diff)
			}
			want = nil
		}
	}
}

// TestCallsOfPages checks that all pages of a list are read.
func TestCallsOfPages(t *testing.T) {
	r := newRig(t)
	for range 4 {
		r.grant(grant{actions: list(read)})
	}
	r.grant(grant{actions: list(initiate)})
	r.deny(deny{to: []object{who(bob)}, actions: list("*")})
	r.deny(deny{to: []object{all()}, actions: list(write)})
	if err := r.arm.Tune(func(k *armsim.Knobs) { k.PageSize = 1 }); err != nil {
		t.Fatal(err)
	}
	if got := r.missing(ann, web, initiate); got != "" {
		t.Errorf("missing %q, granted on the last page", got)
	}
	if got := r.missing(ann, web, write); got != write {
		t.Errorf("missing %q, denied on the last page", got)
	}
	count := map[string]int{}
	for _, c := range r.calls() {
		count[c]++
	}
	if diff := cmp.Diff(map[string]int{"roleAssignments": 5, "denyAssignments": 3, "roleDefinitions": 5}, count); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestChangesAreSeen checks that a removed right stops working after a minute and a new one works after seconds,
// whatever changes.
func TestChangesAreSeen(t *testing.T) {
	r := newRig(t)
	_, role := r.grant(grant{to: team, actions: list(initiate)})
	edit := func(change func(properties object)) {
		id := "/providers/Microsoft.Authorization/roleDefinitions/" + role[len(role)-36:]
		if err := r.arm.Edit(id, func(doc map[string]any) { change(doc["properties"].(object)) }); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(id string) {
		if gone, err := r.arm.Delete(id); !gone || err != nil {
			t.Fatalf("delete %s: %v, %v", id, gone, err)
		}
	}
	if got := r.missing(ann, web, initiate); got != "" {
		t.Fatalf("missing %q", got)
	}
	var denied string
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"the caller leaves the group", func() { r.arm.SetGroups(nil) }, initiate},
		{"and comes back", func() { r.arm.SetGroups(map[string][]string{ann: {team}}) }, ""},
		{"the role loses the action", func() {
			edit(func(p object) { p["permissions"] = []any{object{"actions": list(read)}} })
		}, initiate},
		{"and gains it", func() { edit(func(p object) { p["permissions"] = []any{object{"actions": list("*")}} }) }, ""},
		{"a deny assignment", func() { denied = r.deny(deny{to: []object{all()}, except: []object{who(bob)}, actions: list("*")}) }, initiate},
		{"and it goes", func() { gone(denied) }, ""},
		{"a deny assignment of the group", func() { denied = r.deny(deny{to: []object{who(team)}, actions: list("*")}) }, initiate},
		{"and the caller leaves it, granted by himself", func() { r.grant(grant{actions: list(initiate)}); r.arm.SetGroups(nil) }, ""},
	} {
		r.clock.advance(rbac.Life) // so that everything is read again and has the same age
		before, life := r.missing(ann, web, initiate), rbac.Life
		if before != "" {
			life = rbac.RefusalLife
		}
		step.change()
		r.clock.advance(life - time.Millisecond)
		if got := r.missing(ann, web, initiate); got != before {
			t.Errorf("%s: seen before it was asked for again: %q", step.name, got)
		}
		r.clock.advance(time.Millisecond)
		if got := r.missing(ann, web, initiate); got != step.want {
			t.Errorf("%s: missing %q, want %q", step.name, got, step.want)
		}
	}
	r = newRig(t)
	assignment, _ := r.grant(grant{actions: list("*")})
	r.missing(ann, web, initiate)
	gone(assignment)
	r.clock.advance(-time.Hour) // a clock that is set back must not make an answer live longer
	if got := r.missing(ann, web, initiate); got != initiate {
		t.Errorf("after the clock was set back: missing %q", got)
	}
}

// TestRefusalsWhileARMIsDown checks that a refusal that cannot be refreshed stays a refusal, for as long as a
// permission would last, and never becomes a permission.
func TestRefusalsWhileARMIsDown(t *testing.T) {
	r := newRig(t)
	r.grant(grant{to: bob, actions: list("*")})
	r.missing(ann, web, initiate)
	r.missing(bob, web, initiate)
	if err := r.arm.Tune(func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/*"}} }); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(rbac.Life - 1)
	if got := r.missing(ann, web, initiate); got != initiate {
		t.Errorf("missing %q", got)
	}
	if got := r.missing(bob, web, initiate); got != "" {
		t.Errorf("who was permitted: missing %q", got)
	}
	r.clock.advance(1 + rbac.ForbiddenLife)
	if got, err := r.Missing(t.Context(), caller(ann), web, initiate); got != "" || err == nil {
		t.Errorf("a minute later: missing %q, %v", got, err)
	}
}

// TestForbiddenIsRemembered checks that learning that the app has no role in a subscription costs one round of
// calls, for however many lines of a list, and that this cache is bounded too.
func TestForbiddenIsRemembered(t *testing.T) {
	r := newRig(t)
	if err := r.arm.Tune(func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/*"}} }); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if got, err := r.Missing(t.Context(), caller(ann), web, initiate); got != "" || !errors.Is(err, store.ErrForbidden) {
			t.Fatalf("missing %q, %v", got, err)
		}
	}
	if calls := r.calls(); len(calls) != 2 {
		t.Errorf("calls %v", calls)
	}
	cache := rbac.NewCache(2, 600, r.clock.Now)
	for i := range 5 {
		_, _ = cache.Get(t.Context(), fmt.Sprint(i), func(context.Context) (string, int, error) { return "", 0, store.ErrForbidden })
		if entries, bytes := cache.Held(); entries != 1 || bytes > 600 {
			t.Errorf("%d answers of %d bytes are kept", entries, bytes)
		}
	}
}

// TestCallThatPanics checks that a panic is an error for all who wait for the call, and is not cached.
func TestCallThatPanics(t *testing.T) {
	cache := rbac.NewCache(2, 600, time.Now)
	if got, err := cache.Get(t.Context(), "a", func(context.Context) (string, int, error) { panic("a bug") }); got != "" || err == nil || !strings.Contains(err.Error(), "a bug") {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := cache.Get(t.Context(), "a", func(context.Context) (string, int, error) { return "v", 1, nil }); got != "v" || err != nil {
		t.Errorf("afterwards got %q, %v", got, err)
	}
}

func TestCacheBounds(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	for _, tc := range []struct {
		name           string
		entries, bytes int
		sizes          []int // of answers, each with a key of one byte
		want           string
		held           int
	}{
		{"one too large to keep", 4, 100, []int{100}, "", 0},
		{"one too large does not push others out", 4, 100, []int{9, 500, 9}, "ac", 20},
		{"too many", 2, 1000, []int{9, 9, 9, 9}, "cd", 20},
		{"too many bytes", 10, 25, []int{9, 9, 9}, "bc", 20},
		{"a large one for many small ones", 10, 25, []int{4, 4, 4, 22}, "d", 23},
		{"just fits", 2, 20, []int{9, 9}, "ab", 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := rbac.NewCache(tc.entries, tc.bytes, c.Now)
			keyOf := func(i int) string { return string(rune('a' + i)) }
			for i, size := range tc.sizes {
				got, err := cache.Get(t.Context(), keyOf(i), func(context.Context) (string, int, error) { return "v" + keyOf(i), size, nil })
				if got != "v"+keyOf(i) || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
			entries, held := cache.Held()
			if held != tc.held || entries != len(tc.want) {
				t.Errorf("%d answers of %d bytes are kept, want %d of %d", entries, held, len(tc.want), tc.held)
			}
			var kept []string
			for i := range tc.sizes {
				if _, err := cache.Get(t.Context(), keyOf(i), func(context.Context) (string, int, error) { return "", 0, errors.New("gone") }); err == nil {
					kept = append(kept, keyOf(i))
				}
			}
			if got := strings.Join(kept, ""); got != tc.want {
				t.Errorf("kept %q, want %q", got, tc.want)
			}
		})
	}
}

// TestCacheReplaces checks that a refreshed answer replaces the old one, whose size no longer counts.
func TestCacheReplaces(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	cache := rbac.NewCache(10, 1000, c.Now)
	for i := range 5 {
		want := fmt.Sprint(i)
		got, err := cache.Get(t.Context(), "k", func(context.Context) (string, int, error) { return want, 9, nil })
		if entries, bytes := cache.Held(); got != want || err != nil || entries != 1 || bytes != 10 {
			t.Errorf("round %d: %q, %v; %d answers of %d bytes", i, got, err, entries, bytes)
		}
		c.advance(rbac.Life)
	}
	_, err := cache.Get(t.Context(), "k", func(context.Context) (string, int, error) { return "x", 9, errors.New("down") })
	if entries, bytes := cache.Held(); err == nil || entries != 0 || bytes != 0 {
		t.Errorf("an error, or the old answer, is kept: %v; %d answers of %d bytes", err, entries, bytes)
	}
}

// TestCacheFlights checks concurrent callers: one call serves them, and a caller that goes away affects no other.
func TestCacheFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := rbac.NewCache(10, 1000, time.Now)
		calls, release := 0, make(chan struct{})
		fetch := func(ctx context.Context) (string, int, error) {
			calls++
			select {
			case <-release:
				return "v", 1, nil
			case <-ctx.Done():
				return "", 0, ctx.Err()
			}
		}
		leaving, leave := context.WithCancel(t.Context())
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			wg.Go(func() { _, errs[i] = cache.Get(ctx, "k", fetch) })
			synctest.Wait() // the first one makes the call
		}
		leave()
		synctest.Wait()
		if !errors.Is(errs[0], context.Canceled) {
			t.Errorf("who left got %v", errs[0])
		}
		close(release)
		wg.Wait()
		if i := slices.IndexFunc(errs[1:], func(err error) bool { return err != nil }); i >= 0 || calls != 1 {
			t.Errorf("%d calls; errors %v", calls, errs)
		}

		// A call that hangs ends by itself, and the next one fetches again.
		release = make(chan struct{})
		began := time.Now()
		_, err := cache.Get(t.Context(), "hangs", fetch)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 30*time.Second {
			t.Errorf("a call that hangs: %v after %v", err, took)
		}
		close(release)
		if got, err := cache.Get(t.Context(), "hangs", fetch); got != "v" || err != nil {
			t.Errorf("the next one: %q, %v", got, err)
		}

		// An answer's age counts from its request.
		slow := func(context.Context) (string, int, error) { time.Sleep(20 * time.Second); return "old", 1, nil }
		if _, err := cache.Get(t.Context(), "slow", slow); err != nil {
			t.Error(err)
		}
		time.Sleep(rbac.Life - 20*time.Second)
		got, err := cache.Get(t.Context(), "slow", func(context.Context) (string, int, error) { return "new", 1, nil })
		if got != "new" || err != nil {
			t.Errorf("a minute after the question: %q, %v", got, err)
		}
	})
}

// TestStampede checks that concurrent callers with an empty cache cause one call of each kind.
func TestStampede(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	var mu sync.Mutex
	seen := map[string]int{}
	gate := make(chan struct{})
	a := answering(t, c, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path+r.URL.Query().Get("$filter")]++
		mu.Unlock()
		<-gate
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"value":[]}`))
	})
	const callers = 64
	var started, done sync.WaitGroup
	started.Add(callers)
	for range callers {
		done.Go(func() {
			started.Done()
			if got, err := a.Missing(t.Context(), caller(ann), web, initiate); got != initiate || err != nil {
				t.Errorf("missing %q, %v", got, err)
			}
		})
	}
	started.Wait()
	close(gate)
	done.Wait()
	if len(seen) != 2 {
		t.Errorf("calls: %v", seen)
	}
	for call, n := range seen {
		if n != 1 {
			t.Errorf("%d calls of %s", n, call)
		}
	}
}
