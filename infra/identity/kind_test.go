package identity_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/infra/identity"
)

// TestKindsRefused holds that each place takes tokens of its own kind only, and that what is in doubt is refused.
func TestKindsRefused(t *testing.T) {
	const notAccess = "not an access token"
	access, id := "Authorization", identity.IDTokenHeader
	app := map[string]any{"scp": nil, "preferred_username": nil, "name": nil}
	with := func(more ...map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range more {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	type claims = map[string]any
	for _, tc := range []struct {
		name, place string
		claims      claims
		header      claims
		want        string
	}{
		{"an ID token", access, claims{"scp": nil, "azp": nil, "nonce": "n"}, nil, "an ID token (it has nonce)"},
		{"an ID token without a nonce", access, claims{"scp": nil, "azp": nil}, nil, notAccess},
		{"an ID token without a name", access, with(app, claims{"azp": nil}), nil, notAccess},
		{"an ID token with roles", access, with(app, claims{"azp": nil, "roles": []string{"Access"}}), nil, notAccess},
		{"an ID token with at_hash", access, claims{"at_hash": "x"}, nil, "an ID token (it has at_hash)"},
		{"an ID token with c_hash", access, claims{"c_hash": "x"}, nil, "an ID token (it has c_hash)"},
		{"an ID token with a nonce that is null", access, claims{"nonce": (*string)(nil)}, nil, "an ID token (it has nonce)"},
		{"an ID token with a client", access, claims{"scp": nil}, nil, notAccess},
		{"version 1, an ID token", access, claims{"scp": nil, "azp": nil, "iss": "https://sts.windows.net/" + tenantA + "/", "ver": "1.0", "upn": "alice@example.com"}, nil, notAccess},
		{"scopes without a client", access, claims{"azp": nil}, nil, notAccess},
		{"a client that is a list", access, claims{"azp": []string{client}}, nil, notAccess},
		{"empty scopes", access, claims{"scp": ""}, nil, notAccess},
		{"blank scopes", access, claims{"scp": "  "}, nil, notAccess},
		{"empty scopes without a name", access, with(app, claims{"scp": ""}), nil, notAccess},
		{"scopes that are a list", access, claims{"scp": []string{"user_impersonation"}}, nil, notAccess},
		{"a person who says so, without scopes", access, with(app, claims{"idtyp": "user"}), nil, notAccess},
		{"a kind that is not known", access, with(app, claims{"idtyp": "device"}), nil, notAccess},
		{"a kind that is not known, with scopes", access, claims{"idtyp": "device"}, nil, notAccess},
		{"a kind that is null, with scopes", access, claims{"idtyp": (*string)(nil)}, nil, notAccess},
		{"an application that has a person's scopes", access, claims{"idtyp": "app"}, nil, notAccess},
		{"a kind that is no text", access, with(app, claims{"idtyp": true}), nil, notAccess},
		{"bound to a key", access, claims{"cnf": claims{"kid": "x"}}, nil, "a token with cnf"},
		{"bound to a key, as a text", access, claims{"cnf": "x"}, nil, "a token with cnf"},
		{"bound to a key, for an application", access, with(app, claims{"cnf": claims{"x5t#S256": "x"}}), nil, "a token with cnf"},
		{"a logout token", access, claims{"events": claims{"http://schemas.openid.net/event/backchannel-logout": claims{}}, "sid": "x"}, nil, "a token with events"},
		{"a logout token by its type", access, nil, claims{"typ": "logout+jwt"}, `the type "logout+jwt"`},
		{"a proof of possession by its type", access, nil, claims{"typ": "pop"}, `the type "pop"`},
		{"a type that is no text", access, nil, claims{"typ": 1}, "the type"},

		{"an access token", id, nil, nil, "an access token (it has scp)"},
		{"an application's access token", id, app, nil, "an access token (it has azp)"},
		{"an access token of version 1", id, claims{"scp": nil, "azp": nil, "appid": client}, nil, "an access token (it has appid)"},
		{"an access token that says whose it is", id, claims{"scp": nil, "azp": nil, "idtyp": "user"}, nil, "an access token (it has idtyp)"},
		{"an access token by how the client proved itself", id, claims{"scp": nil, "azp": nil, "azpacr": "1"}, nil, "an access token (it has azpacr)"},
		{"an ID token bound to a key", id, claims{"scp": nil, "azp": nil, "nonce": "n", "cnf": claims{"kid": "x"}}, nil, "a token with cnf"},
		{"a logout token in the place of an ID token", id, claims{"scp": nil, "azp": nil, "events": claims{}}, nil, "a token with events"},
		{"the type of an access token", id, claims{"scp": nil, "azp": nil}, claims{"typ": "at+jwt"}, `the type "at+jwt"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEntra()
			d := e.draft()
			d.set(tc.claims)
			if tc.header["typ"] != nil {
				d.header["typ"] = tc.header["typ"]
			}
			token := d.sign(t)
			if tc.place == access {
				token = "Bearer " + token
			}
			refused(t, e.verifier(t, public), request(t, tc.place, token), tc.want)
		})
	}
}

// TestIDTokensAccepted holds what App Service authentication forwards.
func TestIDTokensAccepted(t *testing.T) {
	const person = "alice@example.com"
	for _, tc := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"version 2", nil, person},
		{"without a nonce", map[string]any{"nonce": nil}, person},
		{"with app roles", map[string]any{"roles": []string{"Access"}}, person},
		{"with hashes of what was handed out with it", map[string]any{"at_hash": "x", "c_hash": "y"}, person},
		{"without a name", map[string]any{"preferred_username": nil, "name": nil}, alice},
		{"version 1", map[string]any{"iss": "https://sts.windows.net/" + tenantA + "/", "ver": "1.0", "preferred_username": nil, "upn": person}, person},
	} {
		e := newEntra()
		d := e.idDraft()
		d.set(tc.claims)
		got, err := e.verifier(t, public).Caller(request(t, identity.IDTokenHeader, d.sign(t)))
		if want := (jit.Caller{ID: tenantA + "/" + alice, Name: tc.want, Kind: jit.Person}); err != nil || got != want {
			t.Errorf("%s: %v, %+v, want %+v", tc.name, err, got, want)
		}
	}
}

// TestRoles holds which app roles a caller has: those that the token names in their own spelling, in a list.
func TestRoles(t *testing.T) {
	both := jit.Roles{Approver: true, BreakGlass: true}
	for _, tc := range []struct {
		name   string
		claims map[string]any
		want   jit.Roles
	}{
		{"none", nil, jit.Roles{}},
		{"another app's", map[string]any{"roles": []string{"Approver", "Access"}}, jit.Roles{}},
		{"in another case", map[string]any{"roles": []string{"portcullis.approver", "PORTCULLIS.BREAKGLASS"}}, jit.Roles{}},
		{"a text", map[string]any{"roles": "Portcullis.Approver"}, jit.Roles{}},
		{"no texts", map[string]any{"roles": []any{1, nil, map[string]any{"Portcullis.Approver": true}}}, jit.Roles{}},
		{"as groups", map[string]any{"groups": []string{"Portcullis.Approver"}, "wids": []string{"Portcullis.BreakGlass"}}, jit.Roles{}},
		{"one", map[string]any{"roles": []string{"Portcullis.Approver"}}, jit.Roles{Approver: true}},
		{"both", map[string]any{"roles": []string{"x", "Portcullis.BreakGlass", "Portcullis.Approver"}}, both},
		{"an application's", map[string]any{"scp": nil, "preferred_username": nil, "name": nil, "roles": []string{"Portcullis.Approver", "Portcullis.BreakGlass"}}, both},
	} {
		e := newEntra()
		d := e.draft()
		d.set(tc.claims)
		got, err := e.verifier(t, public).Caller(with(t, d.sign(t)))
		if err != nil || got.Roles != tc.want {
			t.Errorf("%s: %v, %+v, want %+v", tc.name, err, got.Roles, tc.want)
		}
	}
}

// TestGroups holds which groups a caller is known to be in: those that the token names, if it names all of them by their ids.
func TestGroups(t *testing.T) {
	const one, two = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprintf("11111111-0000-4000-8000-%012d", i)
	}
	for _, tc := range []struct {
		name   string
		groups any
		want   []string
	}{
		{"none", nil, nil}, {"a text", one, nil}, {"names", []string{"Admins"}, nil}, {"a name among ids", []string{one, "Admins"}, nil}, {"no texts", []any{1, one}, nil}, {"more than a token names", many, nil},
		{"ids", []string{two, strings.ToUpper(one)}, []string{one, two}},
	} {
		e := newEntra()
		d := e.draft()
		d.set(map[string]any{"groups": tc.groups})
		got, err := e.verifier(t, public).Caller(with(t, d.sign(t)))
		if err != nil || !slices.Equal(got.Groups.IDs(), tc.want) {
			t.Errorf("%s: %v, %v, want %v", tc.name, err, got.Groups, tc.want)
		}
	}
}

// TestPermissions holds that an access token needs a required scope, or, where it is an application's own, a required app role.
func TestPermissions(t *testing.T) {
	const why = "without any of the scopes or app roles"
	app := func(roles any) map[string]any {
		return map[string]any{"scp": nil, "preferred_username": nil, "name": nil, "roles": roles}
	}
	required := []string{"user_impersonation", "Portcullis.Call"}
	for _, tc := range []struct {
		name     string
		required []string
		claims   map[string]any
		want     string
	}{
		{"none is required, a person", nil, map[string]any{"scp": "other"}, ""},
		{"none is required, an application", nil, app(nil), ""},
		{"a person's scope", required, map[string]any{"scp": "other user_impersonation"}, ""},
		{"a person without it", required, map[string]any{"scp": "other"}, why},
		{"a scope that begins alike", required, map[string]any{"scp": "user_impersonation2"}, why},
		{"a scope in another case", required, map[string]any{"scp": "User_Impersonation"}, why},
		{"a person's role in the place of a scope", required, map[string]any{"scp": "other", "roles": []string{"Portcullis.Call"}}, why},
		{"an application's role", required, app([]string{"x", "Portcullis.Call"}), ""},
		{"an application without roles", required, app(nil), why},
		{"an application with another role", required, app([]string{"Portcullis.Call2"}), why},
		{"an application's roles that are a text", required, app("Portcullis.Call"), why},
		{"a required name that is two scopes", []string{"a"}, map[string]any{"scp": "ab a.b"}, why},
	} {
		e := newEntra()
		d := e.draft()
		d.set(tc.claims)
		v, err := identity.New(identity.Config{Authority: public, Tenants: []string{tenantA}, Audiences: []string{appID}, Permissions: tc.required, Now: e.Now, HTTPClient: &http.Client{Transport: e}})
		if err != nil {
			t.Fatal(err)
		}
		if tc.want != "" {
			refused(t, v, with(t, d.sign(t)), tc.want)
		} else if got := call(t, v, d.sign(t)); got != "" {
			t.Errorf("%s: %s", tc.name, got)
		}
		if _, err := v.Caller(request(t, identity.IDTokenHeader, e.idDraft().sign(t))); err != nil {
			t.Errorf("%s: an ID token, which holds no scopes: %v", tc.name, err)
		}
	}
	for _, bad := range []string{"", "a b", "a\n", " a"} {
		if _, err := identity.New(identity.Config{Authority: public, Tenants: []string{tenantA}, Audiences: []string{appID}, Permissions: []string{"ok", bad}}); err == nil {
			t.Errorf("%q is taken for a permission", bad)
		}
	}
}
