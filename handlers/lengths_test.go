package handlers_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestNoLengthThatNobodyAskedFor: a length beyond what a duration holds is refused on both faces, in a dry run and in the log, in words, never
// as the largest number there is.
func TestNoLengthThatNobodyAskedFor(t *testing.T) {
	saturated := regexp.MustCompile(`25620\d\d|106751|9223372036|\d+h\d+m|\b240 h|1752000`)
	for _, length := range []string{`"duration":"PT500H"`, `"duration":"P3W"`, `"duration":"P290Y"`, `"duration":"P292Y"`, `"duration":"PT2562047H"`, `"duration":"PT9999999999999H"`, `"endTimeUtc":"2400-01-01T00:00:00Z"`, `"endTimeUtc":"9999-12-31T23:59:59.9999999Z"`, `"duration":"PT25H"`} {
		a := newCompat(t)
		a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"}]}`).wants(t, 200, "")
		opened := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H"}]}]}`)
		id, _ := opened.body["id"].(string)
		body := `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":3389,"allowedSourceAddressPrefix":"203.0.113.7",` + length + `}]}]}`
		answers := map[string]answer{
			"request":         a.call("POST", "/api/request", body),
			"dry run":         a.call("POST", "/api/request?dryRun=true", body),
			"extend":          a.call("POST", "/api/requests/"+id+"/extend", "{"+length+"}"),
			"initiate":        a.call("POST", policy+"/initiate"+version, body),
			"policy, by mind": a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"maxRequestAccessDuration":`+length[strings.Index(length, ":")+1:]+`}]}]}`),
			"the log":         a.call("GET", "/api/activity", ""),
			"the log as text": a.call("GET", "/api/activity?format=csv", ""),
		}
		for name, got := range answers {
			if strings.HasPrefix(name, "the log") != (got.status == 200) {
				t.Errorf("%s of %s is answered %d: %s", name, length, got.status, got.text)
			}
			if what := saturated.FindString(got.text); what != "" {
				t.Errorf("%s of %s says %s: %s", name, length, what, got.text)
			}
		}
	}
}
