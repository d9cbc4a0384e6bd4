package handlers_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/decide"
	"portcullis/core/jit"
)

// starting gives the body of a request for an hour, or for what port says, from a start on, with more members before it.
func starting(start, more, port string) string {
	if port == "" {
		port = `"duration":"PT1H"`
	}
	return `{` + more + `"startTimeUtc":` + start + `,"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,` + port + `,"allowedSourceAddressPrefix":"203.0.113.7"}]}]}`
}

// TestStartIsRefused: on both faces each misuse of a start has its code, whether it is a dry run or not, and nothing is stored. Where the time is what is
// wrong, the refusal tells the time here.
func TestStartIsRefused(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	writes := a.cloud.Writes()
	for name, tc := range map[string]struct{ body, code, target, says string }{
		"an hour ago":                        {starting(`"2026-11-23T11:00:00Z"`, ``, ``), "StartTimeInPast", "startTimeUtc", "here it is 2026-11-23T12:00:00Z"},
		"by a clock that is an hour late":    {starting(`"2026-11-23T11:30:00Z"`, ``, ``), "StartTimeInPast", "startTimeUtc", "here it is 2026-11-23T12:00:00Z, and clocks may differ by 2 min"},
		"local time that is written as UTC":  {starting(`"2026-11-23T07:30:00Z"`, ``, ``), "StartTimeInPast", "startTimeUtc", "look at your clock and at the offset"},
		"just beyond what clocks may differ": {starting(`"2026-11-23T11:57:59.999Z"`, ``, ``), "StartTimeInPast", "startTimeUtc", "here it is"},
		"before there was time":              {starting(`"0001-01-01T00:00:00Z"`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"long before":                        {starting(`"0001-01-01T00:00:01Z"`, ``, ``), "StartTimeInPast", "startTimeUtc", "here it is"},
		"in 15 days":                         {starting(`"2026-12-08T12:00:00Z"`, ``, ``), "StartTimeTooFarAhead", "startTimeUtc", "a request may begin until 2026-12-07T12:00:00Z"},
		"in the next millennium":             {starting(`"9999-12-31T23:59:59Z"`, ``, ``), "StartTimeTooFarAhead", "startTimeUtc", "here it is 2026-11-23T12:00:00Z"},
		"without an offset":                  {starting(`"2026-11-23T13:00:00"`, ``, ``), "StartTimeWithoutOffset", "startTimeUtc", "+02:00"},
		"without an offset, with a fraction": {starting(`"2026-11-23T13:00:00.5"`, ``, ``), "StartTimeWithoutOffset", "startTimeUtc", "Z for UTC"},
		"without an offset and seconds":      {starting(`"2026-11-23T13:00"`, ``, ``), "StartTimeWithoutOffset", "startTimeUtc", "Z for UTC"},
		"a day":                              {starting(`"2026-11-24"`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"words":                              {starting(`"tomorrow"`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"empty":                              {starting(`""`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"a zone by its name":                 {starting(`"2026-11-23T13:00:00 Europe/Berlin"`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"an hour that no day has":            {starting(`"2026-11-23T25:00:00Z"`, ``, ``), "InvalidStartTime", "startTimeUtc", "RFC 3339"},
		"seconds since 1970":                 {starting(`1795525200`, ``, ``), "InvalidRequestContent", "startTimeUtc", ""},
		"twice":                              {starting(`"2026-11-23T13:00:00Z"`, `"startTimeUtc":"2026-11-23T14:00:00Z",`, ``), "DuplicateField", "startTimeUtc", ""},
		"an end before it":                   {starting(`"2026-11-23T15:00:00Z"`, ``, `"endTimeUtc":"2026-11-23T14:00:00Z"`), "EndTimeBeforeStart", "virtualMachines[0].ports[0].endTimeUtc", "2026-11-23T15:00:00Z"},
		"an end at it":                       {starting(`"2026-11-23T15:00:00Z"`, ``, `"endTimeUtc":"2026-11-23T16:00:00+01:00"`), "EndTimeBeforeStart", "virtualMachines[0].ports[0].endTimeUtc", "is not after"},
		"an end and a length":                {starting(`"2026-11-23T15:00:00Z"`, ``, `"endTimeUtc":"2026-11-23T16:00:00Z","duration":"PT1H"`), "InvalidInitiateInput", "virtualMachines[0].ports[0]", "only one"},
		"neither":                            {starting(`"2026-11-23T15:00:00Z"`, ``, `"duration":null`), "InvalidInitiateInput", "virtualMachines[0].ports[0]", "one must be"},
		"longer than the maximum":            {starting(`"2026-11-23T15:00:00Z"`, ``, `"endTimeUtc":"2026-11-23T18:02:01Z"`), "DurationOverMaximum", "virtualMachines[0].ports[0].endTimeUtc", "longer than"},
	} {
		for _, path := range []string{"/api/request", "/api/request?dryRun=true", policy + "/initiate" + version} {
			r := a.call("POST", path, tc.body)
			if code, target := r.code(); r.status != 400 || code != tc.code || target != tc.target || !strings.Contains(r.text, tc.says) {
				t.Errorf("%s, %s: %d %s, want %s at %s with %q", name, path, r.status, r.text, tc.code, tc.target, tc.says)
			}
		}
	}
	for name, tc := range map[string]struct{ body, code, target string }{
		"in an emergency":         {starting(`"2026-11-23T13:00:00Z"`, `"breakGlass":true,"justification":"down",`, ``), "BreakGlassLater", "breakGlass"},
		"in a drill":              {starting(`"2026-11-23T13:00:00Z"`, `"breakGlass":true,"drill":true,"justification":"down",`, ``), "BreakGlassLater", "breakGlass"},
		"in another case":         {strings.Replace(starting(`"2026-11-23T13:00:00Z"`, ``, ``), "startTimeUtc", "starttimeutc", 1), "UnknownField", "starttimeutc"},
		"of a port, on this face": {starting(`null`, ``, `"duration":"PT1H","startTimeUtc":"2026-11-23T13:00:00Z"`), "UnknownField", "virtualMachines[0].ports[0].startTimeUtc"},
	} {
		r := a.call("POST", "/api/request", tc.body, inGlass...)
		if code, target := r.code(); r.status != 400 || code != tc.code || target != tc.target {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	if r := a.call("GET", "/api/requests", ""); strings.Contains(r.text, "startTimeUtc") || a.cloud.Writes() != writes {
		t.Errorf("a refusal has left something: %s", r.text)
	}
}

// TestStartOverHTTP: on both faces a request for later is accepted, shown with its start, opens then and not before, and lasts from then, whatever zone it
// was written in. It is cancelled like any other.
func TestStartOverHTTP(t *testing.T) {
	plain, compat := "/api/request", policy+"/initiate"+version
	for _, tc := range []struct {
		name, path, start, port string
		from, to                string
	}{
		{"in UTC", plain, "2026-11-24T09:00:00Z", ``, "2026-11-24T09:00:00.000Z", "2026-11-24T10:00:00.000Z"},
		{"with an offset", plain, "2026-11-24T11:00:00+02:00", ``, "2026-11-24T09:00:00.000Z", "2026-11-24T10:00:00.000Z"},
		{"with an end", plain, "2026-11-24T09:00:00Z", `"endTimeUtc":"2026-11-24T13:00:00+01:00"`, "2026-11-24T09:00:00.000Z", "2026-11-24T12:00:00.000Z"},
		{"by a clock that is an hour early, and means now", plain, "2026-11-23T13:00:00Z", ``, "2026-11-23T13:00:00.000Z", "2026-11-23T14:00:00.000Z"},
		{"Microsoft's", compat, "2026-11-24T09:00:00Z", ``, "2026-11-24T09:00:00.000Z", "2026-11-24T10:00:00.000Z"},
		{"Microsoft's, with an end", compat, "2026-11-24T10:00:00+01:00", `"endTimeUtc":"2026-11-24T09:30:00Z"`, "2026-11-24T09:00:00.000Z", "2026-11-24T09:30:00.000Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			body := starting(`"`+tc.start+`"`, ``, tc.port)
			dry := a.call("POST", plain+"?dryRun=true", body)
			if dry.status != 200 || dry.body["status"] != "Scheduled" || dry.body["startTimeUtc"] != tc.from || dry.body["endTimeUtc"] != tc.to || dry.body["decidedAgainUtc"] != tc.from || !strings.Contains(dry.text, `"create":[{`) {
				t.Errorf("dry: %d %s", dry.status, dry.text)
			}
			if r := a.call("GET", "/api/requests", ""); strings.Contains(r.text, "startTimeUtc") {
				t.Errorf("a dry run is stored: %s", r.text)
			}
			r := a.call("POST", tc.path, body)
			if r.status != 202 || tc.path == compat && strings.Count(r.text, `"Initiating"`) != 1 || tc.path == plain && (r.body["status"] != "Scheduled" || r.header.Get("Location") == "") {
				t.Fatalf("%d %s", r.status, r.text)
			}
			r = a.call("GET", "/api/requests?status=Scheduled", "")
			list, _ := r.body["value"].([]any)
			if len(list) != 1 {
				t.Fatalf("listed: %s", r.text)
			}
			g := list[0].(map[string]any)
			id := g["id"].(string)
			if g["startTimeUtc"] != tc.from || g["endTimeUtc"] != tc.to || g["decidedAgainUtc"] != tc.from {
				t.Errorf("shown: %s", r.text)
			}
			ours := strings.TrimSuffix(tc.from, ".000Z") + ".0000000Z"
			if r := a.call("GET", policy+version, ""); !strings.Contains(r.text, `"startTimeUtc":"`+ours+`"`) || strings.Count(r.text, `"status":"Initiating"`) != 1 {
				t.Errorf("Microsoft's policy: %s", r.text)
			}
			from, err := time.Parse(time.RFC3339, tc.from)
			if err != nil {
				t.Fatal(err)
			}
			a.leap(from.Sub(a.now()) - time.Millisecond)
			a.sweeps()
			if a.allows("web-nsg") != 0 {
				t.Error("open before its start")
			}
			a.leap(time.Millisecond)
			a.sweeps()
			r = a.call("GET", "/api/requests/"+id, "")
			if r.body["status"] != "Initiated" || r.body["startTimeUtc"] != tc.from || r.body["endTimeUtc"] != tc.to || r.body["decidedAgainUtc"] != nil || a.allows("web-nsg") != 1 {
				t.Errorf("at its start: %s", r.text)
			}
			if r := a.call("GET", policy+version, ""); strings.Count(r.text, `"status":"Initiated"`) != 1 {
				t.Errorf("Microsoft's policy: %s", r.text)
			}
			again := a.call("POST", "/api/requests/"+id+"/again?dryRun=true", "")
			if again.status != 200 || again.body["status"] != "Initiating" || again.body["startTimeUtc"] != tc.from {
				t.Errorf("again: %d %s", again.status, again.text)
			}
		})
	}
	a := newCompat(t)
	a.put(web)
	r := a.call("POST", plain, starting(`"2026-11-24T09:00:00Z"`, ``, ``))
	id, _ := r.body["id"].(string)
	if r := a.call("POST", plain, starting(`"2026-11-24T10:00:00+01:00"`, ``, ``)); r.status != 202 || r.body["id"] != id {
		t.Errorf("the same instant again: %d %s", r.status, r.text)
	}
	if r := a.call("POST", "/api/requests/"+id+"/extend", `{"duration":"PT2H"}`); r.status != 409 {
		t.Errorf("extended: %d %s", r.status, r.text)
	}
	if r := a.call("POST", "/api/requests/"+id+"/revoke", ""); r.status != 200 || r.body["status"] != "Revoked" {
		t.Errorf("cancelled: %d %s", r.status, r.text)
	}
	a.leap(24 * time.Hour)
	a.sweeps()
	if a.allows("web-nsg") != 0 {
		t.Error("open although it was cancelled")
	}
	if r := a.call("GET", policy+version, ""); strings.Count(r.text, `"status":"Revoked","statusReason":"UserRequested"`) != 1 {
		t.Errorf("Microsoft's policy: %s", r.text)
	}
}

// TestNoStartIsAhead: where the installation lets nothing be for later, a start is now, as far as clocks agree.
func TestNoStartIsAhead(t *testing.T) {
	if decide.DefaultAhead != 14*24*time.Hour || jit.ClockSkew != 2*time.Minute {
		t.Error("the bounds are not those that docs name")
	}
	a := newApp(t)
	a.wire(func(p *core.Ports) { p.Ahead = 0 })
	a.enable()
	if r := a.call("POST", "/api/request", starting(`"2026-11-23T12:02:01Z"`, ``, ``)); r.status != 400 || !strings.Contains(r.text, `"StartTimeTooFarAhead"`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := a.call("POST", "/api/request", starting(`"2026-11-23T11:58:00Z"`, ``, ``)); r.status != 200 || r.body["status"] != "Initiated" || r.body["startTimeUtc"] != "2026-11-23T12:00:00.000Z" {
		t.Errorf("%d %s", r.status, r.text)
	}
}
