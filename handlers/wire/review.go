package wire

import (
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
)

// The states of a review.
const (
	reviewOwed    = "Owed"
	reviewWritten = "Written"
	reviewNotOwed = "NotOwed"
)

// ToReview writes the review of a break-glass, and what is owed nothing where none is known.
func ToReview(r store.Review, known bool) *api.Review {
	switch {
	case !known:
		return &api.Review{Status: reviewNotOwed}
	case r.Owed():
		return &api.Review{Status: reviewOwed}
	}
	return &api.Review{Status: reviewWritten, Text: r.Text, Reviewer: r.Reviewer, ReviewerID: jit.Caller{ID: r.ReviewerID}.Actor().Object, Time: Stamp(r.At)}
}
