package rbac

import (
	"strings"
	"unicode"
)

// lower folds as [jit.ID.Key] does, so that both treat the same ids as equal: only letters that are each other's
// upper and lower case, so a Kelvin sign is not a k.
func lower(s string) string {
	return strings.Map(func(c rune) rune {
		if l := unicode.ToLower(c); unicode.ToUpper(l) == c {
			return l
		}
		return c
	}, s)
}

// matches reports whether a pattern of a role definition matches the action; both are in lower case. Its time is
// linear in their lengths.
func matches(pattern, action string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == action && action != ""
	}
	if !strings.HasPrefix(action, head) {
		return false
	}
	action = action[len(head):]
	parts := strings.Split(rest, "*")
	tail := parts[len(parts)-1]
	if !strings.HasSuffix(action, tail) {
		return false
	}
	action = action[:len(action)-len(tail)]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(action, part)
		if i < 0 {
			return false
		}
		action = action[i+len(part):]
	}
	return true
}

// permission is one permission of a role or of a deny assignment.
type permission struct {
	actions    []string // patterns, in lower case
	notActions []string
}

func (p permission) covers(action string) bool {
	return anyMatches(p.actions, action) && !anyMatches(p.notActions, action)
}

func anyMatches(patterns []string, action string) bool {
	for _, p := range patterns {
		if matches(p, action) {
			return true
		}
	}
	return false
}

func anyCovers(permissions []permission, action string) bool {
	for _, p := range permissions {
		if p.covers(action) {
			return true
		}
	}
	return false
}
