// Package route reads the paths of requests and the route templates of functions as the
// Functions host does. It knows nothing of hosts and handlers.
package route

import (
	"fmt"
	"strings"
)

// Route is an ASP.NET route template, as far as the stand-in knows them:
// literals, parameters {id}, a last optional one {id?} and a last catch-all
// {*rest}. Constraints, defaults and segments of mixed parts are refused.
type Route struct {
	segments []segment
}

type segment struct {
	kind segmentKind
	text string // the literal, in lower case
}

// segmentKind is ordered as the host prefers segments: a literal before a
// parameter before a catch-all.
type segmentKind int

const (
	literal segmentKind = iota
	parameter
	optional
	catchAll
)

// Parse reads a template.
func Parse(template string) (Route, error) {
	var r Route
	parts := strings.Split(template, "/")
	for i, part := range parts {
		seg, err := parseSegment(part)
		if err != nil {
			return Route{}, fmt.Errorf("route %q: %w", template, err)
		}
		if seg.kind > parameter && i < len(parts)-1 {
			return Route{}, fmt.Errorf("route %q: %s is not the last segment", template, part)
		}
		r.segments = append(r.segments, seg)
	}
	return r, nil
}

func parseSegment(part string) (segment, error) {
	if !strings.ContainsAny(part, "{}") {
		if part == "" {
			return segment{}, fmt.Errorf("empty segment")
		}
		return segment{literal, strings.ToLower(part)}, nil
	}
	name, ok := strings.CutPrefix(part, "{")
	name, closed := strings.CutSuffix(name, "}")
	kind := parameter
	if rest, found := strings.CutPrefix(name, "*"); found {
		kind, name = catchAll, strings.TrimPrefix(rest, "*")
	} else if rest, found := strings.CutSuffix(name, "?"); found {
		kind, name = optional, rest
	}
	if !ok || !closed || name == "" || strings.ContainsAny(name, "{}:=?*") {
		return segment{}, fmt.Errorf("segment %s is not simulated", part)
	}
	return segment{kind: kind}, nil
}

// Match reports whether the route matches path, as [ReadPath] gives it. Case does not
// count, and neither does one slash at the end.
func (r Route) Match(path string) bool {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	parts := strings.Split(path, "/")
	for i, seg := range r.segments {
		if seg.kind == catchAll {
			return true
		}
		if i == len(parts) {
			return seg.kind == optional
		}
		if parts[i] == "" || seg.kind == literal && strings.ToLower(parts[i]) != seg.text {
			return false
		}
	}
	return len(parts) == len(r.segments)
}

// Before reports whether the host would prefer r to other where both match: at
// the first segment where they differ in kind, the more definite one wins.
func (r Route) Before(other Route) bool {
	for i := range min(len(r.segments), len(other.segments)) {
		if a, b := r.segments[i].kind, other.segments[i].kind; a != b {
			return a < b
		}
	}
	return len(r.segments) < len(other.segments)
}

// Shape is the template without parameter names: equal for routes that match
// the same paths.
func (r Route) Shape() string {
	var b strings.Builder
	for _, seg := range r.segments {
		b.WriteString("/")
		b.WriteString([]string{seg.text, "{}", "{?}", "{*}"}[seg.kind])
	}
	return b.String()
}
