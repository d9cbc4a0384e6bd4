package portal

import (
	"context"
	"net/http"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/permit"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/lock"
	"portcullis/handlers/portal/words"
)

// lockdownForm draws what is held and the form to lock down, for the machine that a link names or for any: GET /api/portal/lockdown?vm=ID.
func (s *server) lockdownForm(w http.ResponseWriter, c call) error {
	return s.lockdownPage(w, c, http.StatusOK, lock.Page{Form: lock.New(c.URL.Query().Get("vm"))})
}

// lockdownPage completes the page and draws it. What is held stands there before where the caller has changed something of it.
func (s *server) lockdownPage(w http.ResponseWriter, c call, status int, view lock.Page) error {
	if view.Holds == nil {
		list, err := s.App.Lockdown.Standing(c.Context(), c.who)
		if err != nil {
			s.Log.Warn("read whether openings are held", "invocation", c.who.Correlation, "error", err.Error())
			view.Unknown = words.HeldUnknown
		}
		view.Holds = lock.HoldsOf(list)
	}
	may, err := s.mayLock(c)
	if vm, bad := jit.ParseVM(view.Form.Machine); err == nil && !may && bad == nil {
		may, err = s.may(c, permit.VerbLockdown, vm)
	}
	if err != nil {
		return err
	}
	if !may {
		view.Lacks = permit.ActionWrite
	}
	s.render(w, c, status, "lockdown", "Lock down", view)
	return nil
}

// mayLock reports whether the caller may lock down a whole subscription.
func (s *server) mayLock(c call) (bool, error) {
	subs, err := s.App.Inventory.SubscriptionsOf(c.Context(), c.who)
	if err != nil {
		return false, err
	}
	for _, sub := range subs {
		if may, err := allowed(s.App.Access.Permit.May(c.Context(), c.who, permit.VerbLockdown, "/subscriptions/"+sub)); may || err != nil {
			return may, err
		}
	}
	return false, nil
}

// lockdown tells what a lock-down would close, and does it once that was shown: POST /api/portal/lockdown.
func (s *server) lockdown(w http.ResponseWriter, c call) error {
	var view lock.Page
	var order lockdown.Order
	view.Form, order = lock.Read(c.PostForm)
	if view.Form.Wrong.Any() {
		return s.lockdownPage(w, c, http.StatusBadRequest, view)
	}
	var run lockdown.Run
	var preview lockdown.Preview
	var err error
	now := c.PostForm.Get("intent") == "now" && c.PostForm.Get("seen") == lock.Key(order)
	if now {
		run, err = s.App.Lockdown.Begin(c.Context(), c.who, order)
	} else {
		preview, err = s.App.Lockdown.Preview(c.Context(), c.who, order)
	}
	if jit.Refused(err) != nil {
		status, told := s.told(c, err)
		view.Form.Refused(told)
		return s.lockdownPage(w, c, status, view)
	}
	if err != nil {
		return err
	}
	if !now {
		shown := lock.PreviewOf(preview)
		view.Preview, view.Form.Seen = &shown, lock.Key(order)
		return s.lockdownPage(w, c, http.StatusOK, view)
	}
	go s.complete(context.WithoutCancel(c.Context()), c.who, run)
	return s.seeOther(w, c, "lockdown/"+run.ID)
}

// complete closes what a lock-down has found: the page looks how far it is.
func (s *server) complete(ctx context.Context, who jit.Caller, run lockdown.Run) {
	if err := s.App.Lockdown.Complete(ctx, run); err != nil {
		s.Log.Warn("a lock-down is not complete", "invocation", who.Correlation, "lockdown", run.ID, "error", err.Error())
	}
}

// lockedDown draws how far a lock-down is: GET /api/portal/lockdown/{id}.
func (s *server) lockedDown(w http.ResponseWriter, c call) error {
	progress, err := s.App.Lockdown.Find(c.Context(), c.who, strings.ToLower(c.PathValue("id")))
	if err != nil {
		return err
	}
	view := lock.ProgressOf(progress)
	view.Stamp = stampOf(view)
	c.unchanged(w, view.Stamp)
	s.render(w, c, http.StatusOK, "lockedown", "Lock-down", view)
	return nil
}

// lift lifts a hold: POST /api/portal/lockdown/{id}/lift.
func (s *server) lift(w http.ResponseWriter, c call) error {
	id, reason := strings.ToLower(c.PathValue("id")), c.PostForm.Get("reason")
	_, err := s.App.Lockdown.Lift(c.Context(), c.who, id, reason, false)
	refused := jit.Refused(err)
	if refused == nil || refused.Target != "reason" {
		if err == nil {
			err = s.seeOther(w, c, "lockdown")
		}
		return err
	}
	status, told := s.told(c, err)
	view := lock.Page{Form: lock.New("")}
	list, err := s.App.Lockdown.Standing(c.Context(), c.who)
	if err != nil {
		return err
	}
	view.Holds = lock.HoldsOf(list)
	for i := range view.Holds {
		if h := &view.Holds[i]; h.ID == id {
			h.Reason, h.Wrong = reason, form.Wrongs{}
			h.Wrong.Put("reason", told)
		}
	}
	return s.lockdownPage(w, c, status, view)
}
