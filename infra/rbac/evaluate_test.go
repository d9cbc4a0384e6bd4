package rbac_test

import (
	"strings"
	"testing"

	"portcullis/infra/rbac"
)

func list(s ...string) []string { return s }

// TestMatches checks what a role's pattern matches.
func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, action string
		want            bool
	}{
		{"", "", false},
		{"", "a", false},
		{"a", "", false},
		{"a/read", "a/reads", false},
		{"a/read", "xa/read", false},
		{"a/*/read", "a/read", false},
		{"a/*/read", "a/b/reader", false},
		{"a/*/read", "a/b/write", false},
		{"*/read", "read", false},
		{"ab*ba", "aba", false},
		{"a*b*c", "acb", false},
		{"*a*a*", "a", false},
		{"a/?", "a/b", false},
		{"a/.*", "a/b", false},
		{"a/[b]", "a/b", false},
		{"microsoft.x/*", "microsoft-x/read", false},
		{"a/read", "a/read", true},
		{"*", "a/read", true},
		{"**", "a", true},
		{"*/read", "a/b/c/read", true},
		{"a/*", "a/b/c/action", true},
		{"a/*/read", "a/b/read", true},
		{"a/*/read", "a/b/c/read", true},
		{"a*c*e", "abcde", true},
		{"a*b*b", "abb", true},
		{"microsoft.security/*/initiate/*", "microsoft.security/locations/jit/initiate/action", true},
	} {
		if got := rbac.Matches(tc.pattern, tc.action); got != tc.want {
			t.Errorf("%q for %q: got %v, want %v", tc.pattern, tc.action, got, tc.want)
		}
	}
}

// TestMissing checks ann's permissions with the adapter in front of the stand-in. Refusals come first.
func TestMissing(t *testing.T) {
	everything := grant{actions: list("*")}
	at := func(scope string) grant { return grant{at: scope, actions: list("*")} }
	vm := func(name string) string { return demo + "/providers/Microsoft.Compute/virtualMachines/" + name }
	for _, tc := range []struct {
		name  string
		given []grant
		deny  []deny
		at    string // "" for web
		may   bool
	}{
		// Nothing that grants.
		{name: "nothing"},
		{name: "somebody else's role", given: []grant{{to: bob, actions: list("*")}}},
		{name: "a role of a group that is not ann's", given: []grant{{to: "00000000-0000-0000-0000-00000000ffff", actions: list("*")}}},
		{name: "a role without actions", given: []grant{{}}},
		{name: "an empty action", given: []grant{{actions: list("")}}},
		{name: "another action", given: []grant{{actions: list(write)}}},
		{name: "reading is not requesting", given: []grant{{actions: list("*/read")}}},
		{name: "part of the action", given: []grant{{actions: list("Microsoft.Security/locations/jitNetworkAccessPolicies/initiate")}}},
		{name: "a longer action", given: []grant{{actions: list(initiate + "s")}}},
		{name: "a pattern that ends otherwise", given: []grant{{actions: list("Microsoft.Security/*/read")}}},
		{name: "a Kelvin sign in place of a k", given: []grant{{actions: list("Microsoft.Security/locations/jitNetwor\u212aAccessPolicies/initiate/action")}}},
		{name: "a role that is not there", given: []grant{{role: inSub + "/providers/Microsoft.Authorization/roleDefinitions/44444444-4444-4444-4444-444444444444"}}},
		{name: "a role of no known form", given: []grant{{role: "Owner"}}},
		{name: "a role of another kind", given: []grant{{role: inSub + "/providers/Microsoft.Authorization/policyDefinitions/44444444-4444-4444-4444-444444444444"}}},
		// notActions.
		{name: "taken back", given: []grant{{actions: list("*"), not: list(initiate)}}},
		{name: "taken back by a pattern", given: []grant{{actions: list("*"), not: list("Microsoft.Security/*/Action")}}},
		{name: "taken back in other case", given: []grant{{actions: list("*"), not: list(strings.ToUpper(initiate))}}},
		{name: "all taken back", given: []grant{{actions: list("*"), not: list("*")}}},
		{name: "taken back in each of two roles", given: []grant{{actions: list("*"), not: list(initiate)}, {actions: list("Microsoft.Security/*"), not: list("*/action")}}},
		// Conditions.
		{name: "a condition", given: []grant{{actions: list("*"), cond: "@Resource[a:b] StringEquals 'c'"}}},
		{name: "a blank condition", given: []grant{{actions: list("*"), cond: " "}}},
		// Scopes.
		{name: "another subscription", given: []grant{at("/subscriptions/" + other)}},
		{name: "a subscription whose id begins alike", given: []grant{at("/subscriptions/" + sub[:35])}},
		{name: "another group", given: []grant{at(inSub + "/resourceGroups/prod")}},
		{name: "a group whose name begins alike", given: []grant{at(demo + "2")}},
		{name: "a group whose name is the beginning", given: []grant{at(demo)}, at: demo + "2/providers/Microsoft.Compute/virtualMachines/web"},
		{name: "another machine", given: []grant{at(vm("app"))}},
		{name: "a machine whose name begins alike", given: []grant{at(vm("web2"))}},
		{name: "a resource of another type with the name", given: []grant{at(demo + "/providers/Microsoft.ClassicCompute/virtualMachines/web")}},
		{name: "below the machine", given: []grant{at(web + "/extensions/x")}},
		{name: "the machine for its group", given: []grant{at(web)}, at: demo},
		{name: "the group for its subscription", given: []grant{at(demo)}, at: inSub},
		{name: "no subscription", given: []grant{everything}, at: "/"},
		{name: "a management group", given: []grant{at(corp)}, at: corp},
		{name: "no scope", given: []grant{everything}, at: " "},
		{name: "a relative scope", given: []grant{everything}, at: web[1:]},
		{name: "two slashes", given: []grant{everything}, at: inSub + "//resourceGroups/demo"},
		{name: "two slashes at the end", given: []grant{everything}, at: web + "//"},
		{name: "dots", given: []grant{at(demo)}, at: demo + "/../prod/providers/Microsoft.Compute/virtualMachines/web"},
		{name: "an id that is no GUID", given: []grant{everything}, at: "/subscriptions/" + sub + "'"},
		// Deny assignments.
		{name: "denied", given: []grant{everything}, deny: []deny{{to: []object{who(ann)}, actions: list(initiate)}}},
		{name: "denied by a pattern in other case", given: []grant{everything}, deny: []deny{{to: []object{who(strings.ToUpper(ann))}, actions: list("MICROSOFT.SECURITY/*")}}},
		{name: "denied to everybody", given: []grant{everything}, deny: []deny{{to: []object{all()}, actions: list("*")}}},
		{name: "denied to everybody but somebody", given: []grant{everything}, deny: []deny{{to: []object{all()}, except: []object{who(bob)}, actions: list("*")}}},
		{name: "denied to nobody by name", given: []grant{everything}, deny: []deny{{actions: list("*")}}},
		{name: "denied to everybody but a group", given: []grant{everything}, deny: []deny{{to: []object{all()}, except: []object{who(team)}, actions: list("*")}}},
		{name: "denied to a group", given: []grant{everything}, deny: []deny{{to: []object{who(team)}, actions: list("*")}}},
		{name: "denied to a group of a group", given: []grant{everything}, deny: []deny{{to: []object{who(unit)}, actions: list("*")}}},
		{name: "denied at the machine", given: []grant{everything}, deny: []deny{{at: web, to: []object{who(ann)}, actions: list("*")}}},
		{name: "denied at the group", given: []grant{at(web)}, deny: []deny{{at: strings.ToUpper(demo), to: []object{who(ann)}, actions: list("*")}}},
		{name: "denied at the management group", given: []grant{everything}, deny: []deny{{at: corp, to: []object{all()}, actions: list("*")}}},
		{name: "denied under a condition", given: []grant{everything}, deny: []deny{{to: []object{all()}, actions: list("*"), cond: "@Request[x] BoolEquals false"}}},
		{name: "denied just here", given: []grant{everything}, deny: []deny{{at: web, to: []object{all()}, actions: list("*"), exact: true}}},
		{name: "denied twice, once with an exception", given: []grant{everything}, deny: []deny{{to: []object{all()}, except: []object{who(ann)}, actions: list("*")}, {to: []object{all()}, actions: list("*")}}},

		{name: "the action itself", given: []grant{{actions: list(initiate)}}, may: true},
		{name: "in other case", given: []grant{{actions: list(strings.ToUpper(initiate))}}, may: true},
		{name: "everything", given: []grant{everything}, may: true},
		{name: "a pattern at the end", given: []grant{{actions: list("Microsoft.Security/*")}}, may: true},
		{name: "a pattern in the middle", given: []grant{{actions: list("microsoft.security/*/action")}}, may: true},
		{name: "a pattern at the beginning", given: []grant{{actions: list("*/initiate/action")}}, may: true},
		{name: "two patterns", given: []grant{{actions: list("Microsoft.*/initiate/*")}}, may: true},
		{name: "another action taken back", given: []grant{{actions: list("*"), not: list(write, "*/delete")}}, may: true},
		{name: "one role takes nothing from another", given: []grant{{actions: list("*"), not: list("*")}, {actions: list(initiate)}}, may: true},
		{name: "one permission takes nothing from another", given: []grant{{actions: list("*"), not: list("*"), more: []object{{"actions": list(initiate)}}}}, may: true},
		{name: "a role with a condition beside one without", given: []grant{{actions: list("*"), cond: "x"}, {actions: list(initiate)}}, may: true},
		{name: "an unknown role beside one", given: []grant{{role: "x"}, {actions: list(initiate)}}, may: true},
		{name: "an empty condition", given: []grant{{actions: list("*"), cond: ""}}, may: true},
		{name: "through a group", given: []grant{{to: team, actions: list("*")}}, may: true},
		{name: "through a group of a group", given: []grant{{to: unit, actions: list("*")}}, may: true},
		{name: "at the root", given: []grant{at(root)}, may: true},
		{name: "at a management group", given: []grant{at(corp)}, may: true},
		{name: "at the group", given: []grant{at(demo)}, may: true},
		{name: "at the machine", given: []grant{at(web)}, may: true},
		{name: "at the machine in other case", given: []grant{at(strings.ToUpper(web))}, may: true},
		{name: "for the subscription", given: []grant{everything}, at: inSub, may: true},
		{name: "a slash at the end", given: []grant{at(demo)}, at: demo + "/", may: true},
		{name: "the scope in other case", given: []grant{at(demo)}, at: strings.ToUpper(web), may: true},
		{name: "letters of other scripts in other case", given: []grant{at(inSub + "/resourceGroups/\u00dcber")}, at: inSub + "/resourceGroups/\u00fcBER", may: true},
		{name: "somebody else is denied", given: []grant{everything}, deny: []deny{{to: []object{who(bob)}, actions: list("*")}}, may: true},
		{name: "everybody else is denied", given: []grant{everything}, deny: []deny{{to: []object{all()}, except: []object{who(strings.ToUpper(ann))}, actions: list("*")}}, may: true},
		{name: "another action is denied", given: []grant{everything}, deny: []deny{{to: []object{all()}, actions: list(write)}}, may: true},
		{name: "all but this is denied", given: []grant{everything}, deny: []deny{{to: []object{all()}, actions: list("*"), not: list("*/INITIATE/action")}}, may: true},
		{name: "denied above, but not below it", given: []grant{everything}, deny: []deny{{to: []object{all()}, actions: list("*"), exact: true}}, may: true},
		{name: "denied at a group whose name begins alike", given: []grant{everything}, deny: []deny{{at: demo + "2", to: []object{all()}, actions: list("*")}}, may: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			for _, g := range tc.given {
				r.grant(g)
			}
			for _, d := range tc.deny {
				r.deny(d)
			}
			want := ""
			if !tc.may {
				want = initiate
			}
			if got := r.missing(ann, or(tc.at, web), initiate); got != want {
				t.Errorf("missing %q, want %q", got, want)
			}
		})
	}
}

// TestMissingNamesTheFirst checks that every action is needed, and that the first missing one is named.
func TestMissingNamesTheFirst(t *testing.T) {
	r := newRig(t)
	r.grant(grant{actions: list(initiate)})
	r.grant(grant{actions: list(readVM), at: demo})
	for _, tc := range []struct {
		at      string
		actions []string
		want    string
	}{
		{web, list(write, read), write},
		{web, list(initiate, read, write), read},
		{inSub, list(initiate, readVM), readVM},
		{web, list(initiate, readVM), ""},
	} {
		if got := r.missing(ann, tc.at, tc.actions...); got != tc.want {
			t.Errorf("%v at %s: missing %q, want %q", tc.actions, tc.at, got, tc.want)
		}
	}
}

// TestWhoIsAsking checks that only a caller with two GUIDs has permissions, and that others cause no calls to ARM.
func TestWhoIsAsking(t *testing.T) {
	r := newRig(t)
	r.grant(grant{actions: list("*")})
	for _, id := range []string{"", "/", ann, "/" + ann, tenant + "/", tenant + "/" + ann + "/" + ann, tenant + "/" + ann + "') or ('", ann + "x/" + ann, "x/" + ann, tenant + "/../" + ann, tenant + "\\" + ann} {
		who := caller(ann)
		who.ID = id
		if got, err := r.Missing(t.Context(), who, web, initiate); got != initiate || err != nil {
			t.Errorf("%q: missing %q, %v", id, got, err)
		}
	}
	for _, actions := range [][]string{nil, {}, {""}, {initiate, ""}} {
		if got, err := r.Missing(t.Context(), caller(ann), web, actions...); err == nil {
			t.Errorf("asked for %q: missing %q and no error", actions, got)
		}
	}
	for _, at := range []string{"/subscriptions/" + sub + "'", "/subscriptions/..%2f" + sub, "/subscriptions/x?y=", "/", corp} {
		if got := r.missing(ann, at, initiate); got != initiate {
			t.Errorf("at %s: missing %q", at, got)
		}
	}
	if calls := r.calls(); len(calls) > 0 {
		t.Errorf("ARM was asked %v", calls)
	}
	upper := caller(strings.ToUpper(ann))
	upper.ID = strings.ToUpper(upper.ID)
	if got, err := r.Missing(t.Context(), upper, web, initiate); got != "" || err != nil {
		t.Errorf("in upper case: missing %q, %v", got, err)
	}
}
