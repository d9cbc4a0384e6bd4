package identity_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/infra/identity"
)

func TestTokensAccepted(t *testing.T) {
	drop := func(names ...string) map[string]any {
		out := map[string]any{}
		for _, n := range names {
			out[n] = nil
		}
		return out
	}
	change := func(maps ...map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range maps {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	v1 := func(sts string) map[string]any {
		return change(drop("azp", "preferred_username"), map[string]any{"iss": sts + "/" + tenantA + "/", "ver": "1.0", "aud": appURI, "appid": client, "upn": "alice@example.com", "unique_name": "old@example.com"})
	}
	app := drop("scp", "preferred_username", "name")
	e := newEntra()
	now := e.Now()
	const person, service = "alice@example.com", "app:" + client
	for _, test := range []struct {
		name, authority string
		claims          map[string]any
		want            string // name
	}{
		{"person, version 2", public, nil, person},
		{"person, version 1", public, v1("https://sts.windows.net"), person},
		{"person, version 1, without a upn as guests are", public, change(v1("https://sts.windows.net"), drop("upn")), "old@example.com"},
		{"Azure Government, version 2", government, map[string]any{"iss": government + "/" + tenantA + "/v2.0"}, person},
		{"Azure Government, version 1", government, v1("https://sts.windows.net"), person},
		{"China, version 2", china, map[string]any{"iss": china + "/" + tenantA + "/v2.0"}, person},
		{"China, version 1", china, v1("https://sts.chinacloudapi.cn"), person},
		{"a cloud to come, version 2", "https://login.sovereign.example", map[string]any{"iss": "https://login.sovereign.example/" + tenantA + "/v2.0"}, person},
		{"oid in upper case", public, map[string]any{"oid": strings.ToUpper(alice)}, person},
		{"app that says so", public, map[string]any{"idtyp": "app", "scp": nil}, service},
		{"app, version 2, by its roles", public, change(app, map[string]any{"roles": []string{"Access"}}), service},
		{"app, version 2, managed identity without roles", public, app, service},
		{"app, version 1", public, change(v1("https://sts.windows.net"), drop("scp", "upn", "unique_name", "name")), service},
		{"app without a client id", public, change(app, drop("azp"), map[string]any{"idtyp": "app"}), "app:" + alice},
		{"app with a client id that is no GUID", public, change(app, map[string]any{"azp": "x,y\n"}), "app:" + alice},
		{"person without a name", public, drop("preferred_username"), alice},
		{"name that poses as an app", public, map[string]any{"preferred_username": "App:" + client}, alice},
		{"name that poses as the app itself", public, map[string]any{"preferred_username": "Portcullis"}, alice},
		{"name with a line break", public, map[string]any{"preferred_username": "a\nb"}, alice},
		{"name written from right to left", public, map[string]any{"preferred_username": "a\u202eb"}, alice},
		{"name that is too long", public, map[string]any{"preferred_username": strings.Repeat("x", 257)}, alice},
		{"name with letters of all the world", public, map[string]any{"preferred_username": "žofie@пример.example"}, "žofie@пример.example"},
		{"expired within the skew", public, map[string]any{"exp": now.Add(time.Second - identity.Skew).Unix()}, person},
		{"valid from the skew from now", public, map[string]any{"nbf": now.Add(identity.Skew).Unix(), "iat": now.Add(identity.Skew).Unix()}, person},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := e.draft()
			d.set(test.claims)
			token := d.sign(t)
			want := jit.Caller{ID: tenantA + "/" + alice, Name: test.want, Kind: jit.Person, Client: client}
			if strings.HasPrefix(test.want, "app:") {
				want.Kind = jit.Application
			}
			if strings.HasPrefix(test.name, "app with") { // none, or none that is a GUID
				want.Client = ""
			}
			for name, r := range map[string]*http.Request{
				"Authorization": with(t, token),
				"other case":    request(t, "authorization", "bEARER "+token),
				"both":          request(t, "Authorization", "Bearer "+token, identity.IDTokenHeader, "ignored"),
			} {
				got, err := e.verifier(t, test.authority).Caller(r)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got != want {
					t.Errorf("%s: got %+v, want %+v", name, got, want)
				}
			}
		})
	}
}

// TestActor: beside the name, which is no proof of anything, stands who it is, for what and how. What the token says of it is
// bounded and can be printed.
func TestActor(t *testing.T) {
	const bob = "eeeeeeee-0000-4000-8000-000000000002"
	id := func(change func(*draft)) func(*draft) {
		return func(d *draft) {
			d.set(map[string]any{"scp": nil, "azp": nil, "nonce": "n"})
			change(d)
		}
	}
	set := func(name string, value any) func(*draft) {
		return func(d *draft) { d.set(map[string]any{name: value}) }
	}
	e := newEntra()
	v := e.verifier(t, public)
	for _, tc := range []struct {
		name   string
		change func(*draft)
		at     string
		want   jit.Actor
	}{
		{"another's name", set("oid", bob), "", jit.Actor{Object: bob, Kind: jit.Person, Client: client}},
		{"a client in upper case", set("azp", strings.ToUpper(client)), "", jit.Actor{Object: alice, Kind: jit.Person, Client: client}},
		{"a client that is no GUID", set("azp", "curl"), "", jit.Actor{Object: alice, Kind: jit.Person}},
		{"an application's own", func(d *draft) { d.set(map[string]any{"scp": nil, "idtyp": "app"}) }, "", jit.Actor{Object: alice, Kind: jit.Application, Client: client}},
		{"an ID token", id(func(*draft) {}), identity.IDTokenHeader, jit.Actor{Object: alice, Kind: jit.Person}},
		{"an ID token of two factors", id(set("amr", []string{"pwd", "mfa"})), identity.IDTokenHeader, jit.Actor{Object: alice, Kind: jit.Person, SignIn: "pwd mfa"}},
		{"amr", set("amr", []string{"rsa", "ngcmfa", "fed_1-x"}), "", jit.Actor{Object: alice, Kind: jit.Person, Client: client, SignIn: "rsa ngcmfa fed_1-x"}},
		{"amr that is no list", set("amr", "pwd"), "", jit.Actor{Object: alice, Kind: jit.Person, Client: client}},
		{"amr of anything", set("amr", []any{1, nil, "", "two words", "a\nb", "m\u202efa", "pẃd", "=1", strings.Repeat("x", 25), "mfa"}), "", jit.Actor{Object: alice, Kind: jit.Person, Client: client, SignIn: "mfa"}},
		{"amr without end", set("amr", slices.Repeat([]string{strings.Repeat("x", 24)}, 200)), "", jit.Actor{Object: alice, Kind: jit.Person, Client: client,
			SignIn: strings.TrimSpace(strings.Repeat(strings.Repeat("x", 24)+" ", 8))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := e.draft()
			tc.change(d)
			r := with(t, d.sign(t))
			if tc.at != "" {
				r = request(t, tc.at, d.sign(t))
			}
			got, err := v.Caller(r)
			if tc.want.Tenant = tenantA; err != nil || got.Actor() != tc.want {
				t.Errorf("got %+v, %v, want %+v", got.Actor(), err, tc.want)
			}
			if tc.want.Kind == jit.Person && got.Name != "alice@example.com" {
				t.Errorf("the name is %q", got.Name)
			}
		})
	}
}

// TestTwoTenants holds that one object id in two tenants is two callers.
func TestTwoTenants(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	for _, tenant := range []string{tenantA, tenantB} {
		d := e.draft()
		d.set(map[string]any{"iss": v2(tenant), "tid": tenant})
		got, err := v.Caller(with(t, d.sign(t)))
		if want := tenant + "/" + alice; err != nil || got.ID != want {
			t.Errorf("got %q, %v, want %q", got.ID, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := func() identity.Config {
		return identity.Config{Authority: public, Tenants: []string{tenantA}, Audiences: []string{appID}}
	}
	authority := func(s string) func(*identity.Config) { return func(c *identity.Config) { c.Authority = s } }
	tenants := func(s ...string) func(*identity.Config) { return func(c *identity.Config) { c.Tenants = s } }
	audiences := func(s ...string) func(*identity.Config) { return func(c *identity.Config) { c.Audiences = s } }
	for name, change := range map[string]func(*identity.Config){
		"nothing at all":                 func(c *identity.Config) { *c = identity.Config{} },
		"no authority":                   authority(""),
		"no scheme":                      authority("login.microsoftonline.com"),
		"plain http":                     authority("http://login.microsoftonline.com"),
		"plain http by name":             authority("http://localhost:7072"),
		"plain http, a name like it":     authority("http://127.0.0.1.example"),
		"plain http, not loopback":       authority("http://10.0.0.1:7072"),
		"other scheme":                   authority("ftp://127.0.0.1"),
		"with a tenant":                  authority(public + "/" + tenantA),
		"with a user":                    authority("https://user@login.microsoftonline.com"),
		"with a query":                   authority(public + "?x=y"),
		"in upper case":                  authority("https://LOGIN.microsoftonline.com"),
		"no tenant":                      tenants(),
		"tenant by name":                 tenants("contoso.onmicrosoft.com"),
		"any tenant":                     tenants("common"),
		"any organization":               tenants("organizations"),
		"personal accounts":              tenants(personal),
		"personal accounts, upper case":  tenants(strings.ToUpper(personal)),
		"one of two tenants is empty":    tenants(tenantA, ""),
		"no audience":                    audiences(),
		"one of two audiences is empty":  audiences(appID, ""),
		"audience with a space about it": audiences(" " + appID),
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			change(&c)
			if v, err := identity.New(c); err == nil || v != nil {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
	for _, a := range []string{public, public + "/", government, china, "http://127.0.0.1:7072", "http://[::1]:7072"} {
		c := good()
		c.Authority = a
		if _, err := identity.New(c); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}
