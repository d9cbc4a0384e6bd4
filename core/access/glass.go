package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/decide"
	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/round"
	"portcullis/core/store"
)

// drilled returns the record of a drill as it is stored: it stands nowhere and replaces nothing. Any other record is returned as it is.
func drilled(rec store.GrantRecord) store.GrantRecord {
	if rec.Grant.BreakGlass == jit.BreakGlassDrill {
		rec.Grant, rec.Placements, rec.Replaces, rec.Connect = rec.Grant.Drilled(), nil, nil, nil
	}
	return rec
}

// granted returns the grant that the policies allow for a request, for no longer than break-glass may last where it is one.
func (s *Service) granted(policy glass.Policies, r decide.ValidRequest, id string, now time.Time) (jit.Grant, error) {
	return s.Glass.Within(r.Request().BreakGlass, policy, func(policy glass.Policies) (jit.Grant, error) {
		return decide.Request(policy, s.Floor, r, id, now)
	})
}

// changesOf returns what a request would change: nothing for a drill, which was looked at as if it opened.
func changesOf(rec store.GrantRecord, outs []round.Outcome) []preview.Change {
	if rec.Grant.BreakGlass == jit.BreakGlassDrill {
		return nil
	}
	return preview.Of(outs)
}

// outrun returns why a grant could not be stored although no key names another: the requestor has broken the glass twice at once, or others are
// always first.
func (s *Service) outrun(ctx context.Context, who jit.Caller, rec store.GrantRecord) error {
	if _, err := s.Glass.Free(ctx, rec, s.now()); err != nil {
		if jit.Refused(err) != nil {
			err = s.LogRefusedGrant(ctx, who, store.OpRequest, rec.Grant, err)
		}
		return err
	}
	return busyRequest()
}

// Reviewable refuses unless a review of the grant may be written now, and returns what is owed. It returns what the caller has written already, and
// refuses what others have.
func (s *Service) Reviewable(ctx context.Context, who jit.Caller, g jit.Grant) (store.Review, error) {
	review, known, err := s.Glass.Of(ctx, g)
	switch {
	case err != nil:
		return review, err
	case !known:
		return review, &jit.Error{Code: glass.CodeReviewNotOwed, Target: "id", Message: "nobody has to write what happened: the request is no break-glass, or one whose opening failed"}
	case !review.Owed() && review.ReviewerID != who.ID:
		return review, reviewWritten(review)
	case review.Owed() && g.Overdue(s.now()), review.Owed() && g.AnyLive(s.now()):
		return review, &jit.Error{Code: glass.CodeStillOpen, Target: "id", Message: "it is not over yet; write what happened once every port is closed"}
	}
	return review, nil
}

func reviewWritten(r store.Review) error {
	return &jit.Error{Code: glass.CodeReviewWritten, Target: "id", Message: "what happened is written already, by " + r.Reviewer}
}

// Review stores what somebody else has written about a break-glass, once. The log comes first; where the review is not stored, it says that too. The
// same text of the same caller again changes nothing.
func (s *Service) Review(ctx context.Context, who jit.Caller, g jit.Grant, text string) (store.Review, error) {
	review, err := s.Reviewable(ctx, who, g)
	if err != nil {
		return review, err
	}
	if !review.Owed() {
		if review.Text != text {
			return review, reviewWritten(review)
		}
		return review, nil
	}
	now := s.now()
	review.Text, review.Reviewer, review.ReviewerID, review.At = text, who.Name, who.ID, now
	if err := s.Activity.Append(ctx, s.reviewEntries(who, store.Succeeded, g, text)...); err != nil {
		return review, fmt.Errorf("write the activity log: %w", err)
	}
	err = s.Glass.Reviews.WriteReview(ctx, review)
	if err == nil {
		return review, nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), unmadeWait)
	defer cancel()
	_ = s.Activity.Append(bounded, s.reviewEntries(who, store.Failed, g, "not stored: "+store.Publicly(err))...)
	if errors.Is(err, store.ErrConflict) {
		err = &jit.Error{Code: glass.CodeReviewWritten, Target: "id", Message: "somebody else has written what happened at this moment"}
	}
	return review, err
}

// reviewEntries returns the entries of one try to store a review.
func (s *Service) reviewEntries(who jit.Caller, result store.Result, g jit.Grant, text string) []store.Entry {
	entries, try := store.GrantEntries(who, store.OpReview, result, g, s.now()), s.NewID()
	for i := range entries {
		entries[i].ID, entries[i].Message, entries[i].Reason = entries[i].ID+"/"+try, text, ""
	}
	return entries
}
