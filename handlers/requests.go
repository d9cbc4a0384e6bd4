package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/preview"
	"portcullis/core/store"
	"portcullis/handlers/arrival"
	"portcullis/handlers/wire"
)

// request opens ports: POST /api/request[?dryRun=true].
//
// It answers 200 once every port is confirmed open, or 202 with a Location to
// look at where the caller prefers that (Prefer: respond-async) or it takes
// longer than the wait. The opening goes on by itself; where it fails it is undone. A request that waits for approval, or for its start, is answered with 202 too.
func (s *server) request(w http.ResponseWriter, r call) error {
	began := time.Now()
	var body wire.RequestBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	own, _ := arrival.Caller(r.Context())
	asked, err := body.Request(own)
	if err != nil {
		return err
	}
	told := func(rec store.GrantRecord) wire.GrantAnswer {
		answer := wire.ToGrant(rec)
		wire.SayCut(&answer, body.Ends)
		if answer.BreakGlass {
			answer.Review = wire.ToReview(store.ReviewOf(rec.Grant), true)
		}
		return answer
	}
	return s.ask(w, r, asked, began, told)
}

// again asks once more for what an earlier request of the caller asked for, from where he is now: POST /api/requests/{id}/again[?dryRun=true].
// The answers are those of [server.request].
func (s *server) again(w http.ResponseWriter, r call) error {
	began := time.Now()
	id, err := grantID(r)
	if err != nil {
		return err
	}
	if err := wire.DecodeNothing(r.Request); err != nil {
		return err
	}
	var from jit.Sources // none where the caller's own address is not known: then the request is refused
	if own, known := arrival.Caller(r.Context()); known {
		from = jit.SourcesOf(netip.PrefixFrom(own, own.BitLen()))
	}
	asked, err := s.app.Access.Again(r.Context(), r.who, id, from, r.query.Flag("dryRun"))
	if err != nil {
		return err
	}
	return s.ask(w, r, asked, began, wire.ToGrant)
}

// ask opens ports, or says what would be opened. told writes the answer.
func (s *server) ask(w http.ResponseWriter, r call, asked jit.Request, began time.Time, told func(store.GrantRecord) wire.GrantAnswer) error {
	if r.query.Flag("dryRun") {
		rec, changes, err := s.app.Access.Preview(r.Context(), r.who, asked)
		if err != nil {
			return err
		}
		answer := told(rec)
		answer.ID, answer.DryRun, answer.Targets, answer.Changes = "", true, nil, wire.ToChanges(changes)
		wire.Write(w, http.StatusOK, answer)
		return nil
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.Wait)
	defer cancel()
	rec, _, err := s.app.Access.Request(ctx, r.who, asked, key)
	if err != nil {
		return err
	}
	switch {
	case rec.Grant.Waiting():
		w.Header().Set("Location", "/api/requests/"+rec.Grant.ID)
		w.Header().Set("Retry-After", "5") // somebody sits there, and whoever approves has been told
		wire.Write(w, http.StatusAccepted, told(rec))
		return nil
	case rec.Grant.Status() != jit.Initiating: // sent before, and done by now
		wire.Write(w, http.StatusOK, told(rec))
		return nil
	}
	return s.opening(w, r, rec, s.Wait-time.Since(began), told)
}

// idempotencyKey reads the key of a request, "" where there is none: one of at most 200 characters that can be seen.
func idempotencyKey(h http.Header) (string, error) {
	keys := h.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	if len(keys) > 1 || len(keys[0]) > 200 {
		return "", &jit.Error{Code: wire.CodeInvalidContent, Target: "Idempotency-Key", Message: "an Idempotency-Key stands once and has at most 200 characters"}
	}
	if clean, err := jit.Text(keys[0]); err != nil || clean != keys[0] {
		return "", &jit.Error{Code: jit.CodeTextNotPrintable, Target: "Idempotency-Key", Message: "an Idempotency-Key has only characters that can be seen"}
	}
	return keys[0], nil
}

// opening opens a grant and waits for it, but not longer than wait. told writes the answer; with an error nothing is written.
func (s *server) opening(w http.ResponseWriter, r call, rec store.GrantRecord, wait time.Duration, told func(store.GrantRecord) wire.GrantAnswer) error {
	return s.openingBy(w, r, rec, wait, told, s.opens(r, rec))
}

// openingBy is opening by another way to open.
func (s *server) openingBy(w http.ResponseWriter, r call, rec store.GrantRecord, wait time.Duration, told func(store.GrantRecord) wire.GrantAnswer, open func(context.Context) (store.GrantRecord, error)) error {
	if prefersAsync(r.Header) {
		wait = 0
	}
	rec, confirmed, err := s.begin(r, rec, wait, open)
	switch {
	case err != nil:
		return err
	case confirmed:
		wire.Write(w, http.StatusOK, told(rec))
	default:
		w.Header().Set("Location", "/api/requests/"+rec.Grant.ID)
		w.Header().Set("Retry-After", "2")
		wire.Write(w, http.StatusAccepted, told(rec))
	}
	return nil
}

// open opens a grant and gives it as it then is, or as it was if that takes
// longer than wait; the opening goes on by itself. The flag reports which.
func (s *server) open(r call, rec store.GrantRecord, wait time.Duration) (store.GrantRecord, bool, error) {
	return s.begin(r, rec, wait, s.opens(r, rec))
}

// opens is how a request is opened that nothing waits for.
func (s *server) opens(r call, rec store.GrantRecord) func(context.Context) (store.GrantRecord, error) {
	return func(ctx context.Context) (store.GrantRecord, error) { return s.app.Access.Open(ctx, r.who, rec) }
}

// begin runs an opening as [server.open] does.
func (s *server) begin(r call, rec store.GrantRecord, wait time.Duration, open func(context.Context) (store.GrantRecord, error)) (store.GrantRecord, bool, error) {
	type opened struct {
		rec store.GrantRecord
		err error
	}
	done := make(chan opened, 1)
	ctx := context.WithoutCancel(r.Context()) // the caller's going away must not leave half an opening
	go func() {
		after, err := open(ctx)
		if err != nil {
			s.Log.Warn("opening failed", "invocation", r.who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
		}
		done <- opened{after, err}
	}()
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case o := <-done:
		return o.rec, o.err == nil, o.err
	case <-timer.C:
		return rec, false, nil
	}
}

func prefersAsync(h http.Header) bool {
	for _, v := range h.Values("Prefer") {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "respond-async") {
				return true
			}
		}
	}
	return false
}

// requests lists requests, newest first: GET /api/requests.
func (s *server) requests(w http.ResponseWriter, r call) error {
	f := store.GrantFilter{Status: r.query["status"], Requestor: r.query["requestor"]}
	var err error
	if f.VM, err = r.query.VM(); err != nil {
		return err
	}
	if f.Object, err = r.query.GUID("requestorObjectId"); err != nil {
		return err
	}
	if f.From, err = r.query.Time("from"); err != nil {
		return err
	}
	if f.To, err = r.query.Time("to"); err != nil {
		return err
	}
	limit, err := r.query.Limit()
	if err != nil {
		return err
	}
	grants, cursor, err := s.app.Inventory.ListGrants(r.Context(), r.who, f, r.query["cursor"], limit)
	if err != nil {
		return err
	}
	page := wire.List[wire.GrantAnswer]{Value: []wire.GrantAnswer{}, NextLink: r.query.Next(r.URL.Path, cursor)}
	for _, g := range grants {
		page.Value = append(page.Value, wire.ToGrant(store.GrantRecord{Grant: g}))
	}
	wire.Write(w, http.StatusOK, page)
	return nil
}

// requestByID shows one request: GET /api/requests/{id}.
func (s *server) requestByID(w http.ResponseWriter, r call) error {
	id, err := grantID(r)
	if err != nil {
		return err
	}
	rec, err := s.app.Access.Find(r.Context(), r.who, id)
	if err != nil {
		return err
	}
	answer, err := s.reviewed(r.Context(), rec)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, answer)
	return nil
}

// revoke closes a request's ports now: POST /api/requests/{id}/revoke[?dryRun=true]. It answers 202 with a
// Location where that takes longer than the wait, or where the rules are gone and the log does not answer.
func (s *server) revoke(w http.ResponseWriter, r call) error {
	id, err := grantID(r)
	if err != nil {
		return err
	}
	if err := wire.DecodeNothing(r.Request); err != nil {
		return err
	}
	if r.query.Flag("dryRun") {
		return dryRun(w, wire.ToGrant)(s.app.Access.PreviewRevoke(r.Context(), r.who, id))
	}
	rec, closed, err := s.close(r, id)
	switch {
	case err != nil:
		return err
	case closed:
		s.app.Admission.Permitted(r.who.ID) // also who has lost his role, and closes his own
		wire.Write(w, http.StatusOK, wire.ToGrant(rec))
	default:
		w.Header().Set("Location", "/api/requests/"+id)
		w.Header().Set("Retry-After", "10")
		wire.Write(w, http.StatusAccepted, wire.ToGrant(rec))
	}
	return nil
}

// dryRun answers with a request as it would be, which told writes, and what would change.
func dryRun(w http.ResponseWriter, told func(store.GrantRecord) wire.GrantAnswer) func(store.GrantRecord, []preview.Change, error) error {
	return func(rec store.GrantRecord, changes []preview.Change, err error) error {
		if err != nil {
			return err
		}
		answer := told(rec)
		answer.DryRun, answer.Changes = true, wire.ToChanges(changes)
		wire.Write(w, http.StatusOK, answer)
		return nil
	}
}

// close revokes a request and gives it as it then is, or as it is meanwhile if that takes longer
// than the wait, as it does at a firewall; the closing goes on by itself. The flag reports which.
func (s *server) close(r call, id string) (store.GrantRecord, bool, error) {
	type closed struct {
		rec store.GrantRecord
		err error
	}
	done := make(chan closed, 1)
	ctx := context.WithoutCancel(r.Context())
	go func() {
		rec, err := s.app.Access.Revoke(ctx, r.who, id)
		done <- closed{rec, err}
	}()
	timer := time.NewTimer(s.Wait)
	defer timer.Stop()
	select {
	case c := <-done:
		return c.rec, c.err == nil && c.rec.Grant.Closed(), c.err // closed everywhere and not in the log counts as not closed yet
	case <-timer.C:
		rec, err := s.app.Access.Closing(ctx, r.who, id)
		return rec, false, err
	}
}

// extend moves a request's end: POST /api/requests/{id}/extend[?dryRun=true].
func (s *server) extend(w http.ResponseWriter, r call) error {
	id, err := grantID(r)
	if err != nil {
		return err
	}
	var body wire.ExtendBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	length, end, err := wire.Ending(body.Duration, body.End, "")
	if err != nil {
		return err
	}
	asked := end
	if length > 0 {
		asked = s.app.Now().Add(length)
	}
	told := func(rec store.GrantRecord) wire.GrantAnswer {
		answer := wire.ToGrant(rec)
		wire.SayCut(&answer, func(int, int) time.Time { return asked })
		return answer
	}
	if r.query.Flag("dryRun") {
		rec, changes, err := s.app.Access.PreviewExtend(r.Context(), r.who, id, length, end)
		return dryRun(w, told)(rec, changes, err)
	}
	rec, err := s.app.Access.Extend(r.Context(), r.who, id, length, end)
	if err != nil {
		return err
	}
	wire.Write(w, http.StatusOK, told(rec))
	return nil
}

// grantID reads the id from the path. What is not a UUID is no request of ours.
func grantID(r call) (string, error) {
	id := strings.ToLower(r.PathValue("id"))
	if !jit.ValidGUID(id) {
		return "", &jit.Error{Code: access.CodeRequestNotFound, Target: "id", Message: "there is no request with this id"}
	}
	return id, nil
}
