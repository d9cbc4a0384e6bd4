package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestJustificationIsText: on both faces a justification that cannot be read as it is written is refused, and one
// over several lines is kept on one.
func TestJustificationIsText(t *testing.T) {
	ask := func(why string) string {
		text, err := json.Marshal(why)
		if err != nil {
			t.Fatal(err)
		}
		return `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}]}],"justification":` + string(text) + `}`
	}
	for face, path := range map[string]string{"plain": "/api/request", "dry run": "/api/request?dryRun=true", "compatible": policy + "/initiate" + version} {
		a := newCompat(t)
		a.call("PUT", policy+version, putBody(web))
		for _, why := range []string{"a\x00b", "a\x1b[31m", "gpj.\u202eexe", "\u2066x\u2069", "a\u200bb", "\ufeff", "\u007f"} {
			r := a.call("POST", path, ask(why))
			if code, target := r.code(); r.status != 400 || code != "TextNotPrintable" || target != "justification" || strings.Contains(r.text, why) {
				t.Errorf("%s: %q is answered %d %s", face, why, r.status, r.text)
			}
		}
		if open, _ := a.store.OpenGrants(t.Context()); len(open) != 0 {
			t.Errorf("%s: a refusal opened something", face)
		}
		r := a.call("POST", path, ask("first\r\nsecond\u2028third\tfourth\n"))
		if (r.status != 200 && r.status != 202) || r.body["justification"] != "first second third fourth" {
			t.Errorf("%s: %d %s", face, r.status, r.text)
		}
	}
}

// TestKeysAreText: an idempotency key is kept, and so is one line of what can be seen.
func TestKeysAreText(t *testing.T) {
	a := newApp(t)
	a.enable()
	for _, key := range []string{"a\tb", "\u202e", "caf\xe9", strings.Repeat("k", 201)} {
		r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`), "Idempotency-Key", key)
		if code, target := r.code(); r.status != 400 || code == "" || target != "Idempotency-Key" {
			t.Errorf("%q: %d %s", key, r.status, r.text)
		}
	}
}
