package handlers

import (
	"context"
	"net/http"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/wire"
)

// review writes what happened after a break-glass: POST /api/requests/{id}/review[?dryRun=true]. It is somebody else's, and there is one.
func (s *server) review(w http.ResponseWriter, r call) error {
	id, err := grantID(r)
	if err != nil {
		return err
	}
	var body wire.ReviewBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	verb, dry := s.app.Access.Review, r.query.Flag("dryRun")
	if dry {
		verb = s.app.Access.PreviewReview
	}
	rec, review, err := verb(r.Context(), r.who, id, body.Review)
	if err != nil {
		return err
	}
	answer := wire.ToGrant(rec)
	answer.DryRun, answer.Review = dry, wire.ToReview(review, true)
	wire.Write(w, http.StatusOK, answer)
	return nil
}

// reviewed writes a request as its caller is shown it, with the review of a break-glass.
func (s *server) reviewed(ctx context.Context, rec store.GrantRecord) (wire.GrantAnswer, error) {
	answer := wire.ToGrant(rec)
	if rec.Grant.BreakGlass == jit.NoBreakGlass {
		return answer, nil
	}
	review, known, err := s.app.Access.ReviewOf(ctx, rec.Grant)
	answer.Review = wire.ToReview(review, known)
	return answer, err
}
