package gather

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// shelf is a store of targets that tells what it was asked. What a target shows is when it was read.
type shelf struct {
	store.Targets
	mu      sync.Mutex
	reads   [][]string
	takes   time.Duration
	refuses error // what reading many comes to
	panics  bool
	short   bool // a read of many gives one too few
}

var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble

func shown(target jit.ID) roster.State {
	return roster.State{Known: true, Confirmed: append(make([]string, 0, 8), target.Name, time.Since(begin).String()), Openings: make([]roster.Opening, 1, 8)}
}

func (s *shelf) asked(targets ...jit.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
	}
	s.reads = append(s.reads, slices.Sorted(slices.Values(names)))
}

func (s *shelf) State(ctx context.Context, target jit.ID) (roster.State, error) {
	s.asked(target)
	out := shown(target)
	time.Sleep(s.takes)
	return out, ctx.Err()
}

func (s *shelf) States(ctx context.Context, targets []jit.ID) ([]roster.State, error) {
	s.asked(targets...)
	if s.panics {
		panic("read")
	}
	var out []roster.State
	for _, t := range targets {
		out = append(out, shown(t))
	}
	if s.short {
		out = out[1:]
	}
	time.Sleep(s.takes)
	return out, errors.Join(s.refuses, ctx.Err())
}

func nsg(n int) jit.ID {
	return jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeNSG, Name: fmt.Sprintf("nsg%04d", n)}
}

// ask has one goroutine for each target ask for it, and waits for all.
func ask(t *testing.T, g *Targets, ctx context.Context, targets ...jit.ID) []roster.State {
	out := make([]roster.State, len(targets))
	var all sync.WaitGroup
	for i, of := range targets {
		all.Go(func() {
			var err error
			if out[i], err = g.State(ctx, of); err != nil {
				t.Errorf("state of %s: %v", of.Name, err)
			}
			if len(out[i].Confirmed) == 0 || out[i].Confirmed[0] != of.Name {
				t.Errorf("asked for %s and got %+v", of.Name, out[i])
			}
		})
	}
	all.Wait()
	return out
}

// TestTogether: who asks as one of many shares one read; who does not reads at once, by itself.
func TestTogether(t *testing.T) {
	for _, row := range []struct {
		name    string
		many    int
		targets []jit.ID
		reads   int
		took    time.Duration
	}{
		{"one of one", 1, []jit.ID{nsg(1)}, 1, 0},
		{"two who know nothing of each other", 1, []jit.ID{nsg(1), nsg(2)}, 2, 0},
		{"two of two", 2, []jit.ID{nsg(1), nsg(2)}, 1, moment},
		{"one target twice", 2, []jit.ID{nsg(1), nsg(1)}, 2, moment}, // one by itself each
		{"one target twice among others", 3, []jit.ID{nsg(1), nsg(1), nsg(2)}, 1, moment},
		{"one of many who comes alone", 5, []jit.ID{nsg(1)}, 1, moment},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shelf{}
				began := time.Now()
				ask(t, &Targets{Targets: s}, Many(t.Context(), row.many), row.targets...)
				if len(s.reads) != row.reads || time.Since(began) != row.took {
					t.Errorf("reads %v, after %v; want %d after %v", s.reads, time.Since(began), row.reads, row.took)
				}
			})
		})
	}
}

// TestNoneIsOlder: what an ask gets was read after it asked, also where a read of the same target is under way.
func TestNoneIsOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{takes: time.Second}
		g := &Targets{Targets: s}
		ctx := Many(t.Context(), 2)
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 300 * time.Microsecond)
				asked := time.Since(begin)
				state, err := g.State(ctx, nsg(n%3))
				if err != nil {
					t.Error(err)
					return
				}
				if read, err := time.ParseDuration(state.Confirmed[1]); err != nil || read < asked || read > asked+moment {
					t.Errorf("asked at %v, read at %v, %v", asked, read, err)
				}
			})
		}
		all.Wait()
	})
}

// TestNobodySharesASlice: what one asker does to what it got is not seen by another.
func TestNobodySharesASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := ask(t, &Targets{Targets: &shelf{}}, Many(t.Context(), 3), nsg(1), nsg(1), nsg(2))
		got[0].Openings[0].Grant.ID, got[0].Confirmed[0] = "changed", "changed"
		_ = append(got[0].Openings, roster.Opening{Grant: jit.Grant{ID: "added"}})
		if got[1].Openings[0].Grant.ID != "" || got[1].Confirmed[0] != nsg(1).Name || got[1].Openings[:cap(got[1].Openings)][len(got[1].Openings)-1].Grant.ID == "added" {
			t.Errorf("the other sees %+v", got[1])
		}
	})
}

// TestEachByItself: where many cannot be read, each asker reads for itself, and gets its own error or none.
func TestEachByItself(t *testing.T) {
	for name, s := range map[string]*shelf{"it fails": {refuses: errors.New("one cannot be read")}, "it panics": {panics: true}, "it gives too few": {short: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ask(t, &Targets{Targets: s}, Many(t.Context(), 3), nsg(1), nsg(2), nsg(3))
				if len(s.reads) != 4 {
					t.Errorf("reads %v, want one of many and three", s.reads)
				}
			})
		})
	}
}

// TestWhoLeaves: an asker whose time is over goes, and the others get what they asked for, also where it came first. A read that hangs ends.
func TestWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{takes: time.Second}
		g := &Targets{Targets: s}
		gone, leave := context.WithCancel(Many(t.Context(), 2))
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := g.State(gone, nsg(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() { ask(t, g, Many(t.Context(), 2), nsg(2), nsg(3)) })
		synctest.Wait()
		leave()
		all.Wait()
		if len(s.reads) != 1 {
			t.Errorf("reads %v", s.reads)
		}
		s.takes = 2 * longest
		began := time.Now()
		ask(t, g, Many(t.Context(), 2), nsg(2), nsg(3)) // it came too late, and each reads for itself
		if took := time.Since(began); took > 5*longest || len(s.reads) != 4 {
			t.Errorf("took %v, reads %v", took, s.reads)
		}
	})
}

// TestMostAtOnce: asks beyond what one read takes begin the next, and do not wait for the moment's end.
func TestMostAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		var targets []jit.ID
		for n := range 2*most + 2 {
			targets = append(targets, nsg(n))
		}
		ask(t, &Targets{Targets: s}, Many(t.Context(), len(targets)), targets...)
		var sizes []int
		for _, r := range s.reads {
			sizes = append(sizes, len(r))
		}
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{2, most, most}) {
			t.Errorf("reads of %v", sizes)
		}
	})
}
