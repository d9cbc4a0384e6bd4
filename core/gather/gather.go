// Package gather reads together what is stored of targets that many ask for at the same time, as the rounds of one wide request do.
package gather

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// Who asks as one of many waits for a moment for the others. That is little beside a write of rules, which takes seconds. Most asks do not wait for the
// moment's end. A read that is shared has none of its askers' ends, and takes so long at most.
const (
	few     = 2 // fewer targets are not gathered
	moment  = 2 * time.Millisecond
	most    = 1000
	longest = 45 * time.Second
)

type key struct{}

// Many says to what is done in its context that it is work on so many targets at once.
func Many(ctx context.Context, targets int) context.Context {
	if targets < few {
		return ctx
	}
	return context.WithValue(ctx, key{}, true)
}

// Targets is the targets of a store, whose State is read together for those who ask within [Many]; others read by themselves, at once. It remembers
// nothing: every read begins after all who share it have asked, so that none gets what is older than its ask.
type Targets struct {
	store.Targets
	mu   sync.Mutex
	open *batch // which takes asks; nil for none
}

// batch is asks that share one read.
type batch struct {
	ids  []jit.ID
	at   map[string]int // by target
	full chan struct{}
	done chan struct{}
	read []roster.State // nil: each asker reads its own
}

// State is [store.Targets.State].
func (t *Targets) State(ctx context.Context, target jit.ID) (roster.State, error) {
	if many, _ := ctx.Value(key{}).(bool); !many {
		return t.Targets.State(ctx, target)
	}
	b, i := t.join(ctx, target)
	select {
	case <-b.done:
	case <-ctx.Done():
		return roster.State{}, ctx.Err()
	}
	if b.read == nil {
		return t.Targets.State(ctx, target)
	}
	s := b.read[i]
	return roster.State{Known: s.Known, Confirmed: slices.Clone(s.Confirmed), Policies: slices.Clone(s.Policies), Openings: slices.Clone(s.Openings)}, nil
}

// join adds an ask to those that wait, and returns its place.
func (t *Targets) join(ctx context.Context, target jit.ID) (*batch, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.open
	if b == nil {
		b = &batch{at: map[string]int{}, full: make(chan struct{}), done: make(chan struct{})}
		t.open = b
		go t.run(context.WithoutCancel(ctx), b)
	}
	i, known := b.at[target.Key()]
	if !known {
		i = len(b.ids)
		b.ids, b.at[target.Key()] = append(b.ids, target), i
	}
	if len(b.ids) == most {
		close(b.full)
		t.open = nil
	}
	return b, i
}

// run reads for a batch once its moment is over. Where that fails, each asker reads for itself: what is wrong with one target is no other's error.
func (t *Targets) run(ctx context.Context, b *batch) {
	defer close(b.done)
	timer := time.NewTimer(moment)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.full:
	}
	t.mu.Lock()
	if t.open == b {
		t.open = nil
	}
	t.mu.Unlock()
	if len(b.ids) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	_ = parallel.Recover(func() error {
		read, err := t.States(ctx, b.ids)
		if err == nil && len(read) != len(b.ids) {
			err = errors.New("states are missing")
		}
		if err == nil {
			b.read = read
		}
		return err
	})
}
