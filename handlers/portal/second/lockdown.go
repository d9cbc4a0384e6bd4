package second

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

// LockdownForm draws what is held and the form to lock down, for the machine that a link names or for any: GET /api/portal/lockdown?vm=ID.
func (p Pages) LockdownForm(c Call) error {
	return p.lockdownPage(c, http.StatusOK, lock.Page{Form: lock.New(c.URL.Query().Get("vm"))})
}

// lockdownPage completes the page and draws it. What is held stands there before where the caller has changed something of it.
func (p Pages) lockdownPage(c Call, status int, view lock.Page) error {
	if view.Holds == nil {
		list, err := p.App.Lockdown.Standing(c.Context(), c.Who)
		if err != nil {
			p.Log.Warn("read whether openings are held", "invocation", c.Who.Correlation, "error", err.Error())
			view.Unknown = words.HeldUnknown
		}
		view.Holds = lock.HoldsOf(list)
	}
	may, err := p.MayLock(c.Context(), c.Who)
	if vm, bad := jit.ParseVM(view.Form.Machine); err == nil && !may && bad == nil {
		may, err = Allowed(p.App.Access.Permit.May(c.Context(), c.Who, permit.VerbLockdown, vm.String()))
	}
	if err != nil {
		return err
	}
	if !may {
		view.Lacks = permit.ActionWrite
	}
	c.Draw(status, "lockdown", "Lock down", view)
	return nil
}

// MayLock reports whether somebody may lock down a whole subscription, so that a page offers it.
func (p Pages) MayLock(ctx context.Context, who jit.Caller) (bool, error) {
	subs, err := p.App.Inventory.SubscriptionsOf(ctx, who)
	if err != nil {
		return false, err
	}
	for _, sub := range subs {
		if may, err := Allowed(p.App.Access.Permit.May(ctx, who, permit.VerbLockdown, "/subscriptions/"+sub)); may || err != nil {
			return may, err
		}
	}
	return false, nil
}

// Lockdown tells what a lock-down would close, and does it once that was shown: POST /api/portal/lockdown.
func (p Pages) Lockdown(c Call) error {
	var view lock.Page
	var order lockdown.Order
	view.Form, order = lock.Read(c.PostForm)
	if view.Form.Wrong.Any() {
		return p.lockdownPage(c, http.StatusBadRequest, view)
	}
	var run lockdown.Run
	var preview lockdown.Preview
	var err error
	now := c.PostForm.Get("intent") == "now" && c.PostForm.Get("seen") == lock.Key(order)
	if now {
		run, err = p.App.Lockdown.Begin(c.Context(), c.Who, order)
	} else {
		preview, err = p.App.Lockdown.Preview(c.Context(), c.Who, order)
	}
	if jit.Refused(err) != nil {
		status, told := c.Told(err)
		view.Form.Refused(told)
		return p.lockdownPage(c, status, view)
	}
	if err != nil {
		return err
	}
	if !now {
		shown := lock.PreviewOf(preview)
		view.Preview, view.Form.Seen = &shown, lock.Key(order)
		return p.lockdownPage(c, http.StatusOK, view)
	}
	go p.complete(context.WithoutCancel(c.Context()), c.Who, run)
	c.To("lockdown/" + run.ID)
	return nil
}

// Allowed reports whether what was looked at is not refused; the error is why that cannot be told.
func Allowed(err error) (bool, error) {
	if jit.Refused(err) != nil {
		return false, nil
	}
	return err == nil, err
}

// complete closes what a lock-down has found: the page looks how far it is.
func (p Pages) complete(ctx context.Context, who jit.Caller, run lockdown.Run) {
	if err := p.App.Lockdown.Complete(ctx, run); err != nil {
		p.Log.Warn("a lock-down is not complete", "invocation", who.Correlation, "lockdown", run.ID, "error", err.Error())
	}
}

// LockedDown draws how far a lock-down is: GET /api/portal/lockdown/{id}.
func (p Pages) LockedDown(c Call) error {
	progress, err := p.App.Lockdown.Find(c.Context(), c.Who, strings.ToLower(c.PathValue("id")))
	if err != nil {
		return err
	}
	view := lock.ProgressOf(progress)
	view.Stamp = c.Unchanged(view)
	c.Draw(http.StatusOK, "lockedown", "Lock-down", view)
	return nil
}

// Lift lifts a hold: POST /api/portal/lockdown/{id}/lift.
func (p Pages) Lift(c Call) error {
	id, reason := strings.ToLower(c.PathValue("id")), c.PostForm.Get("reason")
	_, err := p.App.Lockdown.Lift(c.Context(), c.Who, id, reason, false)
	refused := jit.Refused(err)
	switch {
	case err == nil:
		c.To("lockdown")
		return nil
	case refused == nil || refused.Target != "reason":
		return err
	}
	status, told := c.Told(err)
	view := lock.Page{Form: lock.New("")}
	list, err := p.App.Lockdown.Standing(c.Context(), c.Who)
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
	return p.lockdownPage(c, status, view)
}
