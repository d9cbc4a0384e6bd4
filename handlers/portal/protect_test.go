package portal_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// swept leaves what a sweep has found: a rule that opens two ports on web and app1, and a channel that does not answer.
func (s *site) swept() {
	s.t.Helper()
	rec := store.SweepRecord{Started: noon, Ended: noon, Completed: noon}
	for _, id := range []string{web, app1} {
		for _, port := range []uint16{5900, 23} {
			rec.Findings = append(rec.Findings, store.Finding{Kind: store.FindingReachable, VM: vm(s.t, id), Target: jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "shared-nsg"},
				Rule: "AllowAll", Port: port, Message: fmt.Sprintf("port %d of %s can be reached", port, vm(s.t, id).Name), Since: noon})
		}
	}
	rec.Findings = append(rec.Findings, store.Finding{Kind: store.FindingUndelivered, Message: "the webhook ops does not answer", Since: noon})
	if err := s.store.PutSweep(s.t.Context(), rec); err != nil {
		s.t.Fatal(err)
	}
}

// adding gives the address of the form that adds the ports of the first cause.
func (s *site) adding() string {
	s.t.Helper()
	m := regexp.MustCompile(`href="/api/portal/(protect\?cause=[0-9a-f]+)"`).FindStringSubmatch(s.get("findings").text)
	if m == nil {
		s.t.Fatal("no cause offers to add its ports")
	}
	return m[1]
}

// TestFindingsByCause: four findings of one rule are one card; each word that is looked for, and the kind, choose; the table has what is chosen.
func TestFindingsByCause(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.swept()
	p := s.get("findings")
	p.holds(t, "2 causes, 5 findings", "The rule AllowAll of shared-nsg opens 2 ports (23, 5900) on 2 machines.", "2 causes need you", ">needs you<", "Add 2 ports to 2 policies…", "The webhook ops", `name="kind"`)
	if n := strings.Count(p.text, `class="note bad cause"`) + strings.Count(p.text, `class="note warn cause"`); n != 2 {
		t.Errorf("%d cards, want 2", n)
	}
	s.get("").holds(t, "2 findings need you")
	s.get("findings?text=APP1+5900").holds(t, "1 cause, 1 finding of 5", "Port 5900 of app1 can be reached.", "Add 1 port to 1 policy…", "format=csv&amp;text=APP1")
	s.get("findings?kind=Undelivered").holds(t, "1 cause, 1 finding of 5")
	s.get("findings?text=zz").holds(t, "Nothing matches", "0 findings of 5")
	csv := s.get("findings?format=csv&text=app1")
	if csv.status != 200 || csv.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || csv.header.Get("Content-Disposition") != `attachment; filename="portcullis-findings-20261123T120000Z.csv"` || strings.Count(csv.text, "\r\n") != 3 {
		t.Errorf("the table: %d %v\n%s", csv.status, csv.header, csv.text)
	}
}

// TestFindingsNeedWhoCanAct: who may only look is not told that something needs them, and is offered nothing to do.
func TestFindingsNeedWhoCanAct(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.swept()
	link := s.adding()
	s.may = func(_ jit.Caller, _ string, action string) bool { return strings.HasSuffix(action, "/read") }
	s.get("findings").holds(t, "2 causes need somebody with other permissions", "The rule AllowAll")
	s.get("findings").lacks(t, "needs you", "need you", "protect?cause")
	s.get("").holds(t, "2 findings, none yours to act on")
	s.get("").lacks(t, "need you", "needs you")
	p := s.get(link)
	p.holds(t, "2 are left out", "Microsoft.Security/locations/jitNetworkAccessPolicies/write", `value="save" disabled`)
	p = s.post("protect", "intent", "save", "vm", web, "offer", "5900", "port", "5900", "sources", "any", "maximum", "3 h")
	if p.status == 200 || s.portsOf(web) != "22 3389 5985 5986" {
		t.Errorf("%d, the ports of web are %s", p.status, s.portsOf(web))
	}
	// Who may change the policy of one of the two is told so, and changes that one.
	s.may = func(_ jit.Caller, scope string, action string) bool {
		return strings.HasSuffix(action, "/read") || strings.HasSuffix(scope, "/app1")
	}
	s.get("findings").holds(t, "1 cause needs you", "1 needs somebody with other permissions")
	s.get(link).holds(t, "1 is left out", `value="`+app1)
	s.get(link).lacks(t, `name="vm" value="`+web)
}

// portsOf gives the ports of a machine's policy.
func (s *site) portsOf(id string) string {
	s.t.Helper()
	rec, err := s.store.Policy(s.t.Context(), vm(s.t, id))
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, p := range rec.Policy.Ports {
		out = append(out, fmt.Sprint(p.Number))
	}
	return strings.Join(out, " ")
}

// TestAddPorts: the form adds the ports of a cause and leaves each policy as it is beside them; nothing is written by a look, by what is wrong,
// or over what somebody else has changed.
func TestAddPorts(t *testing.T) {
	s := newSite(t)
	s.enable()
	strict := jit.Policy{VM: vm(t, app1), Ports: []jit.PortRule{{Number: 23, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}, Options: &jit.Options{RequireJustification: true, Approvers: 1}}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{strict}, false); err != nil {
		t.Fatal(err)
	}
	s.swept()
	link := s.adding()
	if p := s.get("protect?cause=zz"); p.status != 404 {
		t.Errorf("a cause that there is not: %d", p.status)
	}
	form := s.get(link)
	form.holds(t, "Add ports to policies", `value="23" checked`, `value="5900" checked`, `value="3 h"`, "Deny 5900 VNC (any protocol)", "2 machines")
	tags := regexp.MustCompile(`name="seen" value="([^"]+)"`).FindAllStringSubmatch(form.text, -1)
	if len(tags) != 2 {
		t.Fatalf("%d entity tags", len(tags))
	}
	unquote := strings.NewReplacer("&#34;", `"`, "&#43;", "+").Replace
	send := func(intent, maximum string, ports ...string) page {
		fields := []string{"intent", intent, "vm", web, "seen", unquote(tags[0][1]), "vm", app1, "seen", unquote(tags[1][1]), "offer", "23", "offer", "5900", "sources", "any", "maximum", maximum}
		for _, p := range ports {
			fields = append(fields, "port", p)
		}
		return s.post("protect", fields...)
	}
	unchanged := func(what string) {
		t.Helper()
		if a, b := s.portsOf(web), s.portsOf(app1); a != "22 3389 5985 5986" || b != "23" {
			t.Errorf("%s: the ports are %s and %s", what, a, b)
		}
	}
	send("preview", "2 h", "23", "5900").holds(t, "Deny")
	send("edit", "2 h", "5900").holds(t, `value="2 h"`, `value="5900" checked`)
	send("save", "2 h").holds(t, "Not saved", "Choose at least one port")
	send("save", "some", "23").holds(t, "Not saved", "wrong-add-maximum")
	send("save", "30 h", "5900").holds(t, "Not saved")
	s.post("protect", "intent", "save", "vm", web, "offer", "x").holds(t, "names a port that is none")
	s.post("protect", "intent", "save", "offer", "23").holds(t, "Choose at least one virtual machine")
	unchanged("after what is wrong")

	s.swept()
	other := strict
	other.Options = &jit.Options{RequireJustification: true, Approvers: 2}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("bob"), []jit.Policy{other}, false); err != nil {
		t.Fatal(err)
	}
	stale := send("save", "2 h", "23", "5900")
	stale.holds(t, "Not saved", "bob@example.com changed the policy of app1", "Save again")
	unchanged("over a change of somebody else's")
	tags = regexp.MustCompile(`name="seen" value="([^"]+)"`).FindAllStringSubmatch(stale.text, -1)
	send("save", "2 h", "23", "5900").holds(t, "Ports are protected", "Saved.")
	if a, b := s.portsOf(web), s.portsOf(app1); a != "22 3389 5985 5986 23 5900" || b != "23 5900" {
		t.Errorf("the ports are %s and %s", a, b)
	}
	rec, err := s.store.Policy(t.Context(), vm(t, app1))
	if err != nil || rec.Policy.OwnOptions().Approvers != 2 || rec.Policy.Ports[0].Maximum != time.Hour || rec.Policy.Ports[1].Maximum != 2*time.Hour {
		t.Errorf("the policy of app1: %+v, %v", rec.Policy, err)
	}
}
