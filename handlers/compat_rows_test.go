package handlers_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/store"
)

// The rows of the wire contract, each by its number (W01, W06 and W07 stand with
// Microsoft's client, W08 with the golden files).

func TestW02(t *testing.T) {
	a := newCompat(t)
	a.call("GET", policy+version, "").wants(t, 404, "PolicyNotFound")
	a.put(web)
	r := a.call("GET", policy+version, "")
	r.wants(t, 200, "")
	if r.lists() != "web" || r.body["kind"] != "Basic" || r.body["name"] != "default" || r.body["location"] != "westeurope" ||
		r.body["type"] != "Microsoft.Security/locations/jitNetworkAccessPolicies" || r.body["id"] != strings.TrimPrefix(policy, "/api") || r.header.Get("ETag") == "" {
		t.Errorf("%v %s", r.header, r.text)
	}
}

func TestW03(t *testing.T) {
	a := newCompat(t)
	for _, vms := range [][]string{{web}, {web, app1}, {web, app1}} {
		r := a.call("PUT", policy+version, putBody(vms...))
		r.wants(t, 200, "")
		if properties, _ := r.body["properties"].(map[string]any); properties["provisioningState"] != "Succeeded" {
			t.Errorf("%s", r.text)
		}
	}
}

func TestW04(t *testing.T) {
	a := newCompat(t)
	a.put(web, app1)
	for _, want := range []int{200, 204, 204} {
		if r := a.call("DELETE", policy+version, ""); r.status != want || r.text != "" {
			t.Errorf("%d %q, want %d without a body", r.status, r.text, want)
		}
	}
	if all, err := store.AllPolicies(t.Context(), a.store); err != nil || len(all) != 0 {
		t.Errorf("%d policies are left, %v", len(all), err)
	}
}

// TestW05: 202 whether the ports are confirmed open by then or not.
func TestW05(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	r := a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`))
	r.wants(t, 202, "")
	if !strings.Contains(r.text, `"status":"Initiated","statusReason":"UserRequested"`) || r.header.Get("Location") != "" {
		t.Errorf("%v %s", r.header, r.text)
	}
	// What fails at once is told at once, and is not left half open.
	a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return store.ErrLocked
		}
		return nil
	}
	a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT2H"}`)).wants(t, 409, "ScopeLocked")
}

// TestW05WhileOpening: an opening that takes long is answered as such after five
// seconds, and goes on by itself. Sent again meanwhile, it is the same one.
func TestW05WhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCompat(t)
		a.put(web)
		hold := make(chan struct{})
		a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Apply" && !s.After {
				<-hold
			}
			return nil
		}
		began := time.Now()
		for range 2 {
			r := a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`))
			if r.wants(t, 202, ""); !strings.Contains(r.text, `"status":"Initiating","statusReason":"UserRequested"`) {
				t.Errorf("%s", r.text)
			}
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("two answers took %s, want five seconds each", took)
		}
		close(hold)
		synctest.Wait()
		if r := a.call("GET", policy+version, ""); !strings.Contains(r.text, `"status":"Initiated"`) || strings.Count(r.text, "startTimeUtc") != 1 || a.allows("web-nsg") != 1 {
			t.Errorf("%s", r.text)
		}
	})
}

func TestW09(t *testing.T) {
	a := newCompat(t)
	forged := `"requests":[{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"allowedSourceAddressPrefix":"*","endTimeUtc":"2026-11-24T00:00:00Z","status":"Initiated","statusReason":"UserRequested"}]}],"startTimeUtc":"2026-11-23T00:00:00Z","requestor":"barbara@contoso.com"}]`
	r := a.call("PUT", policy+version, strings.Replace(putBody(web), `"properties":{`, `"properties":{`+forged+`,`, 1))
	r.wants(t, 200, "")
	open, err := a.store.OpenGrants(t.Context())
	if err != nil || len(open) != 0 || a.allows("web-nsg") != 0 || !strings.Contains(r.text, `"requests":[]`) {
		t.Errorf("a request in the body of a policy came to be: %s", r.text)
	}
	a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`)).wants(t, 202, "")
	r = a.call("PUT", policy+version, strings.Replace(putBody(web, app1), `"properties":{`, `"properties":{"requests":[],`, 1))
	if !strings.Contains(r.text, `"requestor":"alice@example.com"`) || a.allows("web-nsg") != 1 {
		t.Errorf("an empty list in the body of a policy took the history away: %s", r.text)
	}
}

// TestW10: case does not count, and stays as it was written.
func TestW10(t *testing.T) {
	a := newCompat(t)
	shouting := strings.ToUpper(web)
	odd := "/API/Subscriptions/" + strings.ToUpper(sub) + "/RESOURCEGROUPS/Demo/PROVIDERS/microsoft.security/LOCATIONS/WestEurope/JITnetworkaccesspolicies/Default"
	r := a.call("PUT", odd+"?API-Version=2020-01-01", putBody(shouting))
	r.wants(t, 200, "")
	wantID := "/subscriptions/" + strings.ToUpper(sub) + "/resourceGroups/Demo/providers/Microsoft.Security/locations/WestEurope/jitNetworkAccessPolicies/Default"
	wantVM := shouting
	for _, path := range []string{policy, odd, policy + "/"} {
		r := a.call("GET", path+version, "")
		if r.status != 200 || !strings.Contains(r.text, `"id":"`+wantVM+`"`) || !strings.EqualFold(r.body["id"].(string), wantID) {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
	}
	a.call("POST", odd+"/Initiate"+version, initiate(web, `{"Number":22,"DURATION":"PT1H"}`)).wants(t, 202, "")
	a.call("PUT", policy+version, putBody(web)).wants(t, 200, "") // the same machine in another casing
	if all, _ := store.AllPolicies(t.Context(), a.store); len(all) != 1 {
		t.Errorf("%d policies, want 1", len(all))
	}
	if r := a.call("DELETE", odd+version, ""); r.status != 200 {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestW11(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	for query, code := range map[string]string{
		"": "MissingApiVersionParameter", "?api-version=": "MissingApiVersionParameter", "?x=y": "MissingApiVersionParameter",
		"?api-version=2019-01-01": "InvalidApiVersionParameter", "?api-version=2020-01-01,2020-01-01": "InvalidApiVersionParameter",
		"?api-version=%22%0d%0aX:y": "InvalidApiVersionParameter",
	} {
		a.call("GET", policy+query, "").wants(t, 400, code)
	}
	for _, query := range []string{"?api-version=2020-01-01", "?api-version=2015-06-01-preview", "?Api-Version=2015-06-01-PREVIEW"} {
		a.call("GET", policy+query, "").wants(t, 200, "")
	}
}

// TestRefusedPolicies: what a PUT refuses, in the rows of the contract. Nothing is written.
func TestRefusedPolicies(t *testing.T) {
	port := func(field, value string) string {
		fields := map[string]string{"number": `22`, "protocol": `"*"`, "maxRequestAccessDuration": `"PT3H"`}
		fields[field] = value
		var list []string
		for _, name := range []string{"number", "protocol", "maxRequestAccessDuration", "allowedSourceAddressPrefix", "allowedSourceAddressPrefixes"} {
			if v := fields[name]; v != "" {
				list = append(list, `"`+name+`":`+v)
			}
		}
		return `{"properties":{"virtualMachines":[{"id":"` + web + `","ports":[{` + strings.Join(list, ",") + `}]}]}}`
	}
	const at = "properties.virtualMachines[0].ports[0]."
	for _, tc := range []struct{ name, body, code, target string }{
		{"W12 port too large", port("number", `65536`), "InvalidPort", at + "number"},
		{"W12 port too large, a text", port("number", `"65536"`), "InvalidPort", at + "number"},
		{"W12 negative port", port("number", `-1`), "InvalidPort", at + "number"},
		{"W12 signed text", port("number", `"+22"`), "InvalidPort", at + "number"},
		{"W12 fraction", port("number", `22.5`), "InvalidPort", at + "number"},
		{"W12 not a number", port("number", `"ssh"`), "InvalidPort", at + "number"},
		{"W12 empty text", port("number", `""`), "InvalidPort", at + "number"},
		{"W12 null", port("number", `null`), "InvalidPort", at + "number"},
		{"W12 missing", port("number", ``), "InvalidPort", at + "number"},
		{"W12 an object", port("number", `{}`), "InvalidPort", at + "number"},
		{"W13 empty protocol", port("protocol", `""`), "InvalidProtocol", at + "protocol"},
		{"W13 missing protocol", port("protocol", ``), "InvalidProtocol", at + "protocol"},
		{"W13 null protocol", port("protocol", `null`), "InvalidProtocol", at + "protocol"},
		{"W13 unknown protocol", port("protocol", `"SCTP"`), "InvalidProtocol", at + "protocol"},
		{"W14 under five minutes", port("maxRequestAccessDuration", `"PT4M59S"`), "InvalidMaximumDuration", at + "maxRequestAccessDuration"},
		{"W14 over a day", port("maxRequestAccessDuration", `"P1DT1S"`), "InvalidMaximumDuration", at + "maxRequestAccessDuration"},
		{"W14 missing", port("maxRequestAccessDuration", ``), "InvalidDuration", at + "maxRequestAccessDuration"},
		{"W14 not ISO 8601", port("maxRequestAccessDuration", `"3h"`), "InvalidDuration", at + "maxRequestAccessDuration"},
		{"W15 both sources", port("allowedSourceAddressPrefix", `"*","allowedSourceAddressPrefixes":["10.0.0.1"]`), "InvalidSourceAddressPrefix", at + "allowedSourceAddressPrefix"},
		{"W15 no source at all", port("allowedSourceAddressPrefixes", `[]`), "InvalidSourceAddressPrefix", at + "allowedSourceAddressPrefix"},
		{"a list in the singular field", port("allowedSourceAddressPrefix", `["*"]`), "InvalidSourceAddressPrefix", at + "allowedSourceAddressPrefix"},
		{"an unknown member of a port", port("allowedSourceAddressPrefix", `"*","allowedSourceAddressPrefixs":["10.0.0.1"]`), "UnknownField", at + "allowedSourceAddressPrefixs"},
		{"W19 joined by a space", port("allowedSourceAddressPrefix", `"10.0.0.1 10.0.0.2"`), "InvalidSourceAddressPrefix", at + "allowedSourceAddressPrefix"},
		{"no properties", `{"kind":"Basic"}`, "InvalidRequestContent", "properties.virtualMachines"},
		{"null machines", `{"properties":{"virtualMachines":null}}`, "InvalidRequestContent", "properties.virtualMachines"},
		{"machines of a wrong type", `{"properties":{"virtualMachines":{}}}`, "InvalidRequestContent", "properties.virtualMachines"},
		{"a field twice", `{"properties":{"virtualMachines":[]},"properties":{"virtualMachines":[]}}`, "DuplicateField", "properties"},
		{"a field twice, in two casings", `{"properties":{"virtualMachines":[]},"Properties":{"virtualMachines":[]}}`, "DuplicateField", "Properties"},
		{"an unknown field twice", `{"x":1,"x":2,"properties":{"virtualMachines":[]}}`, "DuplicateField", "x"},
		{"nested without end", strings.Repeat(`{"x":`, 20000), "InvalidRequestContent", ""},
		{"a machine twice", putBody(web, strings.ToUpper(web)), "DuplicateVirtualMachine", "properties.virtualMachines[1].id"},
		{"a machine without ports", `{"properties":{"virtualMachines":[{"id":"` + web + `"}]}}`, "PortsMissing", "properties.virtualMachines[0].ports"},
		{"not a machine", putBody("web"), "InvalidResourceId", "properties.virtualMachines[0].id"},
		{"a classic machine", putBody(strings.Replace(web, "Compute", "ClassicCompute", 1)), "ClassicVirtualMachine", "properties.virtualMachines[0].id"},
		{"another subscription's machine", putBody(strings.Replace(web, sub, "11111111-1111-1111-1111-111111111111", 1)), "VirtualMachineInOtherSubscription", "properties.virtualMachines[0].id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			writes := a.cloud.Writes()
			r := a.call("PUT", policy+version, tc.body)
			r.wants(t, 400, tc.code)
			if _, target := r.code(); tc.target != "" && target != tc.target {
				t.Errorf("target %q, want %q", target, tc.target)
			}
			if all, _ := store.AllPolicies(t.Context(), a.store); len(all) != 0 || a.cloud.Writes() != writes {
				t.Error("a refusal changed something")
			}
		})
	}
	a := newCompat(t)
	a.call("PUT", policy+version, putBody(web, web+"2")).wants(t, 404, "VirtualMachineNotFound")
	if all, _ := store.AllPolicies(t.Context(), a.store); len(all) != 0 {
		t.Error("half of a refused policy was stored")
	}
	a.call("PUT", policy+version, `{"x":"`+strings.Repeat("a", 4<<20)+`"}`).wants(t, 413, "RequestBodyTooLarge")
}

// Rows W12 to W15 as they are accepted.
func TestAcceptedPolicies(t *testing.T) {
	for _, tc := range []struct{ name, port, want string }{
		{"W12 a text", `"number":"22","protocol":"TCP","maxRequestAccessDuration":"PT3H"`, `"number":"22","protocol":"TCP","allowedSourceAddressPrefix":"*"`},
		{"W12 whole, with a fraction", `"number":22.0,"protocol":"TCP","maxRequestAccessDuration":"PT3H"`, `"number":22.0,"protocol":"TCP"`},
		{"W12 the first port", `"number":0,"protocol":"*","maxRequestAccessDuration":"PT3H"`, `"number":0,`},
		{"W12 the last port", `"number":65535,"protocol":"*","maxRequestAccessDuration":"PT3H"`, `"number":65535,`},
		{"W13 in lower case", `"number":22,"protocol":"tcp","maxRequestAccessDuration":"PT3H"`, `"protocol":"tcp"`},
		{"W14 the shortest", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT5M"`, `"maxRequestAccessDuration":"PT5M"`},
		{"W14 a day in hours", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT24H"`, `"maxRequestAccessDuration":"PT24H"`},
		{"W14 a comma", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT1,5H"`, `"maxRequestAccessDuration":"PT1,5H"`},
		{"W14 a day", `"number":22,"protocol":"*","maxRequestAccessDuration":"P1D"`, `"maxRequestAccessDuration":"P1D"`},
		{"W15 null plural", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT3H","allowedSourceAddressPrefix":"10.0.0.0/8","allowedSourceAddressPrefixes":null`, `"allowedSourceAddressPrefix":"10.0.0.0/8","max`},
		{"W15 empty plural", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT3H","allowedSourceAddressPrefix":"10.0.0.0/8","allowedSourceAddressPrefixes":[]`, `"allowedSourceAddressPrefix":"10.0.0.0/8","allowedSourceAddressPrefixes":[],"max`},
		{"W15 null singular", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT3H","allowedSourceAddressPrefix":null,"allowedSourceAddressPrefixes":["10.0.0.0/8","192.0.2.1"]`, `"allowedSourceAddressPrefixes":["10.0.0.0/8","192.0.2.1"]`},
		{"W15 neither", `"number":22,"protocol":"*","maxRequestAccessDuration":"PT3H"`, `"allowedSourceAddressPrefix":"*"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			r := a.call("PUT", policy+version, `{"properties":{"virtualMachines":[{"id":"`+web+`","ports":[{`+tc.port+`}]}]}}`)
			if r.status != 200 || !strings.Contains(r.text, tc.want) {
				t.Errorf("%d %s, want %s", r.status, r.text, tc.want)
			}
		})
	}
}

// TestW23: every error is a CloudError, with its code in the header too.
func TestW23(t *testing.T) {
	a := newCompat(t)
	anybody := httptest.NewRequest("GET", policy+version, nil)
	for name, r := range map[string]answer{
		"not found": a.call("GET", policy+version, ""), "bad body": a.call("PUT", policy+version, "{"), "no body": a.call("PUT", policy+version, ""),
		"not here": a.call("GET", "/api/subscriptions/"+sub+"/resourceGroups/demo"+version, ""), "no method": a.call("PUT", policy+"/initiate"+version, "{}"),
		"no token": a.do(anybody), "no verb": a.call("PATCH", policy+version, "{}"), "no version": a.call("GET", policy, ""),
	} {
		e, _ := r.body["error"].(map[string]any)
		code, _ := e["code"].(string)
		message, _ := e["message"].(string)
		if r.status < 400 || r.status > 405 || code == "" || message == "" || r.header.Get("x-ms-error-code") != code {
			t.Errorf("%s: %d %v %s", name, r.status, r.header, r.text)
		}
	}
}

// TestPathTricks: a path that could be read in two ways, or parameters that are
// not what they are called, lead nowhere.
func TestPathTricks(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	for _, tc := range []struct {
		path   string
		status int
		code   string
	}{
		{strings.Replace(policy, "/default", "/x%2F..%2Fdefault", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/default", "/x%5cdefault", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/default", "/../jitNetworkAccessPolicies/default", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/default", "/%2e%2E/default", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/demo/", "//demo/", 1), 400, "InvalidRequestPath"},
		{"/api/subscriptions/../sweep", 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/default", "/default%00", 1), 400, "InvalidResourceId"},
		{strings.Replace(policy, "/default", "/x'%20or%20'1'%20eq%20'1", 1), 400, "InvalidResourceId"},
		{strings.Replace(policy, "/default", "/d%0d%0aX:y", 1), 400, "InvalidResourceId"},
		{strings.Replace(policy, "/demo/", "/"+strings.Repeat("g", 91)+"/", 1), 400, "InvalidResourceId"},
		{strings.Replace(policy, "/westeurope/", "/west%25europe/", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, "/default", "/x%252F..%252Fdefault", 1), 400, "InvalidRequestPath"}, // as the host passes on an encoded slash
		{strings.Replace(policy, "/default", "/x%255Cdefault", 1), 400, "InvalidRequestPath"},
		{strings.Replace(policy, sub, "not-a-subscription", 1), 400, "InvalidSubscriptionId"},
		{strings.Replace(policy, "Microsoft.Security", "Microsoft.Network", 1), 404, "NotFound"},
		{policy + "/initiate/again", 404, "NotFound"},
		{"/subscriptions/" + sub, 404, "NotFound"}, // without /api
		{"/api/subscriptions/" + sub + "/resourceGroups", 404, "NotFound"},
	} {
		r := a.call("GET", tc.path+version, "")
		r.wants(t, tc.status, tc.code)
	}
	if r := a.call("POST", "/api/Subscriptions/..%2fsweep", `{"Data":{}}`); r.status != 400 {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// FuzzCompat: whatever is sent, there is an answer and no panic, and no grant
// without an initiate.
func FuzzCompat(f *testing.F) {
	for _, seed := range []string{putBody(web), putBody(), initiate(web, `{"number":"22","duration":"PT1H"}`), `{"properties":{"virtualMachines":[{"ports":[{"number":{}}]}]}}`, `{"value":[{"id":"x","properties":{}}]}`, `null`} {
		f.Add("PUT", "/default", []byte(seed))
		f.Add("POST", "/default/initiate", []byte(seed))
	}
	a := newCompat(&testing.T{})
	f.Fuzz(func(t *testing.T, method, rest string, body []byte) {
		r := httptest.NewRequest("GET", policy+version, strings.NewReader(string(body)))
		r.Method, r.URL.Path, r.URL.RawPath = method, strings.TrimSuffix(policy, "/default")+rest, ""
		r.Header.Set("Authorization", "Bearer test")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code != 204 && w.Code != 200 && w.Body.Len() == 0 {
			t.Fatal(fmt.Sprint(method, " ", rest, ": ", w.Code, " ", w.Body), a.log.String())
		}
		a.log.Reset()
	})
}
