package identity_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestAnswersRefused holds that keys come from nowhere but where the configuration leads.
func TestAnswersRefused(t *testing.T) {
	document := v2(tenantA) + "/.well-known/openid-configuration"
	keys := public + "/" + tenantA + "/discovery/v2.0/keys"
	about := func(issuer, at string) string {
		text, err := json.Marshal(map[string]string{"issuer": issuer, "jwks_uri": at})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, test := range []struct {
		name   string
		change func(*entra)
	}{
		{"document of another tenant", func(e *entra) { e.bodies[document] = about(v2(tenantB), keys) }},
		{"document of any tenant", func(e *entra) { e.bodies[document] = about(v2("{tenantid}"), keys) }},
		{"document of nobody", func(e *entra) { e.bodies[document] = about("", keys) }},
		{"no keys address", func(e *entra) { e.bodies[document] = about(v2(tenantA), "") }},
		{"keys in plain http", func(e *entra) { e.bodies[document] = about(v2(tenantA), "http://login.microsoftonline.com/keys") }},
		{"keys in a file", func(e *entra) { e.bodies[document] = about(v2(tenantA), "file:///etc/keys") }},
		{"keys with a user", func(e *entra) { e.bodies[document] = about(v2(tenantA), "https://x@login.microsoftonline.com/keys") }},
		{"redirect", func(e *entra) { e.status = http.StatusFound }},
		{"error", func(e *entra) { e.status = http.StatusServiceUnavailable }},
		{"document is HTML", func(e *entra) { e.bodies[document] = "<html>" }},
		{"document is too long", func(e *entra) {
			e.bodies[document] = about(v2(tenantA), keys) + strings.Repeat(" ", 1<<20)
		}},
		{"keys are HTML", func(e *entra) { e.bodies[keys] = "<html>" }},
		{"keys are a list", func(e *entra) { e.bodies[keys] = "[]" }},
		{"no keys", func(e *entra) { e.bodies[keys] = `{"keys":[]}` }},
		{"no key that can be used", func(e *entra) {
			e.bodies[keys] = `{"keys":[7,{"kty":"RSA"},{"kty":"RSA","kid":"x","use":"sig","n":"!","e":"AQAB"}]}`
		}},
		{"no key with an id", func(e *entra) { e.keys = []map[string]any{pairs()["current"].jwk(map[string]any{"kid": ""})} }},
		{"keys are private", func(e *entra) {
			e.bodies[keys] = `{"keys":[{"kty":"oct","use":"sig","kid":"` + pairs()["current"].kid + `","k":"AAAA"}]}`
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEntra()
			test.change(e)
			if got := call(t, e.verifier(t, public), e.draft().sign(t)); got != "unavailable" {
				t.Errorf("got %q", got)
			}
			for address := range e.asked {
				if address != document && address != keys {
					t.Errorf("%s was asked", address)
				}
			}
		})
	}
}

// TestSecondKeyOfTheSameIDIsIgnored holds that what is published first counts.
func TestSecondKeyOfTheSameIDIsIgnored(t *testing.T) {
	e := newEntra()
	e.keys = append(e.keys, pairs()["attacker"].jwk(map[string]any{"kid": pairs()["current"].kid, "x5t": nil, "x5c": nil}))
	d := e.draft()
	v := e.verifier(t, public)
	if got := call(t, v, d.sign(t)); got != "" {
		t.Errorf("the first: %q", got)
	}
	d.key = pairs()["attacker"].private
	if got := call(t, v, d.sign(t)); got != "refused" {
		t.Errorf("the second: %q", got)
	}
}

// TestLoopbackStaysAtHome holds that an issuer on this machine cannot send the app elsewhere for keys.
func TestLoopbackStaysAtHome(t *testing.T) {
	const home = "http://127.0.0.1:7072"
	for address, want := range map[string]string{home + "/keys": "", "https://evil.example/keys": "unavailable", "http://127.0.0.1:7073/keys": "unavailable", "http://localhost:7072/keys": "unavailable"} {
		e := newEntra()
		iss := home + "/" + tenantA + "/v2.0"
		about, err := json.Marshal(map[string]string{"issuer": iss, "jwks_uri": address})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := json.Marshal(map[string]any{"keys": e.keys})
		if err != nil {
			t.Fatal(err)
		}
		e.bodies[iss+"/.well-known/openid-configuration"], e.bodies[address] = string(about), string(keys)
		d := e.draft()
		d.set(map[string]any{"iss": iss})
		if got := call(t, e.verifier(t, home), d.sign(t)); got != want {
			t.Errorf("keys at %s: %q", address, got)
		}
		if want != "" && e.asked[address] != 0 {
			t.Errorf("%s was asked", address)
		}
	}
}
