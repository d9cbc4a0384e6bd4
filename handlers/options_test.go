package handlers_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// demanding enables web with options, as the plain face writes them.
func (a *app) demanding(options string) answer {
	a.t.Helper()
	if options != "" {
		options = `,"options":` + options
	}
	return a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"`+options+`}]}`)
}

const everything = `{"forbidAnySource":true,"widestIPv4Prefix":24,"widestIPv6Prefix":64,"requireJustification":true}`

// TestOptions holds what options refuse on both faces, be they the policy's or the installation's:
// 400 with its own code beside its field, nothing stored, nothing opened, and a line in the log.
func TestOptions(t *testing.T) {
	const from = "virtualMachines[0].ports[0].allowedSourceAddressPrefix"
	for _, tc := range []struct {
		name, from, why string
		code, target    string
	}{
		{"any source", "*", "why", "SourceAnyForbidden", from},
		{"all of IPv4", "0.0.0.0/0", "why", "SourceAnyForbidden", from},
		{"one half of IPv4", "0.0.0.0/1", "why", "SourceAnyForbidden", from},
		{"all of public IPv6", "2000::/3", "why", "SourceAnyForbidden", from},
		{"a wide source", "203.0.112.0/23", "why", "SourceTooWide", from},
		{"no justification", "203.0.113.0/24", "", "JustificationRequired", "justification"},
		{"a justification of spaces", "203.0.113.0/24", "\\t \u00a0", "JustificationRequired", "justification"},
	} {
		body := `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"` + tc.from + `"}]}],"justification":"` + tc.why + `"}`
		for face, path := range map[string]string{"plain": "/api/request", "dry run": "/api/request?dryRun=true", "compatible": policy + "/initiate" + version} {
			for _, by := range []string{"policy", "installation"} {
				t.Run(tc.name+"/"+face+"/"+by, func(t *testing.T) {
					a := newCompat(t)
					options := everything
					if by == "installation" {
						options = ""
						a.wire(func(p *core.Ports) {
							p.Floor = jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, RequireJustification: true}
						})
					}
					if r := a.demanding(options); r.status != 200 {
						t.Fatalf("enable: %s", r.text)
					}
					r := a.call("POST", path, body)
					r.wants(t, 400, tc.code)
					if _, target := r.code(); target != tc.target {
						t.Errorf("target %q, want %q", target, tc.target)
					}
					if open, _ := a.store.OpenGrants(t.Context()); len(open) != 0 || a.allows("web-nsg") != 0 {
						t.Errorf("%d grants, %d rules", len(open), a.allows("web-nsg"))
					}
					logged, _, err := a.store.Entries(t.Context(), store.EntryFilter{Operation: store.OpRequest}, "", 10)
					if want := map[bool]int{true: 0, false: 1}[face == "dry run"]; err != nil || len(logged) != want || want == 1 && (logged[0].Result != store.Refused || logged[0].Reason != tc.code) {
						t.Errorf("logged %+v, %v", logged, err)
					}
				})
			}
		}
	}
	a := newCompat(t)
	a.demanding(everything)
	for _, path := range []string{"/api/request", policy + "/initiate" + version} {
		body := `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.0/24"}]}],"justification":"at ` + path + `"}`
		if r := a.call("POST", path, body); r.status >= 300 {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
	}
}

// TestOptionsOfAnExtension: POST /extend is refused as the request would be now.
func TestOptionsOfAnExtension(t *testing.T) {
	a := newApp(t)
	a.demanding("")
	opened := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H"}]}]}`)
	id, _ := opened.body["id"].(string)
	a.wire(func(p *core.Ports) { p.Floor = jit.Options{RequireJustification: true} })
	r := a.call("POST", "/api/requests/"+id+"/extend", `{"duration":"PT2H"}`)
	r.wants(t, 400, "JustificationRequired")
	if _, target := r.code(); target != "justification" || !strings.Contains(r.text, "new one") {
		t.Errorf("%s", r.text)
	}
}

// TestOptionsRefused: options that bound nothing, or are not known.
func TestOptionsRefused(t *testing.T) {
	for options, want := range map[string][2]string{
		`{"widestIPv4Prefix":24}`:                          {"InvalidWidestSource", "virtualMachines[0].options.widestIPv6Prefix"},
		`{"widestIPv4Prefix":33,"widestIPv6Prefix":64}`:    {"InvalidWidestSource", "virtualMachines[0].options.widestIPv4Prefix"},
		`{"widestIPv4Prefix":-1,"widestIPv6Prefix":64}`:    {"InvalidWidestSource", "virtualMachines[0].options.widestIPv4Prefix"},
		`{"widestIPv4Prefix":"/24","widestIPv6Prefix":64}`: {"InvalidRequestContent", "virtualMachines[0].options.widestIPv4Prefix"},
		`{"forbidAnySource":"yes"}`:                        {"InvalidRequestContent", "virtualMachines[0].options.forbidAnySource"},
		`{"forbidAny":true}`:                               {"UnknownField", "virtualMachines[0].options.forbidAny"},
		`{"forbidAnySource":true,"forbidAnySource":false}`: {"DuplicateField", "virtualMachines[0].options.forbidAnySource"},
	} {
		a := newApp(t)
		r := a.demanding(options)
		r.wants(t, 400, want[0])
		if _, target := r.code(); target != want[1] {
			t.Errorf("%s: target %q, want %q", options, target, want[1])
		}
		if all, _ := store.AllPolicies(t.Context(), a.store); len(all) != 0 {
			t.Errorf("%s: stored %+v", options, all)
		}
	}
}

// TestOptionsAreShown: where a policy is shown, what it demands is, and what is in force; the compatible
// face keeps Microsoft's shape, and keeps options that its clients do not know.
func TestOptionsAreShown(t *testing.T) {
	a := newCompat(t)
	a.wire(func(p *core.Ports) { p.Floor = jit.Options{WidestIPv4: 28, WidestIPv6: 60} })
	const inForce = `{"forbidAnySource":true,"widestIPv4Prefix":28,"widestIPv6Prefix":64,"requireJustification":true}`
	shown := func(vm any) {
		t.Helper()
		for field, want := range map[string]string{"options": everything, "optionsInForce": inForce} {
			var w any
			if err := json.Unmarshal([]byte(want), &w); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w, vm.(map[string]any)[field]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", field, diff)
			}
		}
	}
	dry := a.call("POST", "/api/enable?dryRun=true", `{"virtualMachines":[{"id":"`+web+`","options":`+everything+`}]}`)
	shown(dry.body["virtualMachines"].([]any)[0])
	shown(a.demanding(everything).body["virtualMachines"].([]any)[0])
	machine := func() any {
		return a.call("GET", "/api/machines?vm="+web, "").body["value"].([]any)[0]
	}
	shown(machine())
	shown(a.demanding("").body["virtualMachines"].([]any)[0]) // who does not speak of them leaves them

	got := a.call("GET", policy+version, "")
	for _, word := range []string{`"options`, "forbid", "idest", "equire"} {
		if strings.Contains(got.text, word) {
			t.Errorf("the compatible face shows %q: %s", word, got.text)
		}
	}
	if r := a.call("PUT", policy+version, strings.Replace(putBody(web, app1), "PT3H", "PT1H", 1), "If-Match", got.header.Get("ETag")); r.status != 200 {
		t.Fatalf("put: %d %s", r.status, r.text)
	}
	shown(machine())
	if r := a.demanding(`{}`); r.status != 200 || strings.Contains(r.text, "true") {
		t.Errorf("taken off, but %s", r.text)
	}
}
