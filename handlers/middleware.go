package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/arrival"
	"portcullis/handlers/compat"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// call is one identified call.
type call struct {
	*http.Request
	who   jit.Caller
	query query.Values // by the table of the route; nil on the compatible face
}

// handler is a door: it writes the answer, or gives the error to be answered.
type handler func(http.ResponseWriter, call) error

// identified lets only identified callers through, when it is their turn: nothing of a call is read before. Whose token cannot be judged
// because its issuer does not answer is told to come again, not to sign in.
func (s *server) identified(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Where App Service authentication has signed a browser in, its cookie, and
		// so a token, goes along with what another site has it send. Scripts say nothing of sites.
		if err := new(http.CrossOriginProtection).Check(r); err != nil {
			s.fail(w, r, &jit.Error{Code: wire.CodeCrossOrigin, Message: "a browser sent this from another site; send it from a script, or from the page of this app"})
			return
		}
		who, err := s.Caller(r)
		if _, down := errors.AsType[*store.Unavailable](err); down {
			s.fail(w, r, err)
			return
		}
		leave, busy := s.app.Admission.Enter(r.Context(), who, changes(r.Pattern) == store.OpRevoke)
		if busy != nil {
			s.fail(w, r, busy)
			return
		}
		defer leave()
		if err != nil {
			s.Log.Info("caller refused", "invocation", arrival.Invocation(r.Context()), "error", err.Error())
			w.Header().Set("WWW-Authenticate", `Bearer`)
			s.fail(w, r, &jit.Error{Code: wire.CodeUnauthenticated, Message: "a valid access token is needed in the Authorization header"})
			return
		}
		who.Correlation = arrival.Invocation(r.Context())
		who.Address, _ = arrival.Caller(r.Context())
		lasting(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.understood(w, call{Request: r, who: who}, h)
		})).ServeHTTP(w, r)
	})
}

// lasting has a call that may change something go on when its caller goes away: what is begun is done and written down, and so is what is
// refused. Otherwise whoever hangs up in time changes something without its line in the activity log. Every part of
// a call is bounded by itself.
func lasting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		h.ServeHTTP(w, r)
	})
}

// anybody lets everybody through.
func (s *server) anybody(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.understood(w, call{Request: r}, h)
	})
}

// understood lets a call through whose query the route understands whole.
func (s *server) understood(w http.ResponseWriter, r call, h handler) {
	var err error
	if r.query, err = s.queryOf(r.Request); err == nil {
		err = h(w, r)
	}
	if _, large := errors.AsType[wire.Oversized](err); large && r.who.ID != "" && !r.query.Flag("dryRun") {
		if op := changes(r.Pattern); op != "" {
			err = s.app.Access.LogRefusedCall(r.Context(), r.who, op, err)
		}
	}
	if err != nil {
		s.fail(w, r.Request, err)
	}
}

// recorder remembers the status for the log and for who observes.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// logged turns a panic into a 500 and writes one line for each request: no query, no
// headers and no body, which may hold secrets.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := arrival.Invocation(r.Context())
		rec := &recorder{ResponseWriter: w}
		if s.Observe != nil {
			var ended func(status int)
			r, ended = s.Observe(r)
			defer func() { ended(rec.status) }()
		}
		h := w.Header()
		h.Set("x-ms-request-id", id)
		returnClientID(h, r.Header)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Strict-Transport-Security", "max-age=31536000") // a year; browsers heed it over HTTPS alone
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("panic", "invocation", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if rec.status == 0 {
					s.fail(rec, r, fmt.Errorf("panic: %v", p))
				}
			}
			if r.URL.Path != "/" { // the host's probe
				line := []any{"invocation", id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "took", time.Since(began)}
				if code := h.Get("x-ms-error-code"); code != "" {
					line = append(line, "code", code)
				}
				s.Log.Info("request", line...)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// returnClientID answers the client's own id of a call where it asks for that, as Resource Manager does. It is for
// the client alone; nothing here goes by it.
func returnClientID(to, from http.Header) {
	const name = "x-ms-client-request-id"
	if id := from.Get(name); jit.ValidGUID(id) && strings.EqualFold(from.Get("x-ms-return-client-request-id"), "true") {
		to.Set(name, id)
	}
}

// changes gives what a call of a route would have changed, "" where it changes nothing.
func changes(pattern string) store.Operation {
	switch pattern {
	case "POST /api/enable", "POST /api/import", "POST /api/policies/import", "PUT " + compat.Pattern:
		return store.OpEnable
	case "POST /api/disable", "DELETE " + compat.Pattern:
		return store.OpDisable
	case "POST /api/request", "POST /api/requests/{id}/again", "POST " + compat.Pattern:
		return store.OpRequest
	case "POST /api/requests/{id}/revoke":
		return store.OpRevoke
	case "POST /api/requests/{id}/approve":
		return store.OpApprove
	case "POST /api/requests/{id}/deny":
		return store.OpDeny
	case "POST /api/requests/{id}/extend":
		return store.OpExtend
	case "POST /api/requests/{id}/review":
		return store.OpReview
	case "POST /api/sweep":
		return store.OpSweep
	case "POST /api/lockdown":
		return store.OpLockdown
	case "POST /api/lockdown/{id}/lift":
		return store.OpLift
	}
	return ""
}

// fail answers an error. It is the only place that turns errors into statuses.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := wire.Answer(err)
	if errors.Is(err, store.ErrUnlogged) {
		s.Log.Error("a refusal is not in the activity log", "invocation", arrival.Invocation(r.Context()), "path", r.URL.Path, "code", detail.Code, "error", err.Error())
	}
	if status >= 500 {
		s.Log.Error("request failed", "invocation", arrival.Invocation(r.Context()), "path", r.URL.Path, "error", err.Error())
	}
	if down, ok := errors.AsType[*store.Unavailable](err); ok && status == http.StatusServiceUnavailable {
		wait := max(down.RetryAfter.Round(time.Second), time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("x-ms-error-code", string(detail.Code))
	wire.Write(w, status, wire.ErrorBody{Error: detail})
}
