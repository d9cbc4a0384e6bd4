package handlers_test

import (
	"strings"
	"testing"
	"time"
)

// TestNarrowingIsTold: on each face, an edit that takes away what is open says in its answer, and in its dry run, which windows end or end earlier; the
// request reads so from then on.
func TestNarrowingIsTold(t *testing.T) {
	const (
		ssh   = `{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT1H"}`
		wide  = `{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"},{"number":3389,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}`
		told  = `"summary":"closes 1 window and shortens 1 window"`
		ports = `"closes":[{"request":"ID","virtualMachine":"` + web + `","ports":[3389]}]`
	)
	id := strings.TrimPrefix(policy, "/api")
	for name, tt := range map[string]struct {
		path, dry, before, after string
		want                     []string
	}{
		"enable":             {"/api/enable", "?dryRun=true", `{"virtualMachines":[{"id":"` + web + `","ports":[`, `]}]}`, []string{told, ports, `"shortens":[{"request":"ID","virtualMachine":"` + web + `","ports":[22],"endTimeUtc":"2026-11-23T13:00:00.000Z"}]`}},
		"Defender's list":    {"/api/import", "?dryRun=true", `{"value":[{"id":"` + id + `","properties":{"virtualMachines":[{"id":"` + web + `","ports":[`, `]}]}}]}`, []string{told, ports}},
		"a document":         {restoring, "?dryRun=true", `{"format":"portcullis-policies","version":1,"policies":[{"id":"` + id + `","virtualMachines":[{"id":"` + web + `","existingRules":"override","ports":[`, `]}]}],"virtualMachineCount":1,"complete":true}`, []string{told, ports}},
		"the compatible PUT": {policy + version, "", `{"kind":"Basic","properties":{"virtualMachines":[{"id":"` + web + `","ports":[`, `]}]}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[`+wide+`]}]}`).wants(t, 200, "")
			opened := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT2H"},{"number":3389,"duration":"PT2H"}]}]}`)
			request, _ := opened.body["id"].(string)
			a.leap(time.Minute)
			method := "POST"
			if tt.dry == "" {
				method = "PUT"
			} else {
				dry := a.call("POST", tt.path+tt.dry, tt.before+ssh+tt.after)
				dry.wants(t, 200, "")
				dry.tells(t, request, tt.want)
				if a.allows("web-nsg") != 2 && a.allows("web-nsg") != 1 {
					t.Errorf("the dry run left %d rules", a.allows("web-nsg"))
				}
			}
			done := a.call(method, tt.path, tt.before+ssh+tt.after)
			done.wants(t, 200, "")
			done.tells(t, request, tt.want)
			if got := done.header.Get("x-portcullis-windows"); (tt.dry == "") != (got == "closes 1 window and shortens 1 window") {
				t.Errorf("the header says %q", got)
			}
			now := a.call("GET", "/api/requests/"+request, "")
			if !strings.Contains(now.text, `"number":3389,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.7","endTimeUtc":"2026-11-23T12:01:00.000Z","status":"Revoked","statusReason":"PolicyChanged"`) || !strings.Contains(now.text, `"endTimeUtc":"2026-11-23T13:00:00.000Z","status":"Initiated"`) {
				t.Errorf("the request reads %s", now.text)
			}
			gone := a.call("POST", "/api/disable", `{"virtualMachines":[{"id":"`+web+`"}]}`)
			if want := strings.Replace(`"closes":[{"request":"ID","virtualMachine":"`+web+`","ports":[22]}]`, "ID", request, 1); !strings.Contains(gone.text, want) {
				t.Errorf("disable answers %s", gone.text)
			}
		})
	}
}

// TestDeletionTellsWhatItEnds: the compatible DELETE says in its header how many windows it has closed, and nothing where none was open.
func TestDeletionTellsWhatItEnds(t *testing.T) {
	a := newCompat(t)
	for _, want := range []string{"", "closes 1 window"} {
		a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]}]}`).wants(t, 200, "")
		if want != "" {
			a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT2H"}]}]}`)
		}
		gone := a.call("DELETE", policy+version, "")
		gone.wants(t, 200, "")
		if got := gone.header.Get("x-portcullis-windows"); got != want || len(gone.header.Values("x-portcullis-windows")) > 1 {
			t.Errorf("the header says %q, want %q", got, want)
		}
	}
}

// tells holds that an answer has each of the texts, in which ID stands for the request's.
func (r answer) tells(t *testing.T, request string, texts []string) {
	t.Helper()
	for _, text := range texts {
		if want := strings.ReplaceAll(text, "ID", request); !strings.Contains(r.text, want) {
			t.Errorf("it does not say %s: %s", want, r.text)
		}
	}
}
