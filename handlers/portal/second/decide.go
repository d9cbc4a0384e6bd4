package second

import (
	"context"
	"fmt"
	"net/http"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// decideView is a request that waits, for somebody who may approve or deny it.
type decideView struct {
	show.Grant
	Digest  string       // of what is shown: that, and nothing else, is approved
	Changes show.Changes // what opening it now would change
	Open    []string     // who has its machines open now
	Refused string       // why it cannot be approved now, "" where it can
	Reason  string       // of a denial, as it was typed
}

// Decide draws what there is to decide: GET /api/portal/requests/{id}/decide.
func (p Pages) Decide(c Call) error {
	return p.decision(c, http.StatusOK, "", form.Wrongs{})
}

// decision draws it with what was typed of a denial, and what is wrong with that.
func (p Pages) decision(c Call, status int, reason string, wrong form.Wrongs) error {
	rec, err := p.record(c)
	if err != nil {
		return err
	}
	if err := p.App.Approvals.MayDecide(c.Context(), c.Who, rec.Grant.ID); err != nil {
		return err
	}
	view := decideView{Grant: show.GrantOf(rec, c.Who, c.Now), Digest: access.Digest(rec.Grant), Reason: reason}
	view.Wrong = wrong
	if view.State == "scheduled" { // whom it needs have approved it; it can still be denied
		c.Draw(status, "decide", "Decide", view)
		return nil
	}
	decided, err := p.App.Approvals.PreviewApprove(c.Context(), c.Who, rec.Grant.ID, view.Digest)
	switch {
	case jit.Refused(err) != nil && view.Waits != "":
		view.Refused = words.Sentence(jit.Refused(err).Message)
	case err != nil:
		return err
	}
	view.Changes = show.Changes{Computed: true, Targets: show.TargetsOf(decided.Changes)}
	for _, h := range decided.Open {
		view.Open = append(view.Open, fmt.Sprintf("%s: port %d of %s from %s, until %s", h.Requestor, h.Window.Number, h.VM.Name, words.Sources(h.Window.Sources), words.When(h.Window.End)))
	}
	c.Draw(status, "decide", "Decide", view)
	return nil
}

// Approve approves exactly what was shown: POST /api/portal/requests/{id}/approve. With the last approval the ports are opened, and the page of the request
// looks how far that is.
func (p Pages) Approve(c Call) error {
	rec, err := p.record(c)
	if err != nil {
		return err
	}
	if rec, err = p.App.Approvals.Approve(c.Context(), c.Who, rec.Grant.ID, c.PostForm.Get("digest")); err != nil {
		return err
	}
	if rec.Grant.Status() == jit.Initiating {
		go p.released(context.WithoutCancel(c.Context()), c.Who, rec)
	}
	c.To("requests/" + rec.Grant.ID)
	return nil
}

// released opens a grant that everybody whom it needs has approved, by itself: the page of the request looks how far that is.
func (p Pages) released(ctx context.Context, who jit.Caller, rec store.GrantRecord) {
	if _, err := p.App.Desk.Open(ctx, rec); err != nil {
		p.Log.Warn("opening failed", "invocation", who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
	}
}

// Deny denies it, and says why: POST /api/portal/requests/{id}/deny.
func (p Pages) Deny(c Call) error {
	rec, err := p.record(c)
	if err != nil {
		return err
	}
	reason := c.PostForm.Get("reason")
	_, err = p.App.Approvals.Deny(c.Context(), c.Who, rec.Grant.ID, reason)
	if refused := jit.Refused(err); refused != nil && refused.Target == "justification" {
		status, told := c.Told(err)
		wrong := form.Wrongs{}
		wrong.Put("reason", told)
		return p.decision(c, status, reason, wrong)
	}
	if err != nil {
		return err
	}
	c.To("requests/" + rec.Grant.ID)
	return nil
}
