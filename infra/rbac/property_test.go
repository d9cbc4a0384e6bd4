package rbac_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"portcullis/infra/rbac"
)

// naive implements the pattern with a regular expression.
func naive(pattern, action string) bool {
	return action != "" && regexp.MustCompile("^(?s:"+strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")+")$").MatchString(action)
}

// FuzzMatches compares the matcher with regular expressions.
func FuzzMatches(f *testing.F) {
	for _, seed := range [][2]string{{"*", "a"}, {"a*", "a"}, {"a/*/read", "a/b/read"}, {"ab*ba", "aba"}, {"", ""}, {"**x*", "xx"}, {"*a*a", "aa"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, action string) {
		if len(pattern) > 200 || len(action) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(action) || action == "" {
			return // regular expressions cannot match invalid UTF-8, and no caller asks for an empty action
		}
		if got, want := rbac.Matches(pattern, action), naive(pattern, action); got != want {
			t.Errorf("%q for %q: got %v, want %v", pattern, action, got, want)
		}
	})
}

// covers compares two ids as text.
func covers(scope, at string) bool {
	scope, at = strings.ToLower(strings.TrimSuffix(scope, "/")), strings.ToLower(strings.TrimSuffix(at, "/"))
	return scope == "" || strings.HasPrefix(scope, "/providers/microsoft.management/") || strings.HasPrefix(at+"/", scope+"/")
}

// effective computes the permitted actions with sets: for each role its actions minus its notActions, the union of
// these, minus everything denied.
func effective(universe []string, oid string, grants []rbac.Grant, roles map[string][]rbac.Permission, denials []rbac.Denial, at string) map[string]bool {
	of := func(list []rbac.Permission) map[string]bool {
		out := map[string]bool{}
		for _, p := range list {
			for _, action := range universe {
				in := func(patterns []string) bool {
					return slices.ContainsFunc(patterns, func(s string) bool { return naive(strings.ToLower(s), strings.ToLower(action)) })
				}
				if in(p.Actions) && !in(p.NotActions) {
					out[action] = true
				}
			}
		}
		return out
	}
	may := map[string]bool{}
	for _, g := range grants {
		if covers(g.Scope, at) {
			for action := range of(roles[g.Role]) {
				may[action] = true
			}
		}
	}
	for _, d := range denials {
		here := covers(d.Scope, at) && (!d.Exact || covers(at, d.Scope))
		if here && (d.Everybody || slices.Contains(d.Principals, oid)) && !slices.Contains(d.Excluded, oid) {
			for action := range of(d.Denied) {
				delete(may, action)
			}
		}
	}
	return may
}

// TestEvaluateProperty generates roles, assignments and deny assignments and compares the result with sets.
func TestEvaluateProperty(t *testing.T) {
	universe := list(read, write, initiate, readVM, "Microsoft.Compute/virtualMachines/write", "Microsoft.Authorization/roleAssignments/write")
	patterns := append(list("*", "*/read", "*/action", "Microsoft.Security/*", "microsoft.security/*/WRITE", "Microsoft.*/virtualMachines/*", "nothing", ""), universe...)
	scopes := list("/", corp, inSub, demo, demo+"2", web, strings.ToUpper(demo), demo+"/", inSub+"/resourceGroups/dem", web+"2")
	asked := list(inSub, demo, demo+"2", web, strings.ToUpper(web), web+"2", demo+"/")
	people := list(ann, bob, team)
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, from []string, most int) []string {
			return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, name)
		}
		permissions := func(name string) []rbac.Permission {
			var out []rbac.Permission
			for range rapid.IntRange(0, 2).Draw(t, name) {
				out = append(out, rbac.Permission{Actions: some(name+" actions", patterns, 3), NotActions: some(name+" notActions", patterns, 2)})
			}
			return out
		}
		roles := map[string][]rbac.Permission{}
		for i := range 3 {
			roles[fmt.Sprint(i)] = permissions("role")
		}
		var grants []rbac.Grant
		for range rapid.IntRange(0, 4).Draw(t, "grants") {
			grants = append(grants, rbac.Grant{Scope: rapid.SampledFrom(scopes).Draw(t, "scope"), Role: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "of role"))})
		}
		var denials []rbac.Denial
		for range rapid.IntRange(0, 2).Draw(t, "denials") {
			denials = append(denials, rbac.Denial{
				Scope: rapid.SampledFrom(scopes).Draw(t, "scope"), Exact: rapid.Bool().Draw(t, "exact"), Everybody: rapid.Bool().Draw(t, "everybody"),
				Principals: some("principals", people, 2), Excluded: some("excluded", people, 1), Denied: permissions("denied"),
			})
		}
		at := rapid.SampledFrom(asked).Draw(t, "at")
		may := effective(universe, ann, grants, roles, denials, at)
		for _, action := range universe {
			want := ""
			if !may[action] {
				want = action
			}
			if got := rbac.MissingOf(ann, grants, roles, denials, at, action); got != want {
				t.Fatalf("%s at %s: missing %q, want %q", action, at, got, want)
			}
		}
	})
}
