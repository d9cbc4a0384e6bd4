package handlers

import (
	"net/http"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/compat"
	"portcullis/handlers/wire"
)

// door is what stands behind a pattern. Go's mux answers some paths by itself, with redirects and
// pages of its own, before anybody has identified the caller: only a door may answer.
type door struct{ http.Handler }

// mux has every route. What catches everything below a path has the path itself too, as the Functions host sends it.
func (s *server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, &door{r.handler})
		if bare, below := strings.CutSuffix(r.pattern, catchAll); below {
			mux.Handle(bare, &door{r.handler})
		}
	}
	return mux
}

// catchAll ends a pattern that takes every path below it.
const catchAll = "/{path...}"

// leads reports whether a door answers a call.
func leads(mux *http.ServeMux, r *http.Request) bool {
	h, _ := mux.Handler(r)
	_, ok := h.(*door)
	return ok
}

// found answers in our own form what no route matches.
func (s *server) found(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wire.AmbiguousPath(r.URL) {
			s.fail(w, r, &jit.Error{Code: wire.CodeInvalidPath, Message: "the path has an empty segment, a dot segment, an encoded slash or a character that is encoded twice"})
			return
		}
		r = compat.Canonical(r)
		if !leads(mux, r) {
			s.elsewhere(mux, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// elsewhere answers a call that leads to no door: there may be one with another method.
func (s *server) elsewhere(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		if other := *r; strings.HasPrefix(r.URL.Path, "/api/") { // what is elsewhere is the host's own
			other.Method = method
			if leads(mux, &other) {
				allowed = append(allowed, method)
			}
		}
	}
	if allowed != nil {
		s.fail(w, r, wire.NotAllowed(w.Header(), r, allowed...))
		return
	}
	s.nothing(w, r)
}

// nothing answers that there is no such operation.
func (s *server) nothing(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &jit.Error{Code: wire.CodeNotFound, Target: r.Method + " " + r.URL.Path, Message: "there is no such operation here"})
}
