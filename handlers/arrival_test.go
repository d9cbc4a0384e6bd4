package handlers_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core/jit"
	"portcullis/handlers"
)

const (
	timerEnvelope = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"sweep"}}}`
	hostsGUID     = "f8a4b0de-6b5c-4f0f-9d0e-0f5b8f0c6f11"
)

// onTheWay is what front ends, gateways, proxies, browsers and clients add to a call, each
// with a value that such a call may have.
var onTheWay = map[string]string{
	// The Functions host, on what it proxies from HTTP.
	"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "app.example", "X-Forwarded-Proto": "https", "x-ms-invocation-id": hostsGUID,
	"X-Original-For": "127.0.0.1:60758", "X-Original-Proto": "http", "X-Original-Host": "app.example",
	// App Service's front end and its authentication.
	"X-Forwarded-TlsVersion": "1.3", "X-ARR-SSL": "2048|256|CN=x|CN=y", "X-ARR-LOG-ID": hostsGUID, "X-ARR-ClientCert": "MII", "X-SITE-DEPLOYMENT-ID": "app", "X-WAWS-Unencoded-URL": "/sweep",
	"X-Original-URL": "/sweep", "CLIENT-IP": "203.0.113.7:4711", "DISGUISED-HOST": "app.example", "WAS-DEFAULT-HOSTNAME": "app.azurewebsites.net", "Max-Forwards": "10", "X-AppService-Proto": "https",
	"X-MS-CLIENT-PRINCIPAL": "e30=", "X-MS-CLIENT-PRINCIPAL-NAME": "admin", "X-MS-TOKEN-AAD-ID-TOKEN": "a.b.c", "X-MS-AUTH-TOKEN": "x",
	// Front Door, Application Gateway, other gateways and proxies.
	"X-Azure-ClientIP": "203.0.113.7", "X-Azure-FDID": hostsGUID, "X-Azure-Ref": "x", "X-Azure-SocketIP": "203.0.113.7", "X-Appgw-Trace-Id": "x", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7",
	"Via": "1.1 proxy", "X-Forwarded-Prefix": "/x", "X-Forwarded-Port": "443", "X-Forwarded-Server": "x", "X_Forwarded_For": "203.0.113.7", "X-Client-IP": "203.0.113.7", "X-Cluster-Client-IP": "203.0.113.7",
	"True-Client-IP": "203.0.113.7", "CF-Connecting-IP": "203.0.113.7", "Fastly-Client-IP": "203.0.113.7", "X-Envoy-External-Address": "203.0.113.7", "X-Proxyuser-Ip": "203.0.113.7", "Proxy-Authorization": "Basic eA==",
	"X-HTTP-Method-Override": "POST", "X-Rewrite-URL": "/sweep",
	// Browsers and clients.
	"Authorization": "Bearer x", "Cookie": "a=b", "Origin": "https://app.example", "Referer": "https://app.example/", "Sec-Fetch-Site": "same-origin", "Sec-CH-UA": "x", "Accept": "*/*", "Accept-Encoding": "gzip",
	"Accept-Language": "en", "Cache-Control": "no-cache", "Pragma": "no-cache", "If-Match": "*", "If-None-Match": "*", "Range": "bytes=0-1", "Upgrade-Insecure-Requests": "1", "DNT": "1", "Priority": "u=1",
	"X-Requested-With": "XMLHttpRequest", "Access-Control-Request-Method": "POST", "x-ms-client-request-id": hostsGUID, "x-ms-version": "2019-02-02", "Idempotency-Key": "x", "Prefer": "respond-async",
}

// TestTriggerProvesItself: only what the Functions host itself posts reaches a trigger. To
// everything else there is no such door, and nothing is done.
func TestTriggerProvesItself(t *testing.T) {
	refused := map[string]func(*http.Request){
		"for another host":          func(r *http.Request) { r.Host = "app.example" },
		"for another port":          func(r *http.Request) { r.Host = "127.0.0.1:7102" },
		"for localhost by name":     func(r *http.Request) { r.Host = strings.Replace(hostAddress, "127.0.0.1", "localhost", 1) },
		"for no host":               func(r *http.Request) { r.Host = "" },
		"without an invocation id":  func(r *http.Request) { r.Header.Del("X-Azure-Functions-InvocationId") },
		"with an empty one":         func(r *http.Request) { r.Header.Set("X-Azure-Functions-InvocationId", "") },
		"with one that is no GUID":  func(r *http.Request) { r.Header.Set("X-Azure-Functions-InvocationId", "1") },
		"with a GUID in braces":     func(r *http.Request) { r.Header.Set("X-Azure-Functions-InvocationId", "{"+hostsGUID+"}") },
		"with two in one line":      func(r *http.Request) { r.Header.Set("X-Azure-Functions-InvocationId", hostsGUID+", "+hostsGUID) },
		"with two in two lines":     func(r *http.Request) { r.Header.Add("X-Azure-Functions-InvocationId", hostsGUID) },
		"with an empty header more": func(r *http.Request) { r.Header.Set("X-Forwarded-For", "") },
	}
	for name, value := range onTheWay {
		refused["with "+name] = func(r *http.Request) { r.Header.Set(name, value) }
		refused["with "+name+" in another case"] = func(r *http.Request) { r.Header[strings.ToLower(name)] = []string{value} }
	}
	a := newApp(t)
	for name, change := range refused {
		for _, path := range []string{"/sweep", "/revoke"} {
			r := trigger(path, timerEnvelope)
			change(r)
			got := a.do(r)
			if code, _ := got.code(); got.status != 404 || code != "NotFound" {
				t.Errorf("%s %s is answered %d %s", path, name, got.status, got.text)
			}
		}
	}
	if last, err := a.store.LastSweep(t.Context()); err == nil {
		t.Errorf("a sweep ran: %+v", last)
	}
	if !strings.Contains(a.log.String(), "trigger refused") {
		t.Error("the log does not say so")
	}
	for name, change := range map[string]func(*http.Request){
		"as the host posts it": func(*http.Request) {},
		"with Application Insights on": func(r *http.Request) {
			r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
		},
		"with the records of telemetry":  func(r *http.Request) { r.Header.Set("Request-Id", "|x."); r.Header.Set("x-ms-request-root-id", "x") },
		"with a header of a later host":  func(r *http.Request) { r.Header.Set("X-Azure-Functions-Later", "1") },
		"with a body of unknown length":  func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} },
		"with a charset of another case": func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=UTF-8") },
	} {
		r := trigger("/sweep", timerEnvelope)
		change(r)
		if got := a.do(r); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
}

// TestTriggerEnvelope: what the host could not have written is refused, and nothing is done.
func TestTriggerEnvelope(t *testing.T) {
	a := newApp(t)
	for name, body := range map[string]string{
		"nothing": ``, "null": `null`, "an array": `[]`, "no data": `{"Metadata":{}}`, "no binding": `{"Data":{},"Metadata":{}}`, "no metadata": `{"Data":{"timer":{}}}`, "metadata that is null": `{"Data":{"timer":{}},"Metadata":null}`,
		"another binding": `{"Data":{"message":"{}"},"Metadata":{}}`, "one binding more": `{"Data":{"timer":{},"message":"{}"},"Metadata":{}}`, "too large": `{"Data":{"timer":"` + strings.Repeat("x", 1<<20) + `"},"Metadata":{}}`,
	} {
		if got := a.posts("/sweep", body); got.status < 400 {
			t.Errorf("%s is answered %d", name, got.status)
		}
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json, text/plain"} {
		r := trigger("/sweep", timerEnvelope)
		r.Header.Set("Content-Type", media)
		if got := a.do(r); got.status < 400 {
			t.Errorf("content type %q is answered %d", media, got.status)
		}
	}
	if _, err := a.store.LastSweep(t.Context()); err == nil {
		t.Error("a sweep ran")
	}
}

// TestTriggerWithoutAnAddress: doors that were not told where the host finds them take no trigger.
func TestTriggerWithoutAnAddress(t *testing.T) {
	a := newApp(t)
	a.Handler = handlers.New(a.rooms, handlers.Options{NewID: a.ports.NewID, Log: slog.New(slog.DiscardHandler)})
	r := trigger("/sweep", timerEnvelope)
	r.Host = ""
	if got := a.do(r); got.status != 404 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := a.posts("/sweep", timerEnvelope); got.status != 404 {
		t.Errorf("%d %s", got.status, got.text)
	}
}

// TestProxiedPathsReachNoTrigger: what the host passes on from HTTP never becomes a trigger's,
// whatever its path is, since the host marks it.
func TestProxiedPathsReachNoTrigger(t *testing.T) {
	a := newApp(t)
	for _, path := range []string{"/sweep", "/revoke", "/sweep/", "//sweep", "/Sweep", "/api/../sweep", "/api/portal/../../sweep", "/api/portal/..%2F..%2Fsweep", "/api/portal/..%252F..%252Fsweep", "/api/portal/%2e%2e/%2e%2e/sweep",
		"/api/portal/..%5C..%5Csweep", "/api/subscriptions/../../sweep", "/api/subscriptions/..%252F..%252Frevoke", "/sweep?x", "/sweep%3Fx", "/sweep%23x", "/%73weep"} {
		r := trigger(path, timerEnvelope)
		r.Header.Set("X-Forwarded-Host", "app.example")
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		if got := a.do(r); got.status < 300 {
			t.Errorf("POST %s is answered %d %s", path, got.status, got.text)
		}
	}
	if _, err := a.store.LastSweep(t.Context()); err == nil {
		t.Error("a sweep ran")
	}
}

// TestInvocation: a call is known by the host's id alone, in the answer, in the app's log and
// in the activity log; what a client sends under that name is nobody's.
func TestInvocation(t *testing.T) {
	const forged = "00000000-0000-4000-8000-000000000bad"
	for _, tc := range []struct {
		name   string
		values []string
		hosts  bool // it is the host's id
	}{
		{"the host's", []string{hostsGUID}, true},
		{"behind a client's, in one line", []string{forged + ", " + hostsGUID}, true},
		{"behind a client's, in two lines", []string{forged, hostsGUID}, true},
		{"none", nil, false},
		{"no GUID", []string{"x"}, false},
		{"a GUID and something after it", []string{hostsGUID + ", x"}, false},
		{"too long", []string{hostsGUID + strings.Repeat("0", 1000)}, false},
		{"a line break's text", []string{hostsGUID + `\nlevel=ERROR`}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newApp(t)
			r := httptest.NewRequest("POST", "/api/enable", strings.NewReader(`{"virtualMachines":[{"id":"`+web+`"}]}`))
			r.Header.Set("Authorization", "Bearer test")
			r.Header["X-Azure-Functions-Invocationid"] = tc.values
			got := a.do(r)
			id := got.header.Get("x-ms-request-id")
			if _, err := uuid.Parse(id); got.status != 200 || err != nil || id == forged || (id == hostsGUID) != tc.hosts {
				t.Errorf("%d, x-ms-request-id %q", got.status, id)
			}
			if !strings.Contains(a.log.String(), "invocation="+id) || strings.Contains(a.log.String(), forged) {
				t.Errorf("the app's log has another id: %s", a.log)
			}
			if log := a.call("GET", "/api/activity", ""); !strings.Contains(log.text, `"correlationId":"`+id+`"`) {
				t.Errorf("the activity log has another id: %s", log.text)
			}
		})
	}
}

// TestOwnAddress: only the one address that the host wrote counts, and only where the host is set to know it.
func TestOwnAddress(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []string
		want   string // "" for refused
	}{
		{"missing", nil, ""},
		{"empty", []string{""}, ""},
		{"not an address", []string{"unknown"}, ""},
		{"unspecified", []string{"0.0.0.0"}, ""},
		{"with a zone", []string{"fe80::1%eth0"}, ""},
		{"with a port, which the host takes off", []string{"203.0.113.7:443"}, ""},
		{"several hops, of which the host leaves one", []string{"203.0.113.9, 203.0.113.7"}, ""},
		{"several headers, of which the host leaves one", []string{"203.0.113.9", "203.0.113.7"}, ""},
		{"IPv4", []string{"203.0.113.7"}, "203.0.113.7"},
		{"IPv4 in IPv6 form", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newApp(t)
			a.enable()
			r := httptest.NewRequest("POST", "/api/request", strings.NewReader(ports(`{"number":22,"duration":"PT1H"}`)))
			r.Header.Set("Authorization", "Bearer test")
			r.Header["X-Forwarded-For"] = tc.values
			r.Header["X-Original-For"] = []string{"203.0.113.9"}
			got := a.do(r)
			if tc.want == "" {
				if code, _ := got.code(); got.status != 400 || code != "SourceAddressPrefixMissing" {
					t.Errorf("%d %s", got.status, got.text)
				}
				return
			}
			if !strings.Contains(got.text, `"allowedSourceAddressPrefix":"`+tc.want+`"`) {
				t.Errorf("%d %s, want the source %s", got.status, got.text, tc.want)
			}
		})
	}
}

// TestOwnAddressNeedsItsSetting: a host that is not set to read its front end puts the front end's
// own address into X-Forwarded-For. A window for that would let everybody else in and not the caller.
func TestOwnAddressNeedsItsSetting(t *testing.T) {
	a := newApp(t)
	a.enable()
	caller := func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "tid/alice", Name: "alice"}, nil }
	a.Handler = handlers.New(a.rooms, handlers.Options{Caller: caller, Wait: time.Second, NewID: a.ports.NewID, Log: slog.New(slog.DiscardHandler)})
	got := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`))
	if code, _ := got.code(); got.status != 400 || code != "SourceAddressPrefixMissing" {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}`)); got.status != 200 {
		t.Errorf("a source that is named: %d %s", got.status, got.text)
	}
}

// TestSameSiteBehindTheHost: a browser without Sec-Fetch-Site says its origin, which is compared with the
// name that it called, not with the address to which the host passes the call on.
func TestSameSiteBehindTheHost(t *testing.T) {
	a := newApp(t)
	for _, tc := range []struct {
		origin, forwarded string
		status            int
	}{
		{"https://app.example", "app.example", 200},
		{"https://evil.example", "app.example", 403},
		{"https://evil.example", "evil.example, app.example", 403}, // not as the host writes it
		{"http://" + hostAddress, "app.example", 403},
	} {
		r := httptest.NewRequest("POST", "/api/sweep", strings.NewReader(`{}`))
		r.Host = hostAddress
		r.Header.Set("Authorization", "Bearer test")
		r.Header.Set("Origin", tc.origin)
		r.Header.Set("X-Forwarded-Host", tc.forwarded)
		if got := a.do(r); got.status != tc.status {
			t.Errorf("from %s at %s: %d %s", tc.origin, tc.forwarded, got.status, got.text)
		}
	}
}
