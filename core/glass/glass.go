package glass

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// The refusals of break-glass.
const (
	CodeNotPermitted  jit.Code = "BreakGlassNotPermitted" // without the app role
	CodeTooLong       jit.Code = "BreakGlassOverMaximum"  // longer than break-glass may last, from the start
	CodeReviewOwed    jit.Code = "ReviewOwed"             // an earlier one of the same person has no review yet
	CodeStillOpen     jit.Code = "BreakGlassStillOpen"    // a review before the end
	CodeOwnReview     jit.Code = "OwnReview"              // a review by who broke the glass
	CodeNotPerson     jit.Code = "ReviewerNotPerson"      // a review by an application
	CodeReviewWritten jit.Code = "ReviewWritten"          // a second review
	CodeReviewNotOwed jit.Code = "ReviewNotOwed"          // a review of a request that is no break-glass, or whose opening failed
)

// The bounds of [Rule.Most].
const (
	Shortest = jit.MinMaximum
	Default  = time.Hour
	Longest  = jit.MaxMaximum
)

// Rule is break-glass in one installation. The zero value lets nobody.
type Rule struct {
	Reviews store.Reviews
	Grants  store.Grants
	Most    time.Duration // how long a window may last, counted from its start, whatever the policy allows
}

// May refuses unless the caller has the app role. A request that is no break-glass needs none.
func (r Rule) May(who jit.Caller, kind jit.BreakGlass) error {
	if kind == jit.NoBreakGlass || r.Most > 0 && r.Reviews != nil && who.ID != "" && who.Roles.BreakGlass {
		return nil
	}
	return &jit.Error{Code: CodeNotPermitted, Target: "breakGlass", Message: who.Name + " does not have the app role " + jit.RoleBreakGlass + ", without which nobody opens past an approval; ask for what needs an approval, or for the role and a new token"}
}

// Policies gives the policy of a machine, and whether it has one.
type Policies func(vm jit.ID) (jit.Policy, bool)

// Within decides about windows by policies whose maxima are no longer than break-glass may last. It refuses with [CodeTooLong] what only that
// forbids. What is no break-glass is decided by the policies as they are.
func (r Rule) Within(kind jit.BreakGlass, policies Policies, decide func(Policies) (jit.Grant, error)) (jit.Grant, error) {
	if kind == jit.NoBreakGlass {
		return decide(policies)
	}
	g, err := decide(func(vm jit.ID) (jit.Policy, bool) {
		p, ok := policies(vm)
		return p.AtMost(r.Most), ok
	})
	refused := jit.Refused(err)
	if refused == nil || refused.Code != jit.CodeDurationOverMaximum {
		return g, err
	}
	if _, by := decide(policies); jit.Refused(by) != nil && jit.Refused(by).Code == jit.CodeDurationOverMaximum {
		return g, by // the policy itself
	}
	return g, &jit.Error{Code: CodeTooLong, Target: refused.Target, Message: "break-glass lasts " + jit.Length(r.Most) + " at most, from its start; ask for less, and for an approval meanwhile"}
}

// Free returns the record of a new grant as it may be stored as far as reviews go, and refuses with [CodeReviewOwed] while its requestor owes one.
func (r Rule) Free(ctx context.Context, rec store.GrantRecord, now time.Time) (store.GrantRecord, error) {
	if rec.Grant.BreakGlass == jit.NoBreakGlass {
		return rec, nil
	}
	owed, err := r.Reviews.OwedBy(ctx, rec.Grant.RequestorID)
	if errors.Is(err, store.ErrNotFound) {
		return rec, nil
	}
	if err != nil {
		return rec, fmt.Errorf("find out whether a review is owed: %w", err)
	}
	void, err := r.void(ctx, owed, now)
	if err != nil {
		return rec, err
	}
	if !void {
		return rec, &jit.Error{Code: CodeReviewOwed, Target: "breakGlass", Message: fmt.Sprintf("the break-glass of %s, request %s, has no review yet: somebody else has to write what happened before you may do it again", owed.Since.Format(time.RFC3339), owed.Grant)}
	}
	rec.Settles = owed.Version
	return rec, nil
}

// void reports whether a review is not owed any more: the opening failed, was undone by who tried it, and was never confirmed. Whoever has an emergency
// may then try again at once.
func (r Rule) void(ctx context.Context, owed store.Review, now time.Time) (bool, error) {
	if owed.BreakGlass != jit.BreakGlassOpens {
		return false, nil
	}
	rec, err := r.Grants.Grant(ctx, owed.Grant)
	if err != nil {
		return false, fmt.Errorf("read the break-glass that a review is owed for: %w", err)
	}
	return rec.Failed != "" && rec.Grant.NeverOpened(now), nil
}

// Of returns the review of a grant, owed or written, and whether there is one.
func (r Rule) Of(ctx context.Context, g jit.Grant) (store.Review, bool, error) {
	if g.BreakGlass == jit.NoBreakGlass || r.Reviews == nil {
		return store.Review{}, false, nil
	}
	// What is owed first: what is not owed any more by then is written.
	review, err := r.Reviews.OwedBy(ctx, g.RequestorID)
	if errors.Is(err, store.ErrNotFound) || err == nil && review.Grant != g.ID {
		review, err = r.Reviews.WrittenReview(ctx, g.ID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return store.Review{}, false, nil
	}
	if err != nil {
		return store.Review{}, false, fmt.Errorf("read the review: %w", err)
	}
	return review, true, nil
}

// Owing returns the reviews that are owed, oldest first, and removes those that are not any more, unless dry.
func (r Rule) Owing(ctx context.Context, now time.Time, dry bool) ([]store.Review, error) {
	if r.Reviews == nil {
		return nil, nil
	}
	all, err := r.Reviews.OwedReviews(ctx)
	if err != nil {
		return nil, err
	}
	var out []store.Review
	var errs []error
	for _, owed := range all {
		void, err := r.void(ctx, owed, now)
		if err == nil && void && !dry {
			err = r.Reviews.DropReview(ctx, owed)
		}
		if err != nil && !errors.Is(err, store.ErrConflict) {
			errs = append(errs, err)
		}
		if !void {
			out = append(out, owed)
		}
	}
	return out, errors.Join(errs...)
}
