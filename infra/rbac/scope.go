package rbac

import (
	"slices"
	"strings"

	"portcullis/core/jit"
)

// scope is where something is assigned or checked: the segments of its id, in lower case. The zero value is no
// scope.
type scope struct {
	segments []string
	above    bool // the root or a management group: above every subscription for which it was listed
}

// parseScope parses an id. One trailing slash is accepted.
func parseScope(id string) (scope, bool) {
	if id == "/" {
		return scope{above: true}, true
	}
	text, ok := strings.CutPrefix(lower(id), "/")
	if !ok {
		return scope{}, false
	}
	s := scope{segments: strings.Split(strings.TrimSuffix(text, "/"), "/")}
	if slices.ContainsFunc(s.segments, func(segment string) bool { return segment == "" || segment == "." || segment == ".." }) {
		return scope{}, false
	}
	if len(s.segments) == 4 && slices.Equal(s.segments[:3], []string{"providers", "microsoft.management", "managementgroups"}) {
		s.above = true
		return s, true
	}
	if len(s.segments) < 2 || s.segments[0] != "subscriptions" || !jit.ValidGUID(s.segments[1]) {
		return scope{}, false
	}
	return s, true
}

// subscription returns the scope's subscription, "" for one above subscriptions.
func (s scope) subscription() string {
	if s.above || len(s.segments) < 2 {
		return ""
	}
	return s.segments[1]
}

// covers reports whether what applies at s applies at a scope within a subscription.
func (s scope) covers(at scope) bool {
	if s.above {
		return true
	}
	n := len(s.segments)
	return n > 0 && n <= len(at.segments) && slices.Equal(s.segments, at.segments[:n])
}

func (s scope) equal(at scope) bool { return s.covers(at) && at.covers(s) }

func (s scope) size() int {
	n := 64
	for _, segment := range s.segments {
		n += 16 + len(segment)
	}
	return n
}
