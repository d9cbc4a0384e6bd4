package handlers_test

import (
	"strings"
	"testing"
	"time"
)

// TestReplacedIsTold: on each face, a shorter second request of the same person says that it takes the place of the longer window: in the answer and its dry run, in
// the request as it is shown, in a header where the body is Microsoft's. One that is not shorter says nothing.
func TestReplacedIsTold(t *testing.T) {
	const told = `"replaces":[{"request":"ID","virtualMachine":"` + web + `","ports":[22,3389],"endTimeUtc":"2026-11-23T14:00:00.000Z"}]`
	body := func(length string) string {
		return initiate(web, `{"number":22,"duration":"`+length+`"},{"number":3389,"duration":"`+length+`"}`)
	}
	for name, tt := range map[string]struct {
		path   string
		status int
		header string
	}{
		"the plain face":      {"/api/request", 200, ""},
		"the compatible face": {policy + "/initiate" + version, 202, "replaces 2 windows that end later"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"}]}`).wants(t, 200, "")
			first := a.call("POST", "/api/request", body("PT2H"))
			id, _ := first.body["id"].(string)
			a.leap(time.Minute)
			longer := a.call("POST", "/api/request?dryRun=true", body("PT3H"))
			longer.wants(t, 200, "")
			if strings.Contains(first.text+longer.text, "replaces") {
				t.Errorf("it replaces nothing that is longer: %s", first.text+longer.text)
			}
			if tt.header == "" {
				a.call("POST", tt.path+"?dryRun=true", body("PT30M")).tells(t, id, []string{told})
			}
			second := a.call("POST", tt.path, body("PT30M"))
			second.wants(t, tt.status, "")
			if got := second.header.Get("x-portcullis-windows"); got != tt.header {
				t.Errorf("the header says %q", got)
			}
			if tt.header == "" {
				second.tells(t, id, []string{told})
				again, _ := second.body["id"].(string)
				a.call("GET", "/api/requests/"+again, "").tells(t, id, []string{told})
			} else if strings.Contains(second.text, "replaces") {
				t.Errorf("a field that Microsoft's answer does not have: %s", second.text)
			}
			if now := a.call("GET", "/api/requests/"+id, ""); !strings.Contains(now.text, "NewerRequestInitiated") {
				t.Errorf("the first reads %s", now.text)
			}
		})
	}
}
