package round

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// settle stores confirmed closings: first their entries and intents in the log, then one transaction for many. After a
// conflict it handles each by itself. Without the log they stay marked to close, with their intents, and later tries log them.
func (s *Rounds) settle(ctx context.Context, gone []*closing) error {
	return parallel.Each(batches(gone), func(_ int, batch []*closing) error {
		var entries []store.Entry
		recs := make([]store.GrantRecord, len(batch))
		for i, k := range batch {
			recs[i] = k.rec
			recs[i].Grant, recs[i].Intents = k.rec.Grant.Settled(k.at), nil
			entries = append(entries, k.stoodEntries()...)
			entries = append(entries, store.ClosedEntries(k.rec.Grant, recs[i].Grant, s.now())...)
		}
		err := s.log(ctx, batch, entries)
		if err != nil {
			for _, k := range batch {
				s.settled(ctx, k, nil, err)
			}
			return nil
		}
		updated, err := s.Grants.UpdateGrants(ctx, recs...)
		for i, k := range batch {
			switch {
			case err == nil:
				s.settled(ctx, k, updated[i:], nil)
			case errors.Is(err, store.ErrConflict) && len(batch) > 1: // one of them was changed by others, which is no conflict of the rest
				one, err := s.Grants.UpdateGrants(ctx, recs[i])
				s.settled(ctx, k, one, err)
			default:
				s.settled(ctx, k, nil, err)
			}
		}
		return nil
	})
}

// settled ends a closing whose write has ended: updated begins with its grant as stored. Where others came first, it begins again.
func (s *Rounds) settled(ctx context.Context, k *closing, updated []store.GrantRecord, err error) {
	switch {
	case err == nil:
		s.closings.stored(k)
		s.closings.end(k, updated[0], nil)
	case errors.Is(err, store.ErrConflict):
		s.again(ctx, k)
	default:
		s.closings.end(k, k.rec, fmt.Errorf("store grant %s as closed: %w", k.rec.Grant.ID, err))
	}
}

// again closes what is still due of a grant that others have changed.
func (s *Rounds) again(ctx context.Context, k *closing) {
	rec, err := s.Grants.Grant(ctx, k.rec.Grant.ID)
	if err != nil || !rec.Grant.Overdue(s.now()) {
		s.closings.end(k, rec, err)
		return
	}
	if k.tries++; k.tries >= store.Attempts {
		s.closings.end(k, rec, store.ChangedByOthers(rec, store.ErrConflict))
		return
	}
	k.rec = rec
	s.begin(ctx, []*closing{k})
}
