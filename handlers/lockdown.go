package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/handlers/wire"
)

// lockdown closes every window in a scope, and holds new ones where that is asked for: POST /api/lockdown[?dryRun=true]. It answers 200
// once all that was found is confirmed closed, or 202 with a Location to look at where that takes longer than the wait.
func (s *server) lockdown(w http.ResponseWriter, r call) error {
	var body wire.LockdownBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	order, err := body.Order()
	if err != nil {
		return err
	}
	if r.query.Flag("dryRun") {
		preview, err := s.app.Lockdown.Preview(r.Context(), r.who, order)
		if err != nil {
			return err
		}
		wire.Write(w, http.StatusOK, wire.ToLockdownPreview(preview))
		return nil
	}
	run, err := s.app.Lockdown.Begin(r.Context(), r.who, order)
	if err != nil {
		return err
	}
	s.complete(r, run)
	progress, err := s.app.Lockdown.Progress(r.Context(), r.who, run)
	if err != nil {
		return err
	}
	return lockdownAnswer(w, progress)
}

// complete closes what a lock-down has found, and waits for it, but not longer than the wait; it goes on by itself.
func (s *server) complete(r call, run lockdown.Run) {
	done := make(chan struct{})
	ctx := context.WithoutCancel(r.Context())
	go func() {
		defer close(done)
		if err := s.app.Lockdown.Complete(ctx, run); err != nil {
			s.Log.Warn("a lock-down is not complete", "invocation", r.who.Correlation, "lockdown", run.ID, "error", err.Error())
		}
	}()
	timer := time.NewTimer(s.Wait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func lockdownAnswer(w http.ResponseWriter, p lockdown.Progress) error {
	status := http.StatusOK
	if !p.Done() {
		status = http.StatusAccepted
		w.Header().Set("Location", "/api/lockdown/"+p.ID)
		w.Header().Set("Retry-After", "5")
	}
	wire.Write(w, status, wire.ToLockdown(p))
	return nil
}

// holds lists the holds that stand: GET /api/lockdown.
func (s *server) holds(w http.ResponseWriter, r call) error {
	list, err := s.app.Lockdown.Standing(r.Context(), r.who)
	if err != nil {
		return err
	}
	out := wire.HoldsAnswer{Value: []wire.Hold{}}
	for _, h := range list {
		out.Value = append(out.Value, wire.ToHold(h.Hold, h.MayLift))
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}

// lockdownByID shows how far a lock-down is: GET /api/lockdown/{id}. It answers 202 until all that was found is confirmed closed.
func (s *server) lockdownByID(w http.ResponseWriter, r call) error {
	id, err := lockdownID(r, lockdown.CodeNotFound)
	if err != nil {
		return err
	}
	progress, err := s.app.Lockdown.Find(r.Context(), r.who, id)
	if err != nil {
		return err
	}
	return lockdownAnswer(w, progress)
}

// lift lifts a hold: POST /api/lockdown/{id}/lift[?dryRun=true]. The id is the hold's.
func (s *server) lift(w http.ResponseWriter, r call) error {
	id, err := lockdownID(r, lockdown.CodeHoldNotFound)
	if err != nil {
		return err
	}
	var body wire.LiftBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	dryRun := r.query.Flag("dryRun")
	hold, err := s.app.Lockdown.Lift(r.Context(), r.who, id, body.Reason, dryRun)
	if err != nil {
		return err
	}
	answer := wire.ToHold(hold, true)
	answer.DryRun = dryRun
	wire.Write(w, http.StatusOK, answer)
	return nil
}

// lockdownID reads the id from the path. What is not a UUID is none of ours.
func lockdownID(r call, missing jit.Code) (string, error) {
	id := strings.ToLower(r.PathValue("id"))
	if !jit.ValidGUID(id) {
		return "", &jit.Error{Code: missing, Target: "id", Message: "there is none with this id"}
	}
	return id, nil
}
