package rbac

import (
	"context"
	"time"
)

// The matcher, for tests from outside.
var Matches = matches

// Permission is a permission, for tests from outside.
type Permission struct{ Actions, NotActions []string }

// Grant is a role assignment, and Denial a deny assignment, for tests from outside.
type (
	Grant struct {
		Scope string
		Role  string
	}
	Denial struct {
		Scope      string
		Exact      bool
		Everybody  bool
		Principals []string
		Excluded   []string
		Denied     []Permission
	}
)

// MissingOf evaluates what a test made up, without ARM.
func MissingOf(oid string, grants []Grant, roles map[string][]Permission, denials []Denial, at string, actions ...string) string {
	r := rights{roles: map[string][]permission{}}
	for _, g := range grants {
		if s, ok := parseScope(g.Scope); ok {
			r.assignments = append(r.assignments, assignment{s, g.Role})
		}
	}
	for name, list := range roles {
		r.roles[name] = permissions(list)
	}
	for _, raw := range denials {
		d := denial{exact: raw.Exact, everybody: raw.Everybody, principals: raw.Principals, excluded: raw.Excluded, denied: permissions(raw.Denied)}
		s, ok := parseScope(raw.Scope)
		d.scope, d.everywhere = s, !ok
		if d.applies(oid, nil) {
			r.denials = append(r.denials, d)
		}
	}
	s, ok := parseScope(at)
	if !ok {
		return actions[0]
	}
	return r.missing(s, actions)
}

func permissions(list []Permission) []permission {
	var out []permission
	for _, p := range list {
		q := permission{}
		for _, a := range p.Actions {
			q.actions = append(q.actions, lower(a))
		}
		for _, a := range p.NotActions {
			q.notActions = append(q.notActions, lower(a))
		}
		out = append(out, q)
	}
	return out
}

// Cache is the cache with bounds of a test's own.
type Cache struct{ *cache[string] }

// NewCache gives a cache of texts.
func NewCache(entries, bytes int, now func() time.Time) Cache {
	return Cache{newCache[string](entries, bytes, now)}
}

// Get is the cache's only verb.
func (c Cache) Get(ctx context.Context, key string, fetch func(context.Context) (string, int, error)) (string, error) {
	return c.get(ctx, key, Life, fetch)
}

// Held gives how many answers and bytes are kept.
func (c Cache) Held() (entries, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept), c.held
}
