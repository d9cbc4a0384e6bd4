package handlers_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestMembers: every member of Microsoft's contract is honoured, accepted as read-only or refused by name, and so is
// what is none (docs/decisions/038).
func TestMembers(t *testing.T) {
	put := func(around, properties, vm, port string) string {
		return `{` + around + `"properties":{` + properties + `"virtualMachines":[{` + vm + `"id":"` + web + `","ports":[{` + port + `"number":22,"protocol":"*","maxRequestAccessDuration":"PT3H"}]}]}}`
	}
	ask := func(around, vm, port string) string {
		return `{` + around + `"virtualMachines":[{` + vm + `"id":"` + web + `","ports":[{` + port + `"number":22,"duration":"PT1H"}]}]}`
	}
	const machine, in = "properties.virtualMachines[0]", "virtualMachines[0]"
	for _, tc := range []struct{ name, body, refused string }{
		{"a policy's own", put(`"id":"x","name":"y","type":"z","location":"West Europe","systemData":{"createdBy":"x"},"kind":"Basic",`, `"requests":[{"x":1}],"provisioningState":"Updating",`, ``, ``), ""},
		{"Resource Manager's own", put(`"etag":"x","tags":{"a":"b"},`, ``, ``, ``), ""},
		{"null", put(`"appendMode":null,`, `"x":null,`, `"justification":null,`, `"duration":null,`), ""},
		{"a firewall's address", put(``, ``, `"publicIpAddress":"198.51.100.9",`, ``), ""},
		{"appendMode beside properties", put(`"appendMode":true,`, ``, ``, ``), "appendMode"},
		{"machines beside properties", put(`"virtualMachines":[],`, ``, ``, ``), "virtualMachines"},
		{"unknown in properties", put(``, `"apendMode":true,`, ``, ``), "properties.apendMode"},
		{"unknown in a machine", put(``, ``, `"startTimeUtc":"2026-11-23T12:00:00Z",`, ``), machine + ".startTimeUtc"},
		{"unknown in a port", put(``, ``, ``, `"mappedPort":2222,`), machine + ".ports[0].mappedPort"},

		{"a request's own", ask(`"justification":"why","requestor":"x","startTimeUtc":"2026-11-23T12:00:00Z",`, ``, ``), ""},
		{"a start by a clock that is ahead", ask(``, ``, `"startTimeUtc":"2026-11-23T12:02:00Z",`), ""},
		{"a start that is later", ask(`"startTimeUtc":"2026-11-23T12:02:01Z",`, ``, ``), ""},
		{"a start that is later, of all its parts", ask(`"startTimeUtc":"2026-11-24T12:00:00Z",`, `"startTimeUtc":"2026-11-24T13:00:00+01:00",`, `"startTimeUtc":"2026-11-24T12:01:00Z",`), ""},
		{"a start that is now in a request that is later", ask(`"startTimeUtc":"2026-11-24T12:00:00Z",`, ``, `"startTimeUtc":"2026-11-23T12:00:00Z",`), in + ".ports[0].startTimeUtc"},
		{"a start of a port without an offset", ask(``, ``, `"startTimeUtc":"2026-11-24T12:00:00",`), in + ".ports[0].startTimeUtc"},
		{"a start that has passed", ask(``, `"startTimeUtc":"2026-11-23T11:57:59Z",`, ``), in + ".startTimeUtc"},
		{"a start of a port that is later", ask(``, ``, `"startTimeUtc":"2026-11-24T12:00:00Z",`), in + ".ports[0].startTimeUtc"},
		{"a justification of a machine", ask(``, `"justification":"why",`, ``), in + ".justification"},
		{"unknown in a request", ask(`"reason":"why",`, ``, ``), "reason"},
		{"unknown in a requested port", ask(``, ``, `"protocol":"TCP",`), in + ".ports[0].protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			method, path, ok := "PUT", policy, 200
			if !strings.Contains(tc.body, `"properties"`) {
				a.put(web)
				method, path, ok = "POST", policy+"/initiate", 202
			}
			writes := a.cloud.Writes()
			r := a.call(method, path+version, tc.body)
			if tc.refused == "" {
				r.wants(t, ok, "")
				return
			}
			code, target := r.code()
			if r.status != 400 || code != "UnknownField" && code != "InvalidInitiateInput" && code != "StartTimeWithoutOffset" || target != tc.refused || a.cloud.Writes() != writes {
				t.Errorf("%d %s at %q, want %q: %s", r.status, code, target, tc.refused, r.text)
			}
		})
	}
}

// TestAppendMode: machines that the body does not name stay, in their order, and the answer says so.
func TestAppendMode(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	appending := strings.Replace(putBody(app2, app1), `"properties":{`, `"properties":{"appendMode":true,`, 1)
	for range 2 {
		if r := a.call("PUT", policy+version, appending); r.status != 200 || r.lists() != "web app2 app1" || !strings.Contains(r.text, `"appendMode":true`) {
			t.Errorf("%d %s", r.status, r.text)
		}
	}
	if r := a.call("GET", policy+version, ""); r.lists() != "web app2 app1" || !strings.Contains(r.text, `"appendMode":true`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := a.call("PUT", policy+version, putBody(app1)); r.lists() != "app1" || !strings.Contains(r.text, `"appendMode":false`) {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// TestDeletedRequests: requests of a deleted policy do not come back with a new one of its name.
func TestDeletedRequests(t *testing.T) {
	for name, again := range map[string]func(*app){
		"replaced": func(a *app) { a.put(web) },
		"enabled": func(a *app) {
			a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"}]}`).wants(a.t, 200, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`)).wants(t, 202, "")
			if r := a.call("DELETE", policy+version, ""); r.status != 200 {
				t.Fatal(r.text)
			}
			a.leap(1e9)
			again(a)
			if r := a.call("GET", policy+version, ""); r.status != 200 || !strings.Contains(r.text, `"requests":[]`) {
				t.Errorf("%d %s", r.status, r.text)
			}
		})
	}
}

// TestWhatWasSentComesBack: for any policy that is accepted, every member that was sent comes back as it was sent, and
// what was read changes nothing when it is sent back: no rule, no line of the log.
func TestWhatWasSentComesBack(t *testing.T) {
	a := newCompat(t)
	a.put(web) // so that there is a last entry
	rapid.Check(t, func(t *rapid.T) {
		body := map[string]any{"kind": rapid.SampledFrom([]string{"Basic", "Other"}).Draw(t, "kind"), "properties": map[string]any{"virtualMachines": drawMachines(t), "appendMode": false}}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"PUT", "GET"} {
			r := a.call(method, policy+version, string(text))
			if r.status != 200 {
				t.Fatal(method, r.status, r.text, string(text))
			}
			var sent any
			if err := json.Unmarshal(text, &sent); err != nil {
				t.Fatal(err)
			}
			if at := missing(sent, any(r.body), ""); at != "" {
				t.Fatalf("%s: %s: sent\n%s\nanswered\n%s", method, at, text, r.text)
			}
		}
		read := a.call("GET", policy+version, "")
		writes, last := a.cloud.Writes(), a.lastEntry().ID
		if r := a.call("PUT", policy+version, read.text); r.status != 200 || r.text != read.text {
			t.Fatalf("%d %s\nafter\n%s", r.status, r.text, read.text)
		}
		if a.cloud.Writes() != writes || a.lastEntry().ID != last {
			t.Fatal("what was read changed something when it was sent back")
		}
	})
}

// missing names the first member of what was sent that is not in what came back.
func missing(sent, got any, at string) string {
	switch sent := sent.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name, v := range sent {
			if where := missing(v, g[name], at+"."+name); where != "" {
				return where
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(sent) {
			return at
		}
		for i, v := range sent {
			if where := missing(v, g[i], fmt.Sprintf("%s[%d]", at, i)); where != "" {
				return where
			}
		}
		return ""
	}
	if !reflect.DeepEqual(sent, got) {
		return at
	}
	return ""
}

// drawMachines draws machines in the ways in which clients write them.
func drawMachines(t *rapid.T) []any {
	out := []any{}
	for _, id := range rapid.Permutation([]string{web, app1, strings.ToUpper(app2)}).Draw(t, "machines")[:rapid.IntRange(0, 3).Draw(t, "count")] {
		ports := []any{}
		for _, n := range rapid.Permutation([]int{22, 3389, 5986}).Draw(t, "ports")[:rapid.IntRange(1, 3).Draw(t, "number of ports")] {
			port := map[string]any{"number": n, "protocol": rapid.SampledFrom([]string{"TCP", "udp", "*"}).Draw(t, "protocol"),
				"maxRequestAccessDuration": rapid.SampledFrom([]string{"PT3H", "PT180M", "PT24H", "P1D", "PT1.5H", "PT1,5H"}).Draw(t, "maximum")}
			if rapid.Bool().Draw(t, "as text") {
				port["number"] = fmt.Sprint(n)
			}
			one := []string{"*", "203.0.113.7", "203.0.113.7/32", "203.0.113.0/24", "10.0.0.0/8\n", "2001:DB8::1"}
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				port["allowedSourceAddressPrefix"] = rapid.SampledFrom(one).Draw(t, "source")
			case 1:
				port["allowedSourceAddressPrefixes"] = rapid.SliceOfN(rapid.SampledFrom(one), 1, 5).Draw(t, "sources")
			case 2:
				port["allowedSourceAddressPrefix"], port["allowedSourceAddressPrefixes"] = "192.0.2.1", []string{}
			}
			ports = append(ports, port)
		}
		out = append(out, map[string]any{"id": id, "ports": ports})
	}
	return out
}

// TestSmallDoors: what clients write where their languages leave them no choice is taken, or named.
func TestSmallDoors(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	end := func(text string) string {
		return initiate(web, `{"number":22.0,"endTimeUtc":"`+text+`","allowedSourceAddressPrefix":"203.0.113.7/32\n"}`)
	}
	for text, want := range map[string]string{
		"2026-11-23T14:30Z":            "2026-11-23T14:30:00.0000000Z", // without seconds
		"2026-11-23T15:01:59.1234567Z": "2026-11-23T15:00:00.0000000Z", // the maximum, by a clock that is ahead
		"2026-11-23T14:59:59.1234567Z": "2026-11-23T14:59:59.1234567Z",
	} {
		r := a.call("POST", policy+"/initiate"+version, "\xef\xbb\xbf"+end(text))
		if r.status != 202 || !strings.Contains(r.text, `"endTimeUtc":"`+want+`"`) || !strings.Contains(r.text, `"allowedSourceAddressPrefix":"203.0.113.7/32\n"`) {
			t.Errorf("%s: %d %s", text, r.status, r.text)
		}
	}
	for body, want := range map[string]string{
		initiate(web, `{"number":23,"duration":"PT1H"}`):                                    "subset of the given policy",
		initiate(web, `{"number":22,"duration":"PT4H"}`):                                    "subset of the given policy",
		initiate(web, `{"number":22.5,"duration":"PT1H"}`):                                  "not a number from 0 to 65535",
		initiate(web, `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":["*"]}`): "allowedSourceAddressPrefixes",
		initiate(strings.Replace(web, "virtualMachines/web", "virtualMachineScaleSets/web/virtualMachines/0", 1), `{"number":22,"duration":"PT1H"}`): "flexible orchestration",
		"\xff\xfe{\x00}\x00": "UTF-16",
	} {
		if r := a.call("POST", policy+"/initiate"+version, body); r.status != 400 || !strings.Contains(r.text, want) {
			t.Errorf("%d %s, want %q", r.status, r.text, want)
		}
	}
	// The plain face takes the same, and says that it has cut an end.
	r := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22.0,"endTimeUtc":"2026-11-23T15:00:30Z"}]}]}`)
	if r.status != 200 || !strings.Contains(r.text, `"endTimeUtc":"2026-11-23T15:00:00.000Z"`) || !strings.Contains(r.text, "beyond the policy's maximum: the port closes at 2026-11-23T15:00:00.000Z") {
		t.Errorf("%d %s", r.status, r.text)
	}
	a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22.5,"duration":"PT1H"}]}]}`).wants(t, 400, "InvalidRequestContent")
	// Locations as people write them.
	for _, location := range []string{"West%20Europe", "WestEurope", "WESTEUROPE"} {
		if r := a.call("GET", strings.Replace(policy, "westeurope", location, 1)+version, ""); r.status != 200 || !strings.Contains(r.text, `"location":"westeurope"`) {
			t.Errorf("%s: %d %s", location, r.status, r.text)
		}
	}
}
