package telemetry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Sweeps writes what the alert rules look for: one line "sweep" for each sweep
// that ended, with how many findings of each kind it has, and one line "finding" for each that
// somebody should act on, up to a hundred. Then it states where the chains of the activity log end: see [Telemetry] and doc.go.
func (t *Telemetry) Sweeps(s store.Sweeps, log store.Heads) store.Sweeps {
	return &sweeps{Sweeps: s, t: t, log: log, stated: map[chain]statement{}}
}

type sweeps struct {
	store.Sweeps
	t   *Telemetry
	log store.Heads

	mu     sync.Mutex // for what follows, and so that statements stand in the order of their looks
	stated map[chain]statement
}

// Urgent reports whether findings of a kind get a line of their own, which an alert looks for: what stands open that should not, and
// what the app cannot put right by itself, or has closed in the middle of somebody's work. Of the others somebody reads in the result of the sweep.
func Urgent(k store.FindingKind) bool {
	return slices.Contains([]store.FindingKind{store.FindingOverdue, store.FindingOpeningFailed, store.FindingLost, store.FindingBroken, store.FindingRightLost, store.FindingBeyond, store.FindingVMMoved, store.FindingEnded, store.FindingLogBroken}, k)
}

const maxLines = 100

// PutSweep implements [store.Sweeps].
func (s *sweeps) PutSweep(ctx context.Context, r store.SweepRecord) error {
	err := s.Sweeps.PutSweep(ctx, r)
	if r.Ended.IsZero() || err != nil { // it runs still, or is not the heartbeat that it seems
		return err
	}
	kinds, lines := map[string]int{}, 0
	id := s.t.invocation(ctx)
	for _, f := range r.Findings {
		kinds[string(f.Kind)]++
		if Urgent(f.Kind) && lines < maxLines {
			lines++
			s.t.log.WarnContext(ctx, "finding", "invocation", id, "kind", string(f.Kind), "target", text(f.Target), "virtualMachine", text(f.VM), "request", f.Grant, "since", f.Since.UTC())
		}
	}
	s.t.log.InfoContext(ctx, "sweep", "invocation", id, "complete", !r.Completed.IsZero() && r.Completed.Equal(r.Ended), "took", r.Ended.Sub(r.Started),
		"targets", r.Targets, "changed", r.Changed, "closed", r.Closed, "findings", kinds, "error", r.Error)
	s.state(ctx, id)
	return nil
}

// chain names a chain of the activity log: its UTC day, and its subscription, "none" for the entries that concern none.
type chain struct{ day, subscription string }

// statement is what was stated last of a chain.
type statement struct {
	store.Head
	at    time.Time
	again bool // twice
}

// settled is after how long a head that stayed the same is stated once more: infra/deploy/queries/rewound.kql lets fewer entries pass for ten minutes
// after more, which two sweeps at once may state in either order. Without it a chain that is put back in that time and
// then rests would never show there.
const settled = 11 * time.Minute

// headsTimeout bounds the two looks at heads: a sweep whose time is over states them all the same.
const headsTimeout = 10 * time.Second

// state writes a line "chain head" for every chain of today and yesterday whose head is not what this process stated last, or was stated once
// and has settled: an entry of yesterday may have been written after the last sweep before midnight. A chain that is gone is stated with no entries.
func (s *sweeps) state(ctx context.Context, invocation string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), headsTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	today := s.t.now().UTC()
	found, days := map[chain]store.Head{}, map[string]bool{}
	for _, on := range []time.Time{today.AddDate(0, 0, -1), today} {
		day := on.Format(time.DateOnly)
		heads, more, err := s.log.Heads(ctx, on)
		if err != nil {
			s.t.log.ErrorContext(ctx, "chain heads are not stated", "invocation", invocation, "day", day, "error", err.Error())
			continue
		}
		if more {
			s.t.log.ErrorContext(ctx, "there are more chains than are stated", "invocation", invocation, "day", day, "stated", len(heads))
		}
		days[day] = true
		for _, h := range heads {
			found[chain{day, cmp.Or(h.Subscription, "none")}] = h.Head
		}
	}
	maps.DeleteFunc(s.stated, func(c chain, _ statement) bool {
		if _, there := found[c]; days[c.day] && !there {
			found[c] = store.Head{}
		}
		return c.day < today.AddDate(0, 0, -1).Format(time.DateOnly)
	})
	for _, c := range slices.SortedFunc(maps.Keys(found), func(a, b chain) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.subscription, b.subscription))
	}) {
		h, was := found[c], s.stated[c]
		same := was.Head == h && !was.at.IsZero()
		if same && (was.again || today.Before(was.at.Add(settled))) {
			continue
		}
		s.t.log.InfoContext(ctx, "chain head", "invocation", invocation, "day", c.day, "subscription", c.subscription, "entries", h.Entries, "head", h.Hash)
		s.stated[c] = statement{Head: h, at: today, again: same}
	}
}

func text(id jit.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}
