package handlers

import (
	"context"
	"net/http"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/wire"
)

// approve approves a request that waits: POST /api/requests/{id}/approve[?dryRun=true]. With the last approval it is opened, which is
// answered as [server.request] is. A dry run tells what that would change, and who has the machines open now. An opening that fails takes
// nothing from the approval: the request is shown as it is then.
func (s *server) approve(w http.ResponseWriter, r call) error {
	began := time.Now()
	id, err := grantID(r)
	if err != nil {
		return err
	}
	var body wire.ApproveBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	if r.query.Flag("dryRun") {
		decided, err := s.app.Approvals.PreviewApprove(r.Context(), r.who, id, body.Digest)
		if err != nil {
			return err
		}
		answer := wire.ToGrant(decided.Record)
		answer.DryRun, answer.Targets, answer.Changes, answer.Open = true, nil, wire.ToChanges(decided.Changes), wire.ToOpen(decided.Open)
		wire.Write(w, http.StatusOK, answer)
		return nil
	}
	rec, err := s.app.Approvals.Approve(r.Context(), r.who, id, body.Digest)
	if err != nil {
		return err
	}
	if rec.Grant.Status() == jit.Initiating {
		open := func(ctx context.Context) (store.GrantRecord, error) { return s.app.Desk.Open(ctx, rec) }
		if s.openingBy(w, r, rec, s.Wait-time.Since(began), wire.ToGrant, open) == nil {
			return nil
		}
		if rec, err = s.app.Access.Find(r.Context(), r.who, id); err != nil {
			return err
		}
	}
	wire.Write(w, http.StatusOK, wire.ToGrant(rec))
	return nil
}

// deny denies a request that waits for approval: POST /api/requests/{id}/deny[?dryRun=true].
func (s *server) deny(w http.ResponseWriter, r call) error {
	id, err := grantID(r)
	if err != nil {
		return err
	}
	var body wire.DenyBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	if r.query.Flag("dryRun") {
		return dryRun(w, wire.ToGrant)(s.app.Approvals.PreviewDeny(r.Context(), r.who, id, body.Justification))
	}
	rec, err := s.app.Approvals.Deny(r.Context(), r.who, id, body.Justification)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, wire.ToGrant(rec))
	return nil
}
