package portal

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

// decide draws what there is to decide: GET /api/portal/requests/{id}/decide.
func (s *server) decide(w http.ResponseWriter, c call) error {
	return s.decision(w, c, http.StatusOK, "", form.Wrongs{})
}

// decision draws it with what was typed of a denial, and what is wrong with that.
func (s *server) decision(w http.ResponseWriter, c call, status int, reason string, wrong form.Wrongs) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	if err := s.App.Approvals.MayDecide(c.Context(), c.who, rec.Grant.ID); err != nil {
		return err
	}
	view := decideView{Grant: show.GrantOf(rec, c.who, c.now), Digest: access.Digest(rec.Grant), Reason: reason}
	view.Wrong = wrong
	decided, err := s.App.Approvals.PreviewApprove(c.Context(), c.who, rec.Grant.ID, view.Digest)
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
	s.render(w, c, status, "decide", "Decide", view)
	return nil
}

// approve approves exactly what was shown: POST /api/portal/requests/{id}/approve. With the last approval the ports are opened, and the page of the request
// looks how far that is.
func (s *server) approve(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	if rec, err = s.App.Approvals.Approve(c.Context(), c.who, rec.Grant.ID, c.PostForm.Get("digest")); err != nil {
		return err
	}
	if rec.Grant.Status() == jit.Initiating {
		go s.released(context.WithoutCancel(c.Context()), c.who, rec)
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// released opens a grant that was approved, as [server.opening] does.
func (s *server) released(ctx context.Context, who jit.Caller, rec store.GrantRecord) {
	if _, err := s.App.Desk.Open(ctx, rec); err != nil {
		s.Log.Warn("opening failed", "invocation", who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
	}
}

// deny denies it, and says why: POST /api/portal/requests/{id}/deny.
func (s *server) deny(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	reason := c.PostForm.Get("reason")
	_, err = s.App.Approvals.Deny(c.Context(), c.who, rec.Grant.ID, reason)
	if refused := jit.Refused(err); refused != nil && refused.Target == "justification" {
		status, told := s.told(c, err)
		wrong := form.Wrongs{}
		wrong.Put("reason", told)
		return s.decision(w, c, status, reason, wrong)
	}
	if err != nil {
		return err
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}
