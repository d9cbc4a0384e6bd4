package access

import (
	"context"
	"errors"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/round"
	"portcullis/core/store"
)

// tries counts who is opening a grant in this process. Its zero value is empty.
type tries struct {
	mu sync.Mutex
	by map[string]*try // by grant
}

// try is the tries of one grant.
type try struct {
	ours bool // this process has stored the grant, and nothing has come of it yet
	n    int  // under way
}

// stored notes that this process has stored a grant, which is about to be opened.
func (t *tries) stored(grant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(grant).ours = true
}

// begin begins a try, and reports whether this process has stored the grant.
func (t *tries) begin(grant string) (ours bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of(grant)
	of.n++
	return of.ours
}

// end ends a try. It reports whether it is the last one of a grant that this process has stored, and none was confirmed: then it undoes it.
func (t *tries) end(grant string, confirmed bool) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of(grant)
	of.n--
	of.ours = of.ours && !confirmed
	if of.n > 0 {
		return false
	}
	delete(t.by, grant)
	return of.ours
}

func (t *tries) of(grant string) *try {
	if t.by == nil {
		t.by = map[string]*try{}
	}
	if t.by[grant] == nil {
		t.by[grant] = &try{}
	}
	return t.by[grant]
}

// errCompleted: another try has opened the grant meanwhile.
var errCompleted = errors.New("opened meanwhile")

// completed gives a grant that another try has opened meanwhile, and else why this one failed.
func (s *Service) completed(ctx context.Context, id string, cause error) (store.GrantRecord, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmadeWait)
	defer cancel()
	rec, err := s.Grants.Grant(ctx, id)
	if err != nil || !rec.Grant.AnyOpen(s.now()) {
		return store.GrantRecord{}, cause
	}
	return rec, nil
}

// abandon undoes an opening that nobody has completed, and gives the error that was its cause; a grant that another try has opened is given
// as it is. It has its own time, since the caller's may be what ran out. Its own failure is not reported: the grant then ends by
// [jit.OpeningTimeout], and the sweep sees to it.
func (s *Service) abandon(ctx context.Context, who jit.Caller, rec store.GrantRecord, cause error) (store.GrantRecord, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.abandonTimeout(rec.Targets()))
	defer cancel()
	targets := rec.Targets()
	rec, err := store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		now := s.now()
		switch {
		case g.Grant.Closed():
			return g, false, errClosed
		case g.Grant.AnyOpen(now):
			return g, false, errCompleted
		}
		g.Grant, g.Failed = g.Grant.Revoke(now, jit.OpeningFailed), store.Publicly(cause)
		return g.Intend(who, store.OpOpen, store.Failed, g.Failed, now), true, nil
	})
	switch {
	case errors.Is(err, errCompleted):
		return rec, nil
	case errors.Is(err, errClosed): // by others, and what this opening wrote may have come after
		_, _ = s.Rounds.ReconcileAll(ctx, targets, round.Want{Grant: rec.Grant.ID})
	case err == nil:
		_, _ = s.Rounds.Close(ctx, rec, round.Want{})
	}
	if err != nil && jit.Refused(cause) != nil { // the line of an opening that failed goes with its undoing
		cause = s.LogRefusedGrant(ctx, who, store.OpRequest, rec.Grant, cause)
	}
	return store.GrantRecord{}, cause
}

// abandonTimeout bounds the undoing of an opening that failed: as little as half a round of the
// slowest kind concerned, since what it does not come to is the sweep's.
func (s *Service) abandonTimeout(targets []jit.ID) time.Duration {
	return max(time.Minute, s.Kinds.Slowest(targets, func(k network.TargetKind) time.Duration { return k.Round })/2)
}
