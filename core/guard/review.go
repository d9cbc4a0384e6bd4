package guard

import (
	"context"

	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// Review is [access.Service.Review] by another person: one who may write policies at every machine of the request, or who has the app role
// [jit.RoleApprover] and may read every machine. Nobody reviews his own, whatever he may. A refusal is logged.
func (g *Verbs) Review(ctx context.Context, who jit.Caller, id, text string) (store.GrantRecord, store.Review, error) {
	rec, text, err := g.mayReview(ctx, who, id, text)
	var review store.Review
	if err == nil {
		review, err = g.Service.Review(ctx, who, rec.Grant, text)
	}
	if jit.Refused(err) != nil {
		err = g.Service.LogRefusedGrant(ctx, who, store.OpReview, rec.Grant, err)
	}
	if err != nil {
		return store.GrantRecord{}, store.Review{}, err
	}
	shown, err := g.Permit.VisibleRecord(ctx, who, rec)
	return shown, review, err
}

// PreviewReview refuses what [Verbs.Review] refuses, and gives the request and its review as it stands. Nothing is written, a refusal included.
func (g *Verbs) PreviewReview(ctx context.Context, who jit.Caller, id, text string) (store.GrantRecord, store.Review, error) {
	rec, _, err := g.mayReview(ctx, who, id, text)
	if err != nil {
		return store.GrantRecord{}, store.Review{}, err
	}
	review, err := g.Service.Reviewable(ctx, who, rec.Grant)
	if err != nil {
		return store.GrantRecord{}, store.Review{}, err
	}
	shown, err := g.Permit.VisibleRecord(ctx, who, rec)
	return shown, review, err
}

// mayReview gives the grant and the text as it is stored, and refuses unless the caller may write it. What he may not know of comes with an
// empty grant.
func (g *Verbs) mayReview(ctx context.Context, who jit.Caller, id, text string) (store.GrantRecord, string, error) {
	text, err := jit.Review(text)
	if err != nil {
		return store.GrantRecord{}, "", err
	}
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return store.GrantRecord{}, "", err
	}
	switch {
	case samePerson(who, rec.Grant):
		err = &jit.Error{Code: glass.CodeOwnReview, Target: "id", Message: "the request is your own; somebody else has to write what happened"}
	case who.Kind != jit.Person:
		err = &jit.Error{Code: glass.CodeNotPerson, Target: "id", Message: "an application cannot say what happened; a person has to"}
	case who.Roles.Approver:
		err = g.Permit.MayStored(ctx, who, permit.VerbRead, permit.ScopesOf(rec.Grant.Machines())...)
	default:
		err = g.unnamed(ctx, who, g.Permit.MayStored(ctx, who, permit.VerbReview, permit.ScopesOf(rec.Grant.Machines())...))
	}
	return rec, text, err
}

// samePerson reports whether the grant was asked for by this caller, by the object id alone: the name may have changed.
func samePerson(who jit.Caller, grant jit.Grant) bool {
	return owns(who, grant) || who.Actor().Object != "" && who.Actor().Object == jit.Caller{ID: grant.RequestorID}.Actor().Object
}

// ReviewOf gives the review of a request that the caller was shown, owed or written, and whether there is one.
func (g *Verbs) ReviewOf(ctx context.Context, shown jit.Grant) (store.Review, bool, error) {
	return g.Service.Glass.Of(ctx, shown)
}
