// Package routing leads calls to what stands behind their patterns, and lets nothing else answer: Go's mux has redirects and pages of
// its own, which would be sent before anybody has identified the caller.
//
// It knows no route and no caller; it is given them.
package routing

import (
	"net/http"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// catchAll ends a pattern that takes every path below it.
const catchAll = "/{path...}"

// below begins the paths of people and scripts. What is elsewhere is the Functions host's own, and nothing is told of it.
const below = "/api/"

// Router leads calls to routes. It is to be made by [New].
type Router struct {
	canonical func(*http.Request) *http.Request
	fail      func(http.ResponseWriter, *http.Request, error)
	mux       *http.ServeMux
}

// door is what stands behind a pattern; whatever else the mux gives is an answer of its own.
type door struct{ http.Handler }

// New gives a router without routes. Canonical writes a path as the patterns have it, and fail answers an error.
func New(canonical func(*http.Request) *http.Request, fail func(http.ResponseWriter, *http.Request, error)) *Router {
	return &Router{canonical: canonical, fail: fail, mux: http.NewServeMux()}
}

// Handle puts a handler behind a pattern of [http.ServeMux]. What catches everything below a path has the path itself too, as the Functions
// host sends it.
func (t *Router) Handle(pattern string, h http.Handler) {
	t.mux.Handle(pattern, &door{h})
	if bare, all := strings.CutSuffix(pattern, catchAll); all {
		t.mux.Handle(bare, &door{h})
	}
}

// ServeHTTP answers a call: behind its pattern, or with a refusal.
func (t *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wire.AmbiguousPath(r.URL) {
		t.fail(w, r, &jit.Error{Code: wire.CodeInvalidPath, Message: "the path has an empty segment, a dot segment, an encoded slash or a character that is encoded twice"})
		return
	}
	if r = t.canonical(r); t.leads(r) {
		t.mux.ServeHTTP(w, r)
		return
	}
	if allowed := t.others(r); allowed != nil {
		t.fail(w, r, wire.NotAllowed(w.Header(), r, allowed...))
		return
	}
	t.fail(w, r, Nothing(r))
}

// leads reports whether a call leads to a door.
func (t *Router) leads(r *http.Request) bool {
	h, _ := t.mux.Handler(r)
	_, ok := h.(*door)
	return ok
}

// others gives the methods with which the path of a call leads to a door.
func (t *Router) others(r *http.Request) []string {
	if !strings.HasPrefix(r.URL.Path, below) {
		return nil
	}
	var out []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		other := *r
		if other.Method = method; t.leads(&other) {
			out = append(out, method)
		}
	}
	return out
}

// Nothing gives the refusal of an operation that is not there.
func Nothing(r *http.Request) error {
	return &jit.Error{Code: wire.CodeNotFound, Target: r.Method + " " + r.URL.Path, Message: "there is no such operation here"}
}
