package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Review is the review of one break-glass: owed from the write that stores its grant on, until somebody else writes it.
type Review struct {
	Grant       string
	RequestorID string // who broke the glass
	Requestor   string
	BreakGlass  jit.BreakGlass
	Since       time.Time // the start of the grant
	VM          jit.ID    // the first machine of the grant

	Text       string // what happened; "" while the review is owed
	Reviewer   string
	ReviewerID string
	At         time.Time // when it was written

	Version string // while it is owed
}

// Owed reports whether nobody has written it.
func (r Review) Owed() bool { return r.Text == "" }

// ReviewOf returns the review that a grant owes from its beginning on.
func ReviewOf(g jit.Grant) Review {
	r := Review{Grant: g.ID, RequestorID: g.RequestorID, Requestor: g.Requestor, BreakGlass: g.BreakGlass, Since: g.Start}
	if len(g.VMs) > 0 {
		r.VM = g.VMs[0].VM
	}
	return r
}

// Reviews stores reviews. One person owes at most one: [Grants.InsertGrant] stores the grant of a break-glass and its review in one
// transaction, and fails with ErrConflict where its requestor owes one, unless the grant says that it settles that one (see
// [GrantRecord.Settles]).
type Reviews interface {
	// OwedBy returns the review that a person owes, by the requestor's id; ErrNotFound.
	OwedBy(ctx context.Context, person string) (Review, error)
	// OwedReviews returns every review that is owed, oldest first.
	OwedReviews(ctx context.Context) ([]Review, error)
	// WrittenReview returns what was written about a grant; ErrNotFound.
	WrittenReview(ctx context.Context, grant string) (Review, error)
	// WriteReview stores a review as written, all of whose fields are set, in place of the one that is owed, by its Version. ErrConflict if
	// that is not owed any more.
	WriteReview(ctx context.Context, r Review) error
	// DropReview removes a review that is owed, by its Version: its break-glass has opened nothing. ErrConflict if it is not owed any more.
	DropReview(ctx context.Context, r Review) error
}
