package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
)

// call is one identified call.
type call struct {
	*http.Request
	who access.Caller
}

// handler is a door: it writes the answer, or gives the error to be answered.
type handler func(http.ResponseWriter, call) error

type invocationKey struct{}

// invocation gives the id under which the host, or we, know this request.
func invocation(ctx context.Context) string {
	id, _ := ctx.Value(invocationKey{}).(string)
	return id
}

// identified lets only identified callers through. Whose token cannot be judged
// because its issuer does not answer is told to come again, not to sign in.
func (s *server) identified(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Where App Service authentication has signed a browser in, its cookie, and
		// so a token, goes along with what another site has it send. Scripts say nothing of sites.
		if err := new(http.CrossOriginProtection).Check(r); err != nil {
			s.fail(w, r, &jit.Error{Code: CodeCrossOrigin, Message: "a browser sent this from another site; send it from a script, or from the page of this app"})
			return
		}
		who, err := s.Caller(r)
		if _, down := errors.AsType[*access.Unavailable](err); down {
			s.fail(w, r, err)
			return
		}
		if err != nil {
			s.Log.Info("caller refused", "invocation", invocation(r.Context()), "error", err.Error())
			w.Header().Set("WWW-Authenticate", `Bearer`)
			s.fail(w, r, &jit.Error{Code: CodeUnauthenticated, Message: "a valid access token is needed in the Authorization header"})
			return
		}
		who.Correlation = invocation(r.Context())
		if err := h(w, call{r, who}); err != nil {
			s.fail(w, r, err)
		}
	})
}

// anybody lets everybody through.
func (s *server) anybody(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, call{Request: r}); err != nil {
			s.fail(w, r, err)
		}
	})
}

// recorder remembers the status for the log.
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

// logged names the invocation, turns a panic into a 500 and writes one line for
// each request: no query, no headers and no body, which may hold secrets.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := r.Header.Get("X-Azure-Functions-InvocationId")
		if id == "" || len(id) > 64 {
			id = s.NewID()
		}
		r = r.WithContext(context.WithValue(r.Context(), invocationKey{}, id))
		rec := &recorder{ResponseWriter: w}
		h := w.Header()
		h.Set("x-ms-request-id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("panic", "invocation", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if rec.status == 0 {
					s.fail(rec, r, fmt.Errorf("panic: %v", p))
				}
			}
			if r.URL.Path != "/" { // the host's probe
				s.Log.Info("request", "invocation", id, "method", r.Method, "path", r.URL.Path, "status", rec.status, "took", time.Since(began))
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// ownAddress gives the address from which the platform's front end took the call:
// the last hop of X-Forwarded-For, which the front end appends itself. What
// stands before it was sent by the client and proves nothing.
func ownAddress(r *http.Request) (netip.Addr, bool) {
	values := r.Header.Values("X-Forwarded-For")
	if len(values) == 0 {
		return netip.Addr{}, false
	}
	hops := strings.Split(values[len(values)-1], ",")
	hop := strings.TrimSpace(hops[len(hops)-1])
	if ap, err := netip.ParseAddrPort(hop); err == nil {
		return plain(ap.Addr())
	}
	a, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(a)
}

// plain gives an address that can be a source, in its own family, or none.
func plain(a netip.Addr) (netip.Addr, bool) {
	if a = a.Unmap(); a.Zone() != "" || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	return a, true
}
