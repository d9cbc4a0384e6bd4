package access

import (
	"context"
	"time"

	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// PreviewRevoke tells what [Service.Revoke] would do: the grant as it would be, and the changes of the rules. A grant that is
// closed already stays as it is. It writes nothing.
func (s *Service) PreviewRevoke(ctx context.Context, id string) (store.GrantRecord, []preview.Change, error) {
	rec, err := s.Find(ctx, id)
	if err != nil || rec.Grant.Closed() {
		return rec, nil, err
	}
	return s.previewChanged(ctx, rec, rec.Grant.Revoke(s.now(), jit.UserRequested))
}

// PreviewExtend tells what [Service.Extend] would do: the grant as it would be, and the changes of the rules. It refuses
// what Extend refuses, and writes nothing.
func (s *Service) PreviewExtend(ctx context.Context, id string, duration time.Duration, end time.Time) (store.GrantRecord, []preview.Change, error) {
	rec, err := s.Find(ctx, id)
	if err != nil {
		return rec, nil, err
	}
	after, err := s.extended(ctx, rec, duration, end, s.now())
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	return s.previewChanged(ctx, rec, after)
}

// previewChanged tells what the rules would be if a stored grant was changed.
func (s *Service) previewChanged(ctx context.Context, rec store.GrantRecord, after jit.Grant) (store.GrantRecord, []preview.Change, error) {
	changes, err := preview.Standing(ctx, s.Rounds, rec.Targets(), func(state *roster.State) {
		for i := range state.Openings {
			if state.Openings[i].Grant.ID == after.ID {
				state.Openings[i].Grant = after
			}
		}
	})
	rec.Grant = after
	return rec, changes, err
}
