package portal

import (
	"context"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// grant draws a request: GET /api/portal/requests/{id}.
func (s *server) grant(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	return s.show(w, c, http.StatusOK, rec, nil, "1 h")
}

func (s *server) record(c call) (store.GrantRecord, error) {
	return s.recordBy(c, s.App.Access.Find)
}

// closingRecord gives it for who closes it.
func (s *server) closingRecord(c call) (store.GrantRecord, error) {
	return s.recordBy(c, s.App.Access.Closing)
}

func (s *server) recordBy(c call, find func(context.Context, jit.Caller, string) (store.GrantRecord, error)) (store.GrantRecord, error) {
	id, err := grantID(c)
	if err != nil {
		return store.GrantRecord{}, err
	}
	return find(c.Context(), c.who, id)
}

// grantID gives the id of the request that the path names.
func grantID(c call) (string, error) {
	id := strings.ToLower(c.PathValue("id"))
	if !jit.ValidGUID(id) {
		return "", &jit.Error{Code: access.CodeRequestNotFound, Message: "there is no request with this id"}
	}
	return id, nil
}

func (s *server) show(w http.ResponseWriter, c call, status int, rec store.GrantRecord, wrong form.Wrongs, form string) error {
	view := show.GrantOf(rec, c.who, c.now)
	view.Wrong, view.Form = wrong, form
	if err := s.offersOf(c, &view, rec.Grant); err != nil {
		return err
	}
	if err := s.reviewOf(c, &view, rec.Grant); err != nil {
		return err
	}
	if view.Busy {
		view.Targets = show.StepsOf(rec)
		view.Slow = slices.ContainsFunc(view.Targets, func(t show.Step) bool { return t.Kind == words.Firewall && !t.Confirmed })
	}
	if view.State == "failed" && rec.Failed != "" {
		view.Why = words.WithoutCode(rec.Failed)
	}
	view.Stamp = stampOf(view)
	c.unchanged(w, view.Stamp)
	s.render(w, c, status, "grant", view.Title(), view)
	return nil
}

// extend moves a request's end: POST /api/portal/requests/{id}/extend.
func (s *server) extend(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	text := c.PostForm.Get("for")
	wrong := form.Wrongs{}
	d, err := words.ReadLength(text)
	if err == nil {
		_, err = s.App.Access.Extend(c.Context(), c.who, rec.Grant.ID, d, time.Time{})
	}
	if err != nil {
		status, told := s.Explain(err)
		if status >= 500 {
			return err
		}
		wrong.Put("for", told)
		return s.show(w, c, status, rec, wrong, text)
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// closing is how long an answer waits for ports to close.
const closing = 25 * time.Second

// closeNow closes a request's ports: POST /api/portal/requests/{id}/close. Closing
// goes on by itself when the browser does not wait for it.
func (s *server) closeNow(w http.ResponseWriter, c call) error {
	rec, err := s.closingRecord(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), closing)
	defer cancel()
	if _, err := s.App.Access.Revoke(ctx, c.who, rec.Grant.ID); err != nil {
		// Once it is marked to close it closes by itself, however long that takes.
		after, failed := s.closingRecord(c)
		if status, _ := s.Explain(err); status < 500 || failed != nil || after.Grant.AnyLive(c.now) {
			return err
		}
		s.Log.Warn("closing goes on", "invocation", c.who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
	}
	s.App.Admission.Permitted(c.who.ID)
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// seeOther leads to a page that can be loaded again without sending the form again.
func (s *server) seeOther(w http.ResponseWriter, _ call, p string) error {
	w.Header().Set("Location", Root+p)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// rdp gives a file for remote desktop clients: GET /api/portal/requests/{id}/rdp?vm=ID&host=ADDRESS&user=NAME.
func (s *server) rdp(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	vms, err := c.vms()
	if err != nil {
		return err
	}
	host := c.URL.Query().Get("host")
	for _, vm := range show.GrantOf(rec, c.who, c.now).VMs {
		for _, p := range vm.Ports {
			for _, d := range p.Dial {
				if vm.ID != vms[0].String() || d.Host != host || d.RDP == "" {
					continue
				}
				file, err := d.File(c.URL.Query().Get("user"))
				if err != nil {
					return err
				}
				w.Header().Set("Content-Type", "application/x-rdp")
				w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": vm.Name + ".rdp"}))
				_, _ = io.WriteString(w, file)
				return nil
			}
		}
	}
	return &jit.Error{Code: access.CodeRequestNotFound, Message: "remote desktop of this machine is not open in this request"}
}
