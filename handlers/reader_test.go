package handlers_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers"
	"portcullis/handlers/portal"
	"portcullis/handlers/portal/lock"
)

// What the reader's own machine, app2, stands among. All that is not for its reader has a name that begins with zz-, an address
// of 10.77.7.0/24 or 192.0.2.0/24, the other subscription, or the id of a request.
const (
	mine       = app2
	neighbour  = group + "/providers/Microsoft.Compute/virtualMachines/zz-neighbour"
	elsewhere  = "/subscriptions/" + sub + "/resourceGroups/zz-group/providers/Microsoft.Compute/virtualMachines/zz-elsewhere"
	otherSub   = "5ec2e75e-0000-4000-8000-00005ec2e75e"
	abroad     = "/subscriptions/" + otherSub + "/resourceGroups/zz-group/providers/Microsoft.Compute/virtualMachines/zz-abroad"
	unprepared = group + "/providers/Microsoft.Compute/virtualMachines/zz-unprepared"
)

// onlyMine lets alice do some actions at her machine and nothing anywhere else, and everybody else everything.
type onlyMine []string // actions that contain one of these; none is every action

func (o onlyMine) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	if who.ID != tenant+"/"+admin {
		return "", nil
	}
	for _, action := range actions {
		held := len(o) == 0 || slices.ContainsFunc(o, func(part string) bool { return strings.Contains(action, part) })
		if !held || !strings.EqualFold(scope, mine) {
			return action, nil
		}
	}
	return "", nil
}

// shared is an installation in which the reader's machine stands among others.
type shared struct {
	*app
	marks []string // what the reader may not see
	own, others, joint,
	hidden, closed string // requests: alice's own at her machine, another's there, one for it and its neighbour, and two that are not for her
}

// heldID is the id of hold n of heldElsewhere.
func heldID(n int) string { return fmt.Sprintf("00000000-0000-7000-9000-%012d", n) }

// heldElsewhere has holds set that are not for the reader to see, beside two that are, but for who set them and why.
func (s *shared) heldElsewhere() {
	id := func(vm string) jit.ID {
		out, err := jit.ParseVM(vm)
		if err != nil {
			s.t.Fatal(err)
		}
		return out
	}
	for n, scope := range []area.Scope{{VM: id(neighbour)}, {Subscription: sub, ResourceGroup: "zz-group"}, {Subscription: otherSub}, {Person: requester}, {Everything: true}, {Subscription: sub}} {
		s.held(heldID(n), scope, "zz-why")
	}
}

// newShared has everything happen that an answer could tell of.
func newShared(t *testing.T, rights onlyMine) *shared {
	t.Helper()
	s := &shared{app: newCompat(t), marks: []string{"zz-", "10.77.7.", "192.0.2.", otherSub}}
	s.wire(func(p *core.Ports) { p.Subscriptions = []string{sub, otherSub}; p.Authority = rights })
	at := func(vm, nsg, addr string) {
		id, err := jit.ParseVM(vm)
		if err != nil {
			t.Fatal(err)
		}
		m := network.Machine{VM: id, Location: "westeurope", Private: []netip.Addr{netip.MustParseAddr(addr)}, Unguarded: []string{vm + "/networkInterfaces/zz-nic"}}
		if nsg != "" {
			target := jit.ID{Subscription: id.Subscription, ResourceGroup: id.ResourceGroup, Type: jit.TypeNSG, Name: nsg}
			if nsg != "apps-nsg" {
				s.cloud.SetRules(target)
			}
			m.Placements = []store.Placement{{Target: target, Addresses: m.Private}}
		}
		s.cloud.Place(m)
	}
	at(neighbour, "apps-nsg", "10.77.7.71")
	at(elsewhere, "zz-nsg", "10.77.7.72")
	at(abroad, "zz-abroad-nsg", "10.77.7.73")
	at(unprepared, "", "10.77.7.74")
	foreign := func(name, to, from string, priority int) jit.Rule {
		r := jit.Rule{Name: name, Priority: priority, Direction: jit.Inbound, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix(from)}},
			SourcePorts: []jit.PortRange{{First: 0, Last: 65535}}, DestinationPorts: []jit.PortRange{{First: 22, Last: 22}}}
		if r.Destination.Any = to == ""; !r.Destination.Any {
			r.Destination.Prefixes = []netip.Prefix{netip.MustParsePrefix(to)}
		}
		return r
	}
	s.cloud.SetRules(nsgOf("apps-nsg"), foreign("AllowSshToAll", "", "203.0.113.128/25", 300), foreign("zz-rule", "10.77.7.71/32", "192.0.2.70/32", 310), foreign("MicrosoftDefenderForCloud-JITRule_zz-1", "10.77.7.71/32", "192.0.2.70/32", 320))

	mallory, bob, alice := jit.Caller{ID: "tid/mallory", Name: "zz-mallory@example.com"}, jit.Caller{ID: "tid/bob", Name: "bob@example.com"}, jit.Caller{ID: tenant + "/" + admin, Name: "alice@example.com"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	protect := func(who jit.Caller, vms ...string) {
		t.Helper()
		var list []jit.Policy
		for _, vm := range vms {
			list = append(list, policyFor(t, vm))
		}
		_, _, err := s.rooms.Access.Enable(t.Context(), who, list, false)
		must(err)
	}
	asks := func(who jit.Caller, why string, open bool, from ...string) string {
		t.Helper()
		r := jit.Request{RequestorID: who.ID, Requestor: who.Name, Justification: why}
		for i := 0; i < len(from); i += 2 {
			id, err := jit.ParseVM(from[i])
			must(err)
			source, err := jit.ParseSources(from[i+1])
			must(err)
			r.VMs = append(r.VMs, jit.RequestVM{VM: id, Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: source}}})
		}
		checked, err := decide.Validate(r, s.rooms.Verbs.Now(), decide.DefaultAhead)
		must(err)
		rec, _, err := s.rooms.Verbs.Request(t.Context(), who, checked, "")
		must(err)
		if open {
			_, err = s.rooms.Verbs.Open(t.Context(), who, rec)
			must(err)
		}
		return rec.Grant.ID
	}
	protect(bob, mine)
	protect(mallory, neighbour, elsewhere, abroad)
	listed, err := policyFor(t, app1).Validate()
	must(err)
	_, err = s.rooms.Named.ReplacePolicy(t.Context(), mallory, store.PolicyName{Subscription: sub, ResourceGroup: "demo", Location: "westeurope", Name: "zz-policy"}, []jit.ValidPolicy{listed}, defender.Written{}, defender.Precondition{})
	must(err)
	s.own = asks(alice, "mine", true, mine, "203.0.113.7")
	s.others = asks(bob, "his", true, mine, "203.0.113.8")
	s.joint = asks(bob, "both", true, mine, "203.0.113.9", neighbour, "192.0.2.73")
	s.hidden = asks(mallory, "zz-why", true, neighbour, "192.0.2.71")
	s.closed = asks(mallory, "zz-why", true, elsewhere, "192.0.2.72")
	_, err = s.rooms.Verbs.Revoke(t.Context(), mallory, s.closed)
	must(err)
	opening := asks(mallory, "zz-why", false, elsewhere, "192.0.2.74")
	far := asks(mallory, "zz-why", true, abroad, "192.0.2.75")
	s.marks = append(s.marks, s.hidden, s.closed, opening, far)
	refused := asksFor(t, neighbour, mine) // who is refused at once for his own machine and another's
	refused.RequestorID, refused.Requestor, refused.Justification = mallory.ID, mallory.Name, "zz-why"
	if _, _, err := s.rooms.Access.Request(t.Context(), mallory, refused, ""); jit.Refused(err) == nil {
		t.Fatalf("a request for a port that is in no policy: %v", err)
	}
	s.cloud.SetRules(nsgOf("apps-nsg"), slices.DeleteFunc(s.cloud.Standing(nsgOf("apps-nsg")), func(r jit.Rule) bool { return strings.Contains(r.Name, s.hidden) })...)
	if _, err := s.rooms.Sweeper.Sweep(t.Context(), mallory); err != nil {
		t.Fatal(err)
	}
	s.findings()
	return s
}

// findings adds one of each kind about what the reader may not see to what the last sweep found.
func (s *shared) findings() {
	s.t.Helper()
	rec, err := s.store.LastSweep(s.t.Context())
	if err != nil || len(rec.Findings) == 0 {
		s.t.Fatalf("%d findings, %v", len(rec.Findings), err)
	}
	vm, err := jit.ParseVM(neighbour)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, kind := range store.FindingKinds() {
		rec.Findings = append(rec.Findings, store.Finding{Kind: kind, VM: vm, Grant: s.hidden, Rule: "zz-rule", Message: "zz-found"},
			store.Finding{Kind: kind, Target: nsgOf("apps-nsg"), Rule: "zz-rule", Message: "zz-found"}, store.Finding{Kind: kind, Message: "zz-found"})
	}
	rec.Error = "zz-error"
	if err := s.store.PutSweep(s.t.Context(), rec); err != nil {
		s.t.Fatal(err)
	}
}

func nsgOf(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: name}
}

// policyFor is ports 22 and 3389 of a machine, from anywhere.
func policyFor(t *testing.T, vm string) jit.Policy {
	t.Helper()
	id, err := jit.ParseVM(vm)
	if err != nil {
		t.Fatal(err)
	}
	return jit.Policy{VM: id, ExistingRules: jit.Override, Ports: []jit.PortRule{
		{Number: 22, Protocol: jit.AnyProtocol, Sources: jit.AnySource(), Maximum: 3 * time.Hour}, {Number: 3389, Protocol: jit.AnyProtocol, Sources: jit.AnySource(), Maximum: 3 * time.Hour}}}
}

// asksFor is a request for a port that no policy has.
func asksFor(t *testing.T, vms ...string) jit.Request {
	t.Helper()
	var r jit.Request
	for _, vm := range vms {
		r.VMs = append(r.VMs, jit.RequestVM{VM: policyFor(t, vm).VM, Ports: []jit.RequestPort{{Number: 23, Duration: time.Hour, Sources: jit.AnySource()}}})
	}
	return r
}

// walked is one call of the reader's.
type walked struct{ method, path, body string }

// walk is what the reader calls at each route, by its pattern; those of the page by theirs below it.
func walk() map[string]func(s *shared) []walked {
	get := func(paths ...string) func(*shared) []walked {
		return func(*shared) []walked {
			var out []walked
			for _, p := range paths {
				out = append(out, walked{"GET", p, ""})
			}
			return out
		}
	}
	machines := func(ports string, vms ...string) string {
		var list []string
		for _, vm := range vms {
			list = append(list, `{"id":"`+vm+`"`+ports+`}`)
		}
		return `{"virtualMachines":[` + strings.Join(list, ",") + `]}`
	}
	// post is a verb as it is, and its dry run, of the reader's machine and of others with it.
	post := func(path, ports string) func(*shared) []walked {
		return func(*shared) []walked {
			var out []walked
			for _, vms := range [][]string{{mine}, {mine, neighbour}, {neighbour}, {elsewhere}, {abroad}, {mine + "x"}} {
				out = append(out, walked{"POST", path + "?dryRun=true", machines(ports, vms...)}, walked{"POST", path, machines(ports, vms...)})
			}
			return out
		}
	}
	each := func(rest, body string, dryRun bool) func(*shared) []walked {
		return func(s *shared) []walked {
			var out []walked
			for _, id := range []string{s.own, s.others, s.joint, s.hidden, s.closed} {
				path, method := "/api/requests/"+id+rest, "POST"
				if rest == "" {
					method = "GET"
				}
				if dryRun {
					out = append(out, walked{method, path + "?dryRun=true", body})
				}
				out = append(out, walked{method, path, body})
			}
			return out
		}
	}
	lists := func(path string, queries ...string) func(*shared) []walked {
		return func(*shared) []walked {
			out := []walked{{"GET", path, ""}, {"GET", path + "?top=1", ""}, {"GET", path + "?top=5", ""}}
			for _, q := range queries {
				out = append(out, walked{"GET", path + "?" + q, ""})
			}
			return out
		}
	}
	ssh := `,"ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}]`
	rdp := `,"ports":[{"number":3389,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}]`
	names := []string{policy, strings.Replace(policy, "/default", "/zz-policy", 1), strings.NewReplacer("/demo/", "/zz-group/").Replace(policy), strings.Replace(policy, sub, otherSub, 1)}
	named := func(method, rest string, bodies ...string) func(*shared) []walked {
		return func(*shared) []walked {
			var out []walked
			for _, name := range names {
				for _, body := range bodies {
					out = append(out, walked{method, name + rest + version, body})
				}
			}
			return out
		}
	}
	imported := func(*shared) []walked {
		var out []walked
		for _, name := range names {
			body := `{"value":[{"id":"` + strings.TrimPrefix(name, "/api") + `","properties":` + machines(`,"ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]`, mine, neighbour) + `}]}`
			out = append(out, walked{"POST", "/api/import", body}, walked{"POST", "/api/import?dryRun=true", body})
		}
		return out
	}
	restored := func(*shared) []walked {
		var out []walked
		for _, name := range names {
			body := `{"format":"portcullis-policies","version":1,"exportedAt":"","holds":"","subscriptions":[],"resourceGroup":"","policies":[{"id":"` + strings.TrimPrefix(name, "/api") + `",` +
				machines(`,"existingRules":"override","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT2H"}]`, mine, neighbour)[1:] + `],"virtualMachineCount":2,"complete":true,"incompleteBecause":""}`
			out = append(out, walked{"POST", "/api/policies/import?dryRun=true", body}, walked{"POST", "/api/policies/import", body})
		}
		return out
	}
	form := func(rest, body string) func(*shared) []walked {
		return func(s *shared) []walked {
			var out []walked
			for _, id := range []string{s.own, s.others, s.joint, s.hidden} {
				out = append(out, walked{"POST", "/api/portal/requests/" + id + rest, body})
			}
			return out
		}
	}
	pages := func(path string, rest ...string) func(*shared) []walked {
		return func(*shared) []walked {
			out := []walked{}
			for _, vms := range []string{"vm=" + mine, "vm=" + mine + "&vm=" + neighbour, "vm=" + neighbour, "vm=" + elsewhere} {
				out = append(out, walked{"GET", "/api/portal/" + path + "?" + vms, ""})
			}
			for _, r := range rest {
				out = append(out, walked{"GET", "/api/portal/" + path + r, ""})
			}
			return out
		}
	}
	forms := func(path string, each ...string) func(*shared) []walked {
		return func(*shared) []walked {
			var out []walked
			for _, fields := range each {
				for _, vms := range []string{"vm=" + mine, "vm=" + mine + "&vm=" + neighbour, "vm=" + neighbour} {
					out = append(out, walked{"POST", "/api/portal/" + path, vms + "&" + fields})
				}
			}
			return out
		}
	}
	return map[string]func(*shared) []walked{
		"POST /api/enable":                post("/api/enable", `,"ports":[{"number":22},{"number":8022}]`),
		"POST /api/disable":               post("/api/disable", ""),
		"POST /api/request":               post("/api/request", ssh),
		"GET /api/requests":               lists("/api/requests", "status=Initiated", "status=Revoked", "requestor=zz-mallory@example.com", "vm="+neighbour),
		"GET /api/requests/{id}":          each("", "", false),
		"POST /api/requests/{id}/revoke":  each("/revoke", "", true),
		"POST /api/requests/{id}/extend":  each("/extend", `{"duration":"PT2H"}`, true),
		"POST /api/requests/{id}/again":   each("/again", "", true),
		"POST /api/requests/{id}/review":  each("/review", `{"review":"the disk was full"}`, true),
		"POST /api/requests/{id}/approve": each("/approve", `{"digest":""}`, true),
		"POST /api/requests/{id}/deny":    each("/deny", `{"justification":"no"}`, true),
		"GET /api/policies/export":        get("/api/policies/export", "/api/policies/export?subscription="+sub, "/api/policies/export?subscription="+otherSub, "/api/policies/export?subscription="+sub+"&resourceGroup=zz-group"),
		"POST /api/policies/import":       restored,
		"GET /api/machines":               lists("/api/machines", "state=configured", "state=unsupported", "q=zz", "q=10.77", "subscription="+otherSub, "resourceGroup=zz-group", "vm="+neighbour, "sort=-lastAccess", "sort=requests&top=1"),
		"GET /api/activity":               lists("/api/activity", "format=csv", "format=jsonl", "operation=Repair", "result=Refused", "vm="+neighbour, "requestor=zz-mallory@example.com", "subscription="+otherSub, "operation=Sweep&format=csv"),
		"GET /api/activity/verify":        get("/api/activity/verify", "/api/activity/verify?subscription="+sub, "/api/activity/verify?subscription=none", "/api/activity/verify?subscription="+otherSub),
		"GET /api/compliance":             get("/api/compliance"),
		"POST /api/sweep": func(*shared) []walked {
			return []walked{{"POST", "/api/sweep", ""}, {"POST", "/api/sweep?dryRun=true", ""}}
		},
		"GET /api/lockdown": func(s *shared) []walked {
			s.heldElsewhere()
			return []walked{{"GET", "/api/lockdown", ""}}
		},
		"GET /api/lockdown/{id}": func(s *shared) []walked {
			s.heldElsewhere()
			return []walked{{"GET", "/api/lockdown/" + heldID(0), ""}, {"GET", "/api/lockdown/" + heldID(3), ""}, {"GET", "/api/lockdown/" + heldID(9), ""}}
		},
		"POST /api/lockdown/{id}/lift": func(s *shared) []walked {
			s.heldElsewhere()
			var out []walked
			for n := range 6 {
				out = append(out, walked{"POST", "/api/lockdown/" + heldID(n) + "/lift", `{"reason":"r"}`}, walked{"POST", "/api/lockdown/" + heldID(n) + "/lift?dryRun=true", `{"reason":"r"}`})
			}
			return out
		},
		"POST /api/lockdown": func(*shared) []walked {
			var out []walked
			for _, scope := range []string{`{"virtualMachine":"` + mine + `"}`, `{"virtualMachine":"` + neighbour + `"}`, `{"resourceGroup":"/subscriptions/` + sub + `/resourceGroups/demo"}`, `{"subscription":"` + sub + `"}`, `{"subscription":"` + otherSub + `"}`, `{"everything":true}`, `{"person":"` + requester + `"}`} {
				out = append(out, walked{"POST", "/api/lockdown?dryRun=true", `{"scope":` + scope + `,"reason":"r"}`}, walked{"POST", "/api/lockdown", `{"scope":` + scope + `,"reason":"r","hold":true}`})
			}
			return out
		},
		"GET /api/doctor":       get("/api/doctor"),
		"GET /api/health":       get("/api/health"),
		"GET /api/openapi.json": get("/api/openapi.json"),
		"POST /api/import":      imported,

		"GET /api/metadata/endpoints": get("/api/metadata/endpoints" + version),
		"GET /api/tenants":            get("/api/tenants" + version),
		"GET /api/subscriptions":      get("/api/subscriptions"+version, "/api/subscriptions/"+sub+version, "/api/subscriptions/"+otherSub+version),
		"GET /api/subscriptions/{path...}": func(s *shared) []walked {
			out := named("GET", "", "")(s)
			for _, in := range []string{"/subscriptions/" + sub, "/subscriptions/" + sub + "/resourceGroups/demo", "/subscriptions/" + otherSub} {
				out = append(out, walked{"GET", "/api" + in + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version, ""}, walked{"GET", "/api" + in + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies" + version, ""})
			}
			return out
		},
		"PUT /api/subscriptions/{path...}":    named("PUT", "", putBody(mine), putBody(mine, neighbour), putBody(app1, mine), `{"properties":{"virtualMachines":[]}}`),
		"DELETE /api/subscriptions/{path...}": named("DELETE", "", ""),
		"POST /api/subscriptions/{path...}":   named("POST", "/initiate", machines(rdp, mine), machines(rdp, mine, neighbour), machines(rdp, neighbour)),

		"portal GET /{$}":                    get("/api/portal/", "/api/portal/?state=unsupported", "/api/portal/?q=zz", "/api/portal/?top=1"),
		"portal GET /open":                   get("/api/portal/open"),
		"portal GET /machine":                pages("machine"),
		"portal GET /request":                pages("request"),
		"portal POST /request":               forms("request", "intent=open&source=mine&why=x&port-0-22=on&for-0-22=1+h&port-1-22=on&for-1-22=1+h"),
		"portal GET /configure":              pages("configure"),
		"portal POST /configure":             forms("configure", "intent=save&existing=override&number=22&protocol=*&sources=*&maximum=3+h", "bulk=yes&existing=leave&intent=preview", "bulk=yes&existing=leave&intent=save&number=22&where=all&approvers=leave"),
		"portal POST /disable":               forms("disable", "sure=yes", "intent=ask", "intent=end", "intent=end&sure=yes"),
		"portal GET /requests/{id}":          func(s *shared) []walked { return portalOf(s, "") },
		"portal POST /requests/{id}/extend":  form("/extend", "for=2+h"),
		"portal POST /requests/{id}/close":   form("/close", ""),
		"portal POST /requests/{id}/again":   form("/again", ""),
		"portal GET /last":                   get("/api/portal/last"),
		"portal GET /requests/{id}/rdp":      func(s *shared) []walked { return portalOf(s, "/rdp?vm="+neighbour+"&host=10.77.7.71&user=x") },
		"portal GET /requests/{id}/decide":   func(s *shared) []walked { return portalOf(s, "/decide") },
		"portal POST /requests/{id}/approve": form("/approve", "digest=x"),
		"portal POST /requests/{id}/deny":    form("/deny", "reason=x"),
		"portal POST /requests/{id}/review":  form("/review", "review=x"),
		"portal GET /lockdown": func(s *shared) []walked {
			s.heldElsewhere()
			return pages("lockdown", "")(s)
		},
		"portal POST /lockdown": func(*shared) []walked {
			var out []walked
			for _, scope := range []string{"machine&machine=" + mine, "machine&machine=" + neighbour, "group&group=/subscriptions/" + sub + "/resourceGroups/demo", "subscription&subscription=" + sub, "subscription&subscription=" + otherSub, "everything", "person&person=" + requester} {
				out = append(out, walked{"POST", "/api/portal/lockdown", "scope=" + scope + "&reason=r&intent=preview"})
			}
			id, err := jit.ParseVM(mine)
			if err != nil {
				panic(err)
			}
			return append(out, walked{"POST", "/api/portal/lockdown", "scope=machine&machine=" + mine + "&reason=r&hold=on&intent=now&seen=" + url.QueryEscape(lock.Key(lockdown.Order{Scope: area.Scope{VM: id}, Hold: true}))},
				walked{"POST", "/api/portal/lockdown", "scope=everything&reason=r&hold=on&intent=now&seen=everything+held"})
		},
		"portal GET /lockdown/{id}": func(s *shared) []walked {
			s.heldElsewhere()
			return []walked{{"GET", "/api/portal/lockdown/" + heldID(0), ""}, {"GET", "/api/portal/lockdown/" + heldID(3), ""}, {"GET", "/api/portal/lockdown/" + heldID(9), ""}}
		},
		"portal POST /lockdown/{id}/lift": func(s *shared) []walked {
			s.heldElsewhere()
			var out []walked
			for n := range 6 {
				out = append(out, walked{"POST", "/api/portal/lockdown/" + heldID(n) + "/lift", "reason=r"}, walked{"POST", "/api/portal/lockdown/" + heldID(n) + "/lift", "reason="})
			}
			return out
		},
		"portal GET /activity": get("/api/portal/activity", "/api/portal/activity?format=csv&sweeps=shown", "/api/portal/activity?vm=zz-neighbour", "/api/portal/activity?operation=Repair"),
		"portal GET /windows":  pages("windows", "", "?span=7d"),
		"portal GET /findings": get("/api/portal/findings", "/api/portal/findings?format=csv", "/api/portal/findings?text=zz"),
		"portal GET /protect":  get("/api/portal/protect?cause=zz"),
		"portal POST /protect": forms("protect", "intent=save&offer=8022&port=8022&sources=any&maximum=3+h"),
		"portal GET /report":   get("/api/portal/report", "/api/portal/report?format=csv", "/api/portal/report?who=zz&vm=zz"),
		"portal /":             get("/api/portal/nothing"),
	}
}

func portalOf(s *shared, rest string) []walked {
	var out []walked
	for _, id := range []string{s.own, s.others, s.joint, s.hidden} {
		out = append(out, walked{"GET", "/api/portal/requests/" + id + rest, ""})
	}
	return out
}

// TestReaderOfOneMachine walks every answer of the API as somebody who has a role at exactly one machine, which stands among others: on the same
// security group, in other groups and subscriptions, with other people's windows, policies, findings and history. No answer, no header and no
// error holds anything of those but what the call itself has said. Routes are those of the tables: who adds one says here how it is walked.
func TestReaderOfOneMachine(t *testing.T) {
	calls := walk()
	for _, route := range handlers.Patterns() {
		if _, ok := calls[route]; !ok && strings.Contains(route, " /api/") && !strings.Contains(route, " "+portal.Root) {
			t.Errorf("nothing says how a reader walks %s", route)
		}
	}
	for _, route := range portal.Patterns() {
		if _, ok := calls["portal "+route]; !ok {
			t.Errorf("nothing says how a reader walks %s of the page", route)
		}
	}
	for role, rights := range map[string]onlyMine{"reader": {"/read"}, "requester": {"/read", "/initiate/"}, "admin": nil} {
		for route, of := range calls {
			t.Run(role+" "+route, func(t *testing.T) { newShared(t, rights).walkAll(of, nil) })
		}
	}
}

// TestReaderOfOneMachineInFaults: nor does an answer tell where something cannot be read.
func TestReaderOfOneMachineInFaults(t *testing.T) {
	for route, of := range walk() {
		t.Run(route, func(t *testing.T) {
			newShared(t, nil).walkAll(of, func(_ context.Context, st coretest.Step) error {
				if strings.Contains(st.Of, otherSub) || strings.Contains(st.Of, "zz-") {
					return errors.New("zz-fault of " + st.Of)
				}
				return nil
			})
		})
	}
}

// walkAll makes all calls of a route, those that may change something each in an installation of its own, and reads lists to their end.
func (s *shared) walkAll(of func(*shared) []walked, fault func(context.Context, coretest.Step) error) {
	s.t.Helper()
	rights, _ := s.ports.Authority.(onlyMine)
	for i, c := range of(s) {
		if i > 0 && c.method != "GET" {
			s = newShared(s.t, rights)
			c = of(s)[i]
		}
		s.cloud.Fault = fault
		for range 20 {
			r := s.walks(c)
			s.leaks(c, r)
			next, more := r.body["nextLink"].(string)
			if !more {
				break
			}
			c.path = strings.TrimPrefix(next, "https://example.com")
		}
	}
}

func (s *shared) walks(c walked) answer {
	s.t.Helper()
	headers := []string{"Sec-Fetch-Site", "same-origin"}
	if strings.HasPrefix(c.path, portal.Root) && c.method == "POST" {
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	return s.call(c.method, c.path, c.body, headers...)
}

var continuations = regexp.MustCompile(`[A-Za-z0-9_-]{16,}`)

// leaks fails where an answer holds what is not for the reader.
func (s *shared) leaks(c walked, r answer) {
	s.t.Helper()
	said := strings.ToLower(c.path + " " + c.body)
	told := strings.ToLower(strings.NewReplacer("%2F", "/", "%40", "@").Replace(fmt.Sprint(r.header) + "\n" + r.text))
	for _, token := range continuations.FindAllString(fmt.Sprint(r.header)+r.text, -1) { // what a continuation holds
		for n := len(token) % 4; n < 4; n++ {
			if plain, err := base64.RawURLEncoding.DecodeString(token[:len(token)-len(token)%4+min(n, len(token)%4)]); err == nil {
				told += "\n" + strings.ToLower(string(plain))
			}
		}
	}
	for _, mark := range s.marks {
		for at := 0; ; {
			i := strings.Index(told[at:], mark)
			if i < 0 {
				break
			}
			word := told[at+i:]
			if end := strings.IndexAny(word, "\"'<> ,;&?/\\\n)"); end > 0 {
				word = word[:end]
			}
			if !strings.Contains(said, word) {
				s.t.Errorf("%s %.150s %.200s: %d tells of %q: ...%.300s...", c.method, c.path, c.body, r.status, word, told[max(0, at+i-150):])
				return
			}
			at += i + len(mark)
		}
	}
}
