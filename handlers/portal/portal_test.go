package portal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal"
)

const (
	sub   = "00000000-0000-0000-0000-00000000d3e0"
	group = "/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/"
	web   = group + "web"
	app1  = group + "app1"
	bare  = group + "bare"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// site is the page before an installation in memory.
type site struct {
	http.Handler
	t     *testing.T
	cloud *coretest.Cloud
	store *coretest.Faulty
	ports core.Ports
	app   *core.App
	clock *coretest.Clock
	log   *bytes.Buffer
	may   func(who jit.Caller, scope string, action string) bool
	down  error // of whoever identifies callers
	roles map[string]jit.Roles
}

// Missing implements [permit.Authority].
func (s *site) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	for _, a := range actions {
		if !s.may(who, scope, a) {
			return a, nil
		}
	}
	return "", nil
}

func vm(t *testing.T, id string) jit.ID {
	t.Helper()
	out, err := jit.ParseVM(id)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newSite(t *testing.T) *site {
	s := &site{t: t, cloud: coretest.NewCloud(), store: &coretest.Faulty{Store: coretest.NewMemory()}, clock: coretest.NewClock(noon), log: &bytes.Buffer{},
		may: func(jit.Caller, string, string) bool { return true }}
	s.place(web, "web-nsg", "10.0.0.4", "198.51.100.4")
	s.place(app1, "apps-nsg", "10.0.0.5", "")
	s.cloud.Place(network.Machine{VM: vm(t, bare), Location: "westeurope", Private: []netip.Addr{netip.MustParseAddr("10.0.0.9")}})
	s.wire(func(p *core.Ports) {
		*p = core.Ports{Network: s.cloud, Kinds: network.KindsOf(network.SecurityGroups(s.cloud)), Policies: s.store, Grants: s.store, Keys: s.store, History: s.store, Targets: s.store,
			Activity: s.store, Holds: s.store, Sweeps: s.store, Alarm: &coretest.Bell{}, Authority: s, Subscriptions: []string{sub}, Ahead: decide.DefaultAhead, Now: s.clock.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() }}
	})
	return s
}

// wire makes the page, with other ports than before.
func (s *site) wire(change func(*core.Ports)) {
	change(&s.ports)
	s.app = core.New(s.ports)
	s.Handler = portal.New(portal.Options{
		App: s.app,
		Caller: func(r *http.Request) (jit.Caller, error) {
			if s.down != nil {
				return jit.Caller{}, s.down
			}
			name := r.Header.Get("X-Ms-Token-Aad-Id-Token")
			if name == "" {
				return jit.Caller{}, errors.New("no token")
			}
			return jit.Caller{ID: "tid/" + name, Name: name + "@example.com", Kind: jit.Person, Roles: s.roles[name]}, nil
		},
		OwnAddress: func(*http.Request) (netip.Addr, bool) { return netip.MustParseAddr("203.0.113.7"), true },
		Invocation: func(context.Context) string { return "invocation-1" },
		Explain: func(err error) (int, *jit.Error) {
			refused, ok := errors.AsType[*jit.Error](err)
			if !ok {
				return 500, &jit.Error{Code: "InternalServerError", Message: "an internal error occurred"}
			}
			if refused.Code == permit.CodeForbidden {
				return 403, refused
			}
			if refused.Code == access.CodeRequestNotFound || refused.Code == "NotFound" || refused.Code == network.CodeVMNotFound {
				return 404, refused
			}
			return 400, refused
		},
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
}

func (s *site) place(id, nsg, private, public string) {
	s.t.Helper()
	target := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: nsg}
	addrs := []netip.Addr{netip.MustParseAddr(private)}
	m := network.Machine{VM: vm(s.t, id), Location: "westeurope", Private: addrs, Placements: []store.Placement{{Target: target, Addresses: addrs}}}
	if public != "" {
		m.Public = []netip.Addr{netip.MustParseAddr(public)}
	}
	s.cloud.SetRules(target)
	s.cloud.Place(m)
}

// page is an answer.
type page struct {
	status int
	header http.Header
	text   string
}

func (s *site) send(r *http.Request) page {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return page{w.Code, w.Header(), string(text)}
}

func (s *site) get(path string, headers ...string) page {
	s.t.Helper()
	return s.send(s.ask("GET", path, "", headers...))
}

func (s *site) ask(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "/api/portal/"+path, strings.NewReader(body))
	r.Header.Set("X-Ms-Token-Aad-Id-Token", "alice")
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	return r
}

// post sends a form: names and values in turn.
func (s *site) post(path string, form ...string) page {
	s.t.Helper()
	return s.postAs("alice", path, form...)
}

func (s *site) postAs(who, path string, form ...string) page {
	s.t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		v.Add(form[i], form[i+1])
	}
	return s.send(s.ask("POST", path, v.Encode(), "X-Ms-Token-Aad-Id-Token", who))
}

func (s *site) getAs(who, path string, headers ...string) page {
	s.t.Helper()
	return s.get(path, append(headers, "X-Ms-Token-Aad-Id-Token", who)...)
}

func caller(who string) jit.Caller {
	return jit.Caller{ID: "tid/" + who, Name: who + "@example.com"}
}

// enable protects web and app1 as the page proposes.
func (s *site) enable() {
	s.t.Helper()
	for _, id := range []string{web, app1} {
		p := jit.Policy{VM: vm(s.t, id), Ports: jit.DefaultPorts()}
		if _, _, err := s.app.Access.Enable(s.t.Context(), jit.Caller{ID: "tid/alice", Name: "alice@example.com"}, []jit.Policy{p}, false); err != nil {
			s.t.Fatal(err)
		}
	}
}

// opened asks for ports of web as somebody and opens them.
func (s *site) opened(who, why string, length time.Duration, ports ...uint16) string {
	s.t.Helper()
	caller := jit.Caller{ID: "tid/" + who, Name: who + "@example.com"}
	part := jit.RequestVM{VM: vm(s.t, web)}
	for _, n := range ports {
		part.Ports = append(part.Ports, jit.RequestPort{Number: n, Duration: length, Sources: jit.SourcesOf(netip.MustParsePrefix("203.0.113.7/32"))})
	}
	rec, _, err := s.app.Access.Request(s.t.Context(), caller, jit.Request{Justification: why, VMs: []jit.RequestVM{part}}, "")
	if err == nil {
		rec, err = s.app.Access.Open(s.t.Context(), caller, rec)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return rec.Grant.ID
}

// holds fails for every text that is not in the answer.
func (p page) holds(t *testing.T, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(p.text, want) {
			t.Errorf("%d, does not hold %q:\n%s", p.status, want, p.text)
		}
	}
}

func (p page) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, bad := range texts {
		if strings.Contains(p.text, bad) {
			t.Errorf("%d, holds %q:\n%s", p.status, bad, p.text)
		}
	}
}

// TestEveryView draws every page once, whole and as a part.
func TestEveryView(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "look at the logs", time.Hour, 22, 3389)
	for _, path := range []string{"", "?tab=notConfigured", "?tab=unsupported", "?text=none", "?sort=requests&order=descending", "open", "machine?vm=" + web, "machine?vm=" + bare,
		"request?vm=" + web, "request?vm=" + web + "," + app1, "configure?vm=" + web, "configure?vm=" + app1 + "&vm=" + web, "requests/" + id, "activity", "activity?vm=web&operation=Open",
		"windows", "windows?span=7d&vm=" + web, "report", "report?who=ali&vm=we", "findings"} {
		whole, part := s.get(path), s.get(path, "HX-Request", "true")
		for _, p := range []page{whole, part} {
			if p.status != 200 {
				t.Errorf("%s: %d %s", path, p.status, p.text)
			}
			if strings.Contains(p.text, "ZgotmplZ") || strings.Contains(p.text, "<no value>") {
				t.Errorf("%s: %s", path, p.text)
			}
		}
		if !strings.HasPrefix(whole.text, "<!doctype html>") || strings.Contains(part.text, "<html") {
			t.Errorf("%s: whole and part are not what they are called", path)
		}
	}
	if s.log.Len() != 0 {
		t.Errorf("log: %s", s.log)
	}
}
