package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers"
)

const (
	sub = "00000000-0000-0000-0000-00000000d3e0"
	web = "/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"
)

// Two people whose names are the same.
const (
	tenant    = "aaaaaaaa-0000-4000-8000-00000000000a"
	admin     = "eeeeeeee-0000-4000-8000-000000000001"
	requester = "eeeeeeee-0000-4000-8000-000000000002"
	client    = "ffffffff-0000-4000-8000-00000000000f"
)

// Where tokens are from, and for what.
const (
	signIn   = "https://login.microsoftonline.com"
	audience = "api://portcullis"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// app is the doors before an installation in memory.
type app struct {
	http.Handler
	t     *testing.T
	cloud *coretest.Cloud
	store *coretest.Faulty
	bell  *coretest.Bell
	ports core.Ports
	rooms *core.App
	log   *bytes.Buffer

	mu    sync.Mutex // what closes by itself looks at the clock too
	clock time.Time
}

func (a *app) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clock
}

func (a *app) leap(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock = a.clock.Add(d)
}

// anything lets everybody do anything.
type anything struct{}

func (anything) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", nil
}

type ping func() error

func (p ping) Ping(context.Context) error { return p() }

func newApp(t *testing.T) *app {
	a, err := newAppOf(t)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newAppOf(t *testing.T) (*app, error) {
	a := &app{t: t, cloud: coretest.NewCloud(), store: &coretest.Faulty{Store: coretest.NewMemory()}, bell: &coretest.Bell{}, clock: noon, log: &bytes.Buffer{}}
	nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}
	vm, err := jit.ParseVM(web)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.4")}
	a.cloud.SetRules(nsg)
	a.cloud.Place(network.Machine{VM: vm, Location: "westeurope", Private: addrs, Public: []netip.Addr{netip.MustParseAddr("198.51.100.4")},
		Placements: []store.Placement{{Target: nsg, Addresses: addrs}}})
	a.wire(func(p *core.Ports) {
		*p = core.Ports{Network: a.cloud, Kinds: network.KindsOf(network.SecurityGroups(a.cloud)), Policies: a.store, Grants: a.store, Keys: a.store, History: a.store, Targets: a.store,
			Activity: a.store, Holds: a.store, Sweeps: a.store, Reviews: a.store, BreakGlass: time.Hour, Ahead: decide.DefaultAhead, Alarm: a.bell, Authority: anything{}, Subscriptions: []string{sub}, Now: a.now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }}
	})
	return a, nil
}

// wire makes the doors, with other ports than before.
func (a *app) wire(change func(*core.Ports)) {
	change(&a.ports)
	a.rooms = core.New(a.ports)
	a.rooms.Admission.Permitted(tenant + "/" + admin) // so that many of his calls may be refused: see TestStrangersWait
	a.Handler = handlers.New(a.rooms, handlers.Options{
		Address: hostAddress, ForwardedHeaders: true,
		Caller: func(r *http.Request) (jit.Caller, error) {
			if r.Header.Get("Authorization") == "" {
				return jit.Caller{}, errors.New("no token")
			}
			if r.Header.Get("Authorization") == "Bearer requester" { // whose name is that of somebody else
				return jit.Caller{ID: tenant + "/" + requester, Name: "Alice@Example.com", Kind: jit.Person, Client: client}, nil
			}
			if r.Header.Get("Authorization") == "Bearer glass" { // the requester, in an app role
				return jit.Caller{ID: tenant + "/" + requester, Name: "bob@example.com", Kind: jit.Person, Client: client, Roles: jit.Roles{BreakGlass: true}}, nil
			}
			return jit.Caller{ID: tenant + "/" + admin, Name: "alice@example.com", Kind: jit.Person, Client: client, SignIn: "pwd mfa"}, nil
		},
		ParseWake: func(b []byte) (store.Wake, error) {
			var body struct {
				Grant      string
				Generation int
				Remind     bool
			}
			err := json.Unmarshal(b, &body)
			return store.Wake{Grant: body.Grant, Generation: body.Generation, Remind: body.Remind}, err
		},
		Dependencies: map[string]store.Pinger{"resourceManager": ping(func() error { return nil })},
		Wait:         10 * time.Second, Version: "test", Authority: signIn, Audiences: []string{client, audience}, NewID: a.ports.NewID, Log: slog.New(slog.NewTextHandler(a.log, nil)),
	})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a *app) do(r *http.Request) answer {
	a.t.Helper()
	w := httptest.NewRecorder()
	var body bytes.Buffer
	if r.Body != nil {
		r.Body = io.NopCloser(io.TeeReader(r.Body, &body))
	}
	a.ServeHTTP(w, r)
	described().hold(a.t, r, body.Bytes(), w)
	out := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &out.body); err != nil {
			a.t.Fatalf("the answer is not JSON: %v: %s", err, out.text)
		}
	}
	return out
}

func (a *app) call(method, path, body string, headers ...string) answer {
	a.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, in)
	r.Header.Set("Authorization", "Bearer test")
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return a.do(r)
}

// hostAddress is where the Functions host finds the app.
const hostAddress = "127.0.0.1:7101"

// trigger is the call by which the host invokes a trigger, as it was seen to send it.
func trigger(path, envelope string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(envelope))
	r.Host = hostAddress
	r.Header = http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {"Azure-Functions-Host/4.1045.200.0"},
		"X-Azure-Functions-Hostversion": {"4.1045.200.0"}, "X-Azure-Functions-Invocationid": {"f8a4b0de-6b5c-4f0f-9d0e-0f5b8f0c6f11"},
	}
	return r
}

// posts invokes a trigger as the host does.
func (a *app) posts(path, envelope string) answer {
	a.t.Helper()
	return a.do(trigger(path, envelope))
}

// sweeps invokes the timer's trigger.
func (a *app) sweeps() answer {
	a.t.Helper()
	return a.posts("/sweep", `{"Data":{"timer":{}},"Metadata":{}}`)
}

// code gives the error's code and target.
func (r answer) code() (string, string) {
	e, _ := r.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	target, _ := e["target"].(string)
	return code, target
}

func (a *app) enable() {
	a.t.Helper()
	body := `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.0/24","maxRequestAccessDuration":"PT3H"},{"number":3389}]}]}`
	if r := a.call("POST", "/api/enable", body); r.status != 200 {
		a.t.Fatalf("enable: %d %s", r.status, r.text)
	}
}

func ports(p string) string {
	return `{"virtualMachines":[{"id":"` + web + `","ports":[` + p + `]}]}`
}

// TestRefusals: every refusal has its own stable code, a status in the 400s and a
// named target, and changes nothing.
func TestRefusals(t *testing.T) {
	deep := strings.Repeat("[", 20000)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		code, target             string
	}{
		{"no JSON", "POST", "/api/enable", `{`, 400, "InvalidRequestContent", ""},
		{"empty", "POST", "/api/enable", ``, 400, "RequestBodyMissing", ""},
		{"two values", "POST", "/api/enable", `{} {}`, 400, "InvalidRequestContent", ""},
		{"an array", "POST", "/api/enable", `[]`, 400, "InvalidRequestContent", ""},
		{"nested without end", "POST", "/api/enable", deep, 400, "InvalidRequestContent", ""},
		{"too large", "POST", "/api/enable", `{"x":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "RequestBodyTooLarge", ""},
		{"an unknown field", "POST", "/api/enable", `{"virtualMachines":[{"id":"x","port":[]}]}`, 400, "UnknownField", "virtualMachines[0].port"},
		{"another case", "POST", "/api/enable", `{"VirtualMachines":[]}`, 400, "UnknownField", "VirtualMachines"},
		{"a field twice", "POST", "/api/request", `{"justification":"a","justification":"b"}`, 400, "DuplicateField", "justification"},
		{"a port that is a text", "POST", "/api/enable", ports(`{"number":"ssh"}`), 400, "InvalidRequestContent", "virtualMachines[0].ports[0].number"},
		{"a port out of range", "POST", "/api/enable", ports(`{"number":65536}`), 400, "InvalidRequestContent", "virtualMachines[0].ports[0].number"},
		{"no machine", "POST", "/api/enable", `{}`, 400, "VirtualMachinesMissing", "virtualMachines"},
		{"no id", "POST", "/api/enable", `{"virtualMachines":[{"id":"web"}]}`, 400, "InvalidResourceId", "virtualMachines[0].id"},
		{"a classic machine", "POST", "/api/enable", `{"virtualMachines":[{"id":"` + strings.Replace(web, "Compute", "ClassicCompute", 1) + `"}]}`, 400, "ClassicVirtualMachine", "virtualMachines[0].id"},
		{"an unknown machine", "POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `2"}]}`, 404, "VirtualMachineNotFound", "virtualMachines[0].id"},
		{"a protocol", "POST", "/api/enable", ports(`{"number":22,"protocol":"SCTP"}`), 400, "InvalidProtocol", "virtualMachines[0].ports[0].protocol"},
		{"a maximum too short", "POST", "/api/enable", ports(`{"number":22,"maxRequestAccessDuration":"PT4M59S"}`), 400, "InvalidMaximumDuration", "virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{"a maximum too long", "POST", "/api/enable", ports(`{"number":22,"maxRequestAccessDuration":"P2D"}`), 400, "InvalidMaximumDuration", "virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{"a maximum that would wrap", "POST", "/api/enable", ports(`{"number":22,"maxRequestAccessDuration":"PT99999999999H"}`), 400, "InvalidMaximumDuration", "virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{"a maximum that is no duration", "POST", "/api/enable", ports(`{"number":22,"maxRequestAccessDuration":"3 hours"}`), 400, "InvalidDuration", "virtualMachines[0].ports[0].maxRequestAccessDuration"},
		{"both sources", "POST", "/api/enable", ports(`{"number":22,"allowedSourceAddressPrefix":"*","allowedSourceAddressPrefixes":["*"]}`), 400, "InvalidSourceAddressPrefix", "virtualMachines[0].ports[0].allowedSourceAddressPrefix"},
		{"several in one string", "POST", "/api/enable", ports(`{"number":22,"allowedSourceAddressPrefix":"10.0.0.1 10.0.0.2"}`), 400, "InvalidSourceAddressPrefix", "virtualMachines[0].ports[0].allowedSourceAddressPrefix"},
		{"existing rules", "POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `","existingRules":"ignore"}]}`, 400, "InvalidExistingRules", "virtualMachines[0].existingRules"},
		{"dryRun", "POST", "/api/enable?dryRun=yes", `{}`, 400, "InvalidQueryParameter", "dryRun"},

		{"a port not in the policy", "POST", "/api/request", ports(`{"number":23,"duration":"PT1H"}`), 400, "PortNotInPolicy", "virtualMachines[0].ports[0].number"},
		{"both ends", "POST", "/api/request", ports(`{"number":22,"duration":"PT1H","endTimeUtc":"2026-11-23T13:00:00Z"}`), 400, "InvalidInitiateInput", "virtualMachines[0].ports[0]"},
		{"neither end", "POST", "/api/request", ports(`{"number":22}`), 400, "InvalidInitiateInput", "virtualMachines[0].ports[0]"},
		{"an end in the past", "POST", "/api/request", ports(`{"number":22,"endTimeUtc":"2026-11-23T12:00:00Z"}`), 400, "EndTimeInPast", "virtualMachines[0].ports[0].endTimeUtc"},
		{"an end that is no time", "POST", "/api/request", ports(`{"number":22,"endTimeUtc":"tomorrow"}`), 400, "InvalidInitiateInput", "virtualMachines[0].ports[0].endTimeUtc"},
		{"over the maximum", "POST", "/api/request", ports(`{"number":22,"duration":"PT3H1S"}`), 400, "DurationOverMaximum", "virtualMachines[0].ports[0].duration"},
		{"an end over the maximum", "POST", "/api/request", ports(`{"number":22,"endTimeUtc":"2026-11-23T15:02:01Z"}`), 400, "DurationOverMaximum", "virtualMachines[0].ports[0].endTimeUtc"},
		{"no length at all", "POST", "/api/request", ports(`{"number":22,"duration":"PT0S"}`), 400, "InvalidDuration", "virtualMachines[0].ports[0].duration"},
		{"a negative duration", "POST", "/api/request", ports(`{"number":22,"duration":"-PT1H"}`), 400, "InvalidDuration", "virtualMachines[0].ports[0].duration"},
		{"months", "POST", "/api/request", ports(`{"number":22,"duration":"P1M"}`), 400, "InvalidDuration", "virtualMachines[0].ports[0].duration"},
		{"a source outside", "POST", "/api/request", ports(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.112.0/23"}`), 400, "SourceAddressPrefixNotAllowed", "virtualMachines[0].ports[0].allowedSourceAddressPrefix"},
		{"any source where some are allowed", "POST", "/api/request", ports(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"*"}`), 400, "SourceAddressPrefixNotAllowed", "virtualMachines[0].ports[0].allowedSourceAddressPrefix"},
		{"a justification that is too long", "POST", "/api/request", `{"justification":"` + strings.Repeat("a", 1001) + `","virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H"}]}]}`, 400, "JustificationTooLong", "justification"},

		{"disable nothing", "POST", "/api/disable", `{}`, 400, "VirtualMachinesMissing", "virtualMachines"},
		{"disable what has no policy", "POST", "/api/disable", `{"virtualMachines":[{"id":"` + web + `2"}]}`, 404, "PolicyNotFound", web + "2"},
		{"an unknown request", "GET", "/api/requests/00000000-0000-7000-8000-000000000000", ``, 404, "RequestNotFound", "id"},
		{"an id that is none", "GET", "/api/requests/x'%20or%20'1'%20eq%20'1", ``, 404, "RequestNotFound", "id"},
		{"revoke an unknown request", "POST", "/api/requests/00000000-0000-7000-8000-000000000000/revoke", ``, 404, "RequestNotFound", "id"},
		{"repeat an unknown request", "POST", "/api/requests/00000000-0000-7000-8000-000000000000/again", ``, 404, "RequestNotFound", "id"},
		{"extend an unknown request", "POST", "/api/requests/00000000-0000-7000-8000-000000000000/extend", `{"duration":"PT1H"}`, 404, "RequestNotFound", "id"},
		{"a status", "GET", "/api/requests?status=open", ``, 400, "InvalidQueryParameter", "status"},
		{"a page size", "GET", "/api/requests?top=1001", ``, 400, "InvalidQueryParameter", "top"},
		{"a time", "GET", "/api/activity?from=today", ``, 400, "InvalidQueryParameter", "from"},
		{"a machine", "GET", "/api/activity?vm=web", ``, 400, "InvalidResourceId", "vm"},
		{"no such path", "GET", "/api/nothing", ``, 404, "NotFound", "GET /api/nothing"},
		{"no such method", "DELETE", "/api/enable", ``, 405, "MethodNotAllowed", "DELETE /api/enable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newApp(t)
			a.enable()
			writes := a.cloud.Writes()
			r := a.call(tc.method, tc.path, tc.body)
			code, target := r.code()
			if r.status != tc.status || code != tc.code || target != tc.target {
				t.Errorf("got %d %s at %q, want %d %s at %q\n%s", r.status, code, target, tc.status, tc.code, tc.target, r.text)
			}
			if r.header.Get("x-ms-error-code") != tc.code || r.header.Get("x-ms-request-id") == "" {
				t.Errorf("headers %v", r.header)
			}
			if open, _ := a.store.OpenGrants(t.Context()); len(open)+len(a.bell.Set()) != 0 || a.cloud.Writes() != writes {
				t.Error("a refusal changed something")
			}
		})
	}
}

func TestUnidentified(t *testing.T) {
	a := newApp(t)
	for _, p := range handlers.Patterns() {
		method, path, _ := strings.Cut(p, " ")
		if !strings.HasPrefix(path, "/api/") || path == "/api/health" || path == "/api/openapi.json" || path == "/api/metadata/endpoints" || strings.HasPrefix(path, "/api/portal/") { // the page has tests of its own
			continue
		}
		r := httptest.NewRequest(method, strings.Replace(path, "{id}", "00000000-0000-7000-8000-000000000000", 1), strings.NewReader("{}"))
		r.Header.Set("X-MS-CLIENT-PRINCIPAL-NAME", "admin@example.com") // unsigned: proves nothing
		got := a.do(r)
		if code, _ := got.code(); got.status != 401 || code != "Unauthenticated" || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s, want 401 Unauthenticated", p, got.status, got.text)
		}
	}
}

// TestOtherSites: a signed-in browser changes nothing for another site, whatever it is made to send.
func TestOtherSites(t *testing.T) {
	a := newApp(t)
	for name, headers := range map[string][]string{
		"another site":             {"Sec-Fetch-Site", "cross-site"},
		"another host of the site": {"Sec-Fetch-Site", "same-site"},
		"an old browser":           {"Origin", "https://evil.example"},
		"an opaque origin":         {"Origin", "null"},
	} {
		for _, path := range []string{"enable", "request", "sweep", "disable"} {
			r := a.call("POST", "/api/"+path, `{"virtualMachines":[{"id":"`+web+`"}]}`, append(headers, "Content-Type", "text/plain")...)
			if code, _ := r.code(); r.status != 403 || code != "CrossOriginRequest" {
				t.Errorf("%s: POST %s is answered %d %s", name, path, r.status, r.text)
			}
		}
	}
	if all, _ := store.AllPolicies(t.Context(), a.store); len(all) != 0 {
		t.Error("another site enabled a machine")
	}
	if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"}]}`, "Sec-Fetch-Site", "same-origin"); r.status != 200 {
		t.Errorf("this site is answered %d %s", r.status, r.text)
	}
	if r := a.call("GET", "/api/activity", "", "Sec-Fetch-Site", "cross-site"); r.status != 200 {
		t.Errorf("reading is answered %d", r.status)
	}
}

// TestDependencyDown: 503 that says which one, with nothing left half open, and
// the same request passes once it is back.
func TestDependencyDown(t *testing.T) {
	for _, tc := range []struct {
		ops  []string
		name string
		code string
	}{
		{[]string{"Rules", "Locate", "Apply"}, "Azure Resource Manager", "AzureResourceManagerUnavailable"},
		{[]string{"Apply"}, "Azure Resource Manager", "AzureResourceManagerUnavailable"},
		{[]string{"Policy", "FindKey", "InsertGrant"}, "Table Storage", "TableStorageUnavailable"},
		{[]string{"InsertGrant"}, "Table Storage", "TableStorageUnavailable"},
		{[]string{"Schedule"}, "Service Bus", "ServiceBusUnavailable"},
	} {
		t.Run(fmt.Sprint(tc.ops), func(t *testing.T) {
			a := newApp(t)
			a.enable()
			fault := func(_ context.Context, s coretest.Step) error {
				for _, op := range tc.ops {
					if s.Op == op && !s.After {
						return &store.Unavailable{Dependency: tc.name, RetryAfter: 7 * time.Second, Err: errors.New("SECRET DETAIL")}
					}
				}
				return nil
			}
			a.cloud.Fault, a.store.Fault, a.bell.Fault = fault, fault, fault
			body := ports(`{"number":22,"duration":"PT1H"}`)
			r := a.call("POST", "/api/request", body)
			if code, _ := r.code(); r.status != 503 || code != tc.code || r.header.Get("Retry-After") != "7" {
				t.Errorf("got %d %s, want 503 %s", r.status, r.text, tc.code)
			}
			if strings.Contains(r.text, "SECRET") {
				t.Errorf("the answer shows the cause: %s", r.text)
			}
			a.cloud.Fault, a.store.Fault, a.bell.Fault = nil, nil, nil
			if r := a.call("POST", "/api/request", body); r.status != 200 || r.body["status"] != "Initiated" {
				t.Errorf("sent again: %d %s", r.status, r.text)
			}
			open, _ := a.store.OpenGrants(t.Context())
			live := 0
			for _, g := range open {
				if g.Grant.AnyLive(a.now()) {
					live++
				}
			}
			if live != 1 {
				t.Errorf("%d live grants, want 1", live)
			}
		})
	}
}

func TestInternalErrorShowsNothing(t *testing.T) {
	a := newApp(t)
	a.store.Fault = func(context.Context, coretest.Step) error { return errors.New("SECRET DETAIL") }
	r := a.call("GET", "/api/requests/00000000-0000-7000-8000-000000000000", "")
	if code, _ := r.code(); r.status != 500 || code != "InternalServerError" || strings.Contains(r.text, "SECRET") {
		t.Errorf("%d %s", r.status, r.text)
	}
	if !strings.Contains(a.log.String(), "SECRET DETAIL") || !strings.Contains(a.log.String(), r.header.Get("x-ms-request-id")) {
		t.Errorf("the log does not hold the cause under the request id:\n%s", a.log)
	}
	if strings.Contains(a.log.String(), "Bearer") {
		t.Error("the log holds the token")
	}
}

func TestRequest(t *testing.T) {
	a := newApp(t)
	a.enable()
	dry := a.call("POST", "/api/request?dryRun=true", ports(`{"number":22,"duration":"PT1H"}`))
	if dry.status != 200 || dry.body["dryRun"] != true || dry.body["id"] != nil {
		t.Errorf("dry run: %d %s", dry.status, dry.text)
	}
	if open, _ := a.store.OpenGrants(t.Context()); len(open) != 0 {
		t.Error("a dry run stored a grant")
	}
	r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"},{"number":3389,"endTimeUtc":"2026-11-23T12:30:00.1234567Z","allowedSourceAddressPrefixes":["198.51.100.7","192.0.2.0/24"]}`))
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	for _, want := range []string{
		`"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.7","endTimeUtc":"2026-11-23T13:00:00.000Z","status":"Initiated","statusReason":"UserRequested","connect":[{"host":"198.51.100.4","port":22}]`,
		`"number":3389,"protocol":"*","allowedSourceAddressPrefixes":["192.0.2.0/24","198.51.100.7"],"endTimeUtc":"2026-11-23T12:30:00.123Z"`,
		`"requestor":"alice@example.com"`,
	} {
		if !strings.Contains(r.text, want) {
			t.Errorf("the answer lacks %s:\n%s", want, r.text)
		}
	}
	id := r.body["id"].(string)
	if got := a.call("GET", "/api/requests/"+strings.ToUpper(id), ""); got.status != 200 || got.body["id"] != id {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := a.call("POST", "/api/requests/"+id+"/extend", `{"duration":"PT2H"}`); got.status != 200 || got.body["endTimeUtc"] != "2026-11-23T14:00:00.000Z" {
		t.Errorf("extend: %d %s", got.status, got.text)
	}
	if got := a.call("POST", "/api/requests/"+id+"/revoke", ""); got.status != 200 || got.body["status"] != "Revoked" {
		t.Errorf("revoke: %d %s", got.status, got.text)
	}
	if got := a.call("GET", "/api/requests?status=Revoked&requestor=alice@example.com&vm="+web, ""); len(got.body["value"].([]any)) != 1 {
		t.Errorf("list: %s", got.text)
	}
	if got := a.call("GET", "/api/activity?operation=Revoke", ""); len(got.body["value"].([]any)) != 1 {
		t.Errorf("activity: %s", got.text)
	}
}

func TestRespondAsync(t *testing.T) {
	a := newApp(t)
	a.enable()
	hold := make(chan struct{})
	a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After {
			<-hold
		}
		return nil
	}
	r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`), "Prefer", "wait=1, respond-async")
	if r.status != 202 || r.body["status"] != "Initiating" || r.header.Get("Location") != "/api/requests/"+r.body["id"].(string) || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", r.status, r.header, r.text)
	}
	close(hold)
	deadline := time.After(2 * time.Minute)
	for {
		if got := a.call("GET", r.header.Get("Location"), ""); got.body["status"] == "Initiated" {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the opening did not go on by itself")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestPaging(t *testing.T) {
	a := newApp(t)
	a.enable()
	for i := range 5 {
		a.leap(time.Minute)
		if r := a.call("POST", "/api/request", ports(fmt.Sprintf(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.%d"}`, i))); r.status != 200 {
			t.Fatal(r.text)
		}
	}
	var starts []string
	next := "/api/requests?top=2"
	for pages := 0; next != ""; pages++ {
		if pages > 3 {
			t.Fatal("the pages do not end")
		}
		r := a.call("GET", next, "")
		if r.status != 200 {
			t.Fatal(r.text)
		}
		for _, v := range r.body["value"].([]any) {
			starts = append(starts, v.(map[string]any)["startTimeUtc"].(string))
		}
		next, _ = r.body["nextLink"].(string)
	}
	if len(starts) != 5 || starts[0] != "2026-11-23T12:05:00.000Z" || starts[4] != "2026-11-23T12:01:00.000Z" {
		t.Errorf("starts %q", starts)
	}
	if r := a.call("GET", "/api/requests?cursor=forged", ""); r.status != 400 {
		t.Errorf("a forged cursor: %d %s", r.status, r.text)
	}
}

func TestTriggers(t *testing.T) {
	a := newApp(t)
	a.enable()
	r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`))
	id := r.body["id"].(string)
	message := fmt.Sprintf(`{"v":1,"grant":"%s","generation":1}`, id)
	once, _ := json.Marshal(message)
	twice, _ := json.Marshal(string(once))
	for _, tc := range []struct {
		name, data string
		status     int
	}{
		{"no envelope", ``, 500},
		{"no message", `{"Data":{},"Metadata":{}}`, 500},
		{"not an object", `{"Data":{"message":"\"hello\""},"Metadata":{}}`, 500},
		{"no metadata", `{"Data":{"message":` + string(once) + `}}`, 500},
		{"another function's binding", `{"Data":{"timer":` + string(once) + `},"Metadata":{}}`, 500},
		{"a binding too many", `{"Data":{"message":` + string(once) + `,"timer":{}},"Metadata":{}}`, 500},
		{"a null", `{"Data":{"message":null},"Metadata":{}}`, 500},
		{"encoded for ever", `{"Data":{"message":` + encoded(message, 6) + `},"Metadata":{}}`, 500},
		{"a bare object", `{"Data":{"message":` + message + `},"Metadata":{}}`, 200},
		{"encoded once", `{"Data":{"message":` + string(once) + `},"Metadata":{}}`, 200},
		{"encoded twice", `{"Data":{"message":` + string(twice) + `},"Metadata":{"MessageId":"\"forged\"","sys":{}}}`, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := a.posts("/revoke", tc.data)
			if got.status != tc.status || got.text == "" {
				t.Errorf("%d %q, want %d and a body", got.status, got.text, tc.status)
			}
			if tc.status == 200 && strings.TrimSpace(got.text) != `{"Outputs":{},"Logs":[],"ReturnValue":null}` {
				t.Errorf("the host does not understand %q", got.text)
			}
		})
	}
	// a failed closing is not 2xx, so that the message comes again.
	a.leap(2 * time.Hour)
	// a reminder closes nothing, whatever is due.
	if got := a.posts("/revoke", `{"Data":{"message":{"grant":"`+id+`","generation":1,"remind":true}},"Metadata":{}}`); got.status != 200 {
		t.Errorf("a reminder: %d %s", got.status, got.text)
	}
	if got := a.call("GET", "/api/requests/"+id, ""); got.body["status"] == "Revoked" {
		t.Errorf("a reminder has closed something: %s", got.text)
	}
	a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return store.ErrLocked
		}
		return nil
	}
	body := `{"Data":{"message":` + string(twice) + `},"Metadata":{}}`
	if got := a.posts("/revoke", body); got.status < 300 {
		t.Errorf("a closing that failed is answered %d", got.status)
	}
	if got := a.sweeps(); got.status < 300 {
		t.Errorf("a sweep that failed is answered %d", got.status)
	}
	a.cloud.Fault = nil
	if got := a.posts("/revoke", body); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
	if got := a.call("GET", "/api/requests/"+id, ""); got.body["status"] != "Revoked" || got.body["statusReason"] != "Expired" {
		t.Errorf("%s", got.text)
	}
	if got := a.sweeps(); got.status != 200 {
		t.Errorf("%d %s", got.status, got.text)
	}
}

func encoded(s string, times int) string {
	for range times {
		b, _ := json.Marshal(s)
		s = string(b)
	}
	return s
}

// FuzzTrigger: whatever the host or a forger sends to a trigger gets an answer
// with a body, and no panic.
func FuzzTrigger(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"Data":{"message":"{}"},"Metadata":{}}`, `{"Data":{"message":"\"{\\\"grant\\\":\\\"x\\\"}\""}}`, `{"Data":{"message":{"grant":1}},"Metadata":{}}`, `{"Data":{"timer":{}},"Metadata":{}}`, `{"Data":[]}`, `null`} {
		f.Add([]byte(seed))
	}
	a := newApp(&testing.T{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/revoke", "/sweep"} {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, trigger(path, string(body)))
			if w.Body.Len() == 0 || w.Code == http.StatusInternalServerError && strings.Contains(a.log.String(), "panic") {
				t.Fatalf("%s: %d with %d bytes", path, w.Code, w.Body.Len())
			}
			a.log.Reset()
		}
	})
}
