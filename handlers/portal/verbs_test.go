package portal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// eventually waits for what the page does by itself after its answer.
func (s *site) eventually(what string, so func() bool) {
	s.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-limit.C:
			s.t.Fatalf("never: %s", what)
		case <-again.C:
		}
	}
}

// TestConfigure: defaults, rows added and removed, the preview, and what is saved.
func TestConfigure(t *testing.T) {
	s := newSite(t)
	s.get("configure?vm="+web).holds(t, "Enable just-in-time access", `value="22"`, `value="3389"`, `value="5985"`, `value="5986"`, `value="3 h"`, "Deny 22 SSH, 3389 RDP, 5985 WinRM, 5986 WinRM (HTTPS) (any protocol) from any address to 10.0.0.4", "web-nsg")
	form := []string{"vm", web, "number", "22", "protocol", "TCP", "sources", "203.0.113.0/24, 198.51.100.7", "maximum", "1 h 30 min", "number", "8443", "protocol", "*", "sources", "any", "maximum", "PT3H"}
	s.post("configure", append(form, "intent", "add")...).holds(t, `aria-label="Port, row 3"`)
	removed := s.post("configure", append(form, "intent", "remove-0")...)
	removed.holds(t, `value="8443"`, "Deny 8443 (any protocol)")
	removed.lacks(t, `aria-label="Port, row 2"`)
	if all, _ := store.AllPolicies(t.Context(), s.store); len(all) != 0 {
		t.Error("something was saved before Save")
	}
	s.post("configure", append(form, "intent", "save", "existing", "respect")...).holds(t, "Saved.", "data-changed")
	rec, err := s.store.Policy(t.Context(), vm(t, web))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(rec.Policy.ExistingRules)
	for _, p := range rec.Policy.Ports {
		got += fmt.Sprintf(" %d %s %s %s", p.Number, p.Protocol, p.Sources, p.Maximum)
	}
	if want := "respect 22 TCP 198.51.100.7,203.0.113.0/24 1h30m0s 8443 * * 3h0m0s"; got != want {
		t.Errorf("saved %s, want %s", got, want)
	}
	s.get("configure?vm="+web+"&vm="+app1).holds(t, "These machines have different policies", `value="1 h 30 min"`)
	s.post("configure", "vm", web, "vm", app1).holds(t, "These machines have different policies")
}

// TestOverriding: rules of others that open protected ports are named before anything is saved.
func TestOverriding(t *testing.T) {
	s := newSite(t)
	target := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}
	s.cloud.SetRules(target, jit.Rule{Name: "AllowSshAny", Priority: 300, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}})
	s.get("configure?vm="+web).holds(t, "These rules stay, and no longer open protected ports:", "AllowSshAny (priority 300) for port 22 of web")
	form := []string{"vm", web, "number", "22", "protocol", "TCP", "sources", "any", "maximum", "3 h", "existing", "respect"}
	s.post("configure", append(form, "intent", "preview")...).holds(t, "Protected ports that other rules still open:", "AllowSshAny (priority 300)")
	s.post("configure", append(form, "intent", "save")...).holds(t, "Saved.")
	if _, err := s.app.Sweeper.SweepNow(t.Context(), jit.Caller{ID: "tid/alice", Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	s.get("findings").holds(t, "A protected port is open all the same", "AllowSshAny")
	s.get("").holds(t, "1 finding needs you", "A protected port is open all the same")
}

// TestRequest: from the form to an open port, what to dial, a longer end and an early one.
func TestRequest(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.get("request?vm="+web).holds(t, `value="203.0.113.7"`, "Behind a proxy or VPN", "at most 3 h, from any address", `max="180"`, `value="1 h"`)
	p := s.post("request", "intent", "open", "vm", web, "vm", app1, "source", "mine", "mine", "203.0.113.7", "why", " look at the logs ", "port-0-22", "on", "for-0-22", "45 min", "port-0-3389", "on", "port-1-5986", "on", "for-1-5986", "20")
	id, ok := strings.CutPrefix(p.header.Get("Location"), "/api/portal/requests/")
	if p.status != 303 || !ok {
		t.Fatalf("%d %v %s", p.status, p.header, p.text)
	}
	s.eventually("open", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are open") })
	shown := s.get("requests/" + id)
	shown.holds(t, "ssh user@198.51.100.4 -p 22", "198.51.100.4:3389", "Enter-PSSession -ComputerName 10.0.0.5 -Port 5986 -UseSSL", `data-countdown="2026-11-23T13:00:00Z"`, "look at the logs",
		"Connections that are established by then stay") // a closed port does not cut them
	rec, err := s.store.Grant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, vm := range rec.Grant.VMs {
		for _, w := range vm.Ports {
			got = append(got, fmt.Sprint(vm.VM.Name, " ", w.Number, " ", w.Sources, " ", w.End.Sub(rec.Grant.Start)))
		}
	}
	if want := "[web 22 203.0.113.7 45m0s web 3389 203.0.113.7 1h0m0s app1 5986 203.0.113.7 20m0s]"; fmt.Sprint(got) != want || rec.Grant.Justification != "look at the logs" || rec.Grant.RequestorID != "tid/alice" {
		t.Errorf("granted %v to %s because %q", got, rec.Grant.RequestorID, rec.Grant.Justification)
	}
	rdp := s.get("requests/" + id + "/rdp?vm=" + web + "&host=198.51.100.4")
	if rdp.status != 200 || rdp.text != "full address:s:198.51.100.4:3389\r\nprompt for credentials:i:1\r\n" || rdp.header.Get("Content-Disposition") != "attachment; filename=web.rdp" {
		t.Errorf("rdp: %d %q %v", rdp.status, rdp.text, rdp.header)
	}
	for _, other := range []string{"vm=" + app1 + "&host=10.0.0.5", "vm=" + web + "&host=evil.example", "vm=" + web} {
		if p := s.get("requests/" + id + "/rdp?" + other); p.status != 404 {
			t.Errorf("rdp of %s: %d %q", other, p.status, p.text)
		}
	}
	s.get("open").holds(t, "ssh user@198.51.100.4 -p 22", "<strong>web, app1</strong>", "Extend")
	s.get("").holds(t, "22 SSH · <span class=\"short\" title=\"alice@example.com\">you</span> ·")

	if p := s.post("requests/"+id+"/extend", "for", "4 h"); p.status != 400 || !strings.Contains(p.text, `id="wrong-for"`) || !strings.Contains(p.text, `value="4 h"`) {
		t.Errorf("extend over the maximum: %d %s", p.status, p.text)
	}
	if p := s.post("requests/"+id+"/extend", "for", "2 h"); p.status != 303 {
		t.Errorf("extend: %d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, `data-countdown="2026-11-23T14:00:00Z"`)
	bob := s.send(s.ask("POST", "requests/"+id+"/extend", "for=2+h", "X-Ms-Token-Aad-Id-Token", "bob"))
	bob.holds(t, "The request is another")
	s.send(s.ask("GET", "requests/"+id, "", "X-Ms-Token-Aad-Id-Token", "bob")).lacks(t, `id="extend-for"`)

	s.clock.Set(noon.Add(10 * time.Minute))
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Errorf("close: %d %s", p.status, p.text)
	}
	closed := s.get("requests/" + id)
	closed.holds(t, "Ports are closed", "Closed: somebody ended it early.")
	closed.lacks(t, "ssh user@", "Close now")
	s.get("windows").holds(t, "3 windows on 3 ports in the 24 hours", "web, port 22 SSH", "bar-closed")
	s.get("activity?vm=WEB&operation=Revoke").holds(t, ">Revoke</a></strong>", "look at the logs", `href="/api/portal/activity?format=csv&amp;operation=Revoke&amp;vm=`)
}

// TestSources: all configured addresses are each port's own, and other ranges may be several.
func TestSources(t *testing.T) {
	for _, tc := range []struct{ source, other, want string }{
		{"all", "", "*"},
		{"other", "203.0.113.0/24,\n198.51.100.7 ", "198.51.100.7,203.0.113.0/24"},
	} {
		s := newSite(t)
		s.enable()
		p := s.post("request", "intent", "open", "vm", web, "source", tc.source, "other", tc.other, "port-0-22", "on", "for-0-22", "1h")
		id := strings.TrimPrefix(p.header.Get("Location"), "/api/portal/requests/")
		rec, err := s.store.Grant(t.Context(), id)
		if err != nil {
			t.Fatalf("%v %s", err, p.text)
		}
		if got := rec.Grant.VMs[0].Ports[0].Sources.String(); got != tc.want {
			t.Errorf("%s opens for %s, want %s", tc.source, got, tc.want)
		}
		s.eventually("open", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are open") })
	}
}

func TestDisable(t *testing.T) {
	s := newSite(t)
	s.enable()
	if p := s.post("disable", "vm", web); p.status != 400 {
		t.Errorf("without the tick: %d", p.status)
	}
	if _, err := s.store.Policy(t.Context(), vm(t, web)); err != nil {
		t.Fatal("it was ended without the tick")
	}
	if p := s.post("disable", "vm", web, "sure", "yes"); p.status != 303 {
		t.Errorf("%d %s", p.status, p.text)
	}
	s.get("?tab=notConfigured").holds(t, `value="`+web+`"`)
}

// TestList: tabs with counts, filters, order and the reasons of what cannot be protected.
func TestList(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.opened("alice", "x", time.Minute, 22)
	all := s.get("")
	all.holds(t, `Configured <span class="count">2</span>`, `Not configured <span class="count">0</span>`, `Unsupported <span class="count">1</span>`, "alice@example.com", "just now")
	if strings.Index(all.text, `value="`+app1) > strings.Index(all.text, `value="`+web) {
		t.Error("the list is not sorted by name")
	}
	down := s.get("?sort=name&order=descending")
	down.holds(t, `aria-sort="descending"`)
	if strings.Index(down.text, `value="`+app1) < strings.Index(down.text, `value="`+web) {
		t.Error("the list is not sorted down")
	}
	s.get("?text=APP1").lacks(t, `value="`+web+`"`)
	s.get("?text=10.0.0.5").holds(t, `value="`+app1+`"`)
	s.get("?text=zzz").holds(t, "No machine matches")
	s.get("?tab=unsupported").holds(t, "No network security group", "Attach a network security group")
	s.get("?tab=notConfigured").holds(t, "Every machine that can be is protected")
	newSite(t).get("").holds(t, "No machine is protected yet")
}

// TestLengths: what people write for a length of time.
func TestLengths(t *testing.T) {
	for text, want := range map[string]time.Duration{"45": 45 * time.Minute, "45m": 45 * time.Minute, "1 h 30 min": 90 * time.Minute, "1.5 hours": 90 * time.Minute, "90 Minutes": 90 * time.Minute,
		"PT20M": 20 * time.Minute, "20 s": 20 * time.Second, "0.05 day": 72 * time.Minute, " 2h ": 2 * time.Hour, "2 hrs 5 secs": 2*time.Hour + 5*time.Second,
		"": 0, "soon": 0, "-5": 0, "0": 0, "1 fortnight": 0, "P1Y": 0, "h": 0, "99999 days": 0, "1 h extra": 0, "1e9h": 0} {
		s := newSite(t)
		s.enable()
		p := s.post("request", "intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "port-0-22", "on", "for-0-22", text)
		if text == "" { // left out is what was proposed
			want = time.Hour
		}
		if want == 0 {
			p.holds(t, `id="wrong-for-0-22"`)
			continue
		}
		id := strings.TrimPrefix(p.header.Get("Location"), "/api/portal/requests/")
		rec, err := s.store.Grant(t.Context(), id)
		if err != nil {
			t.Errorf("%q: %v", text, p.text)
			continue
		}
		if got := rec.Grant.End().Sub(rec.Grant.Start); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
		s.eventually("open", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are open") })
	}
}

// TestUnchanged: what looks again by itself and is shown already stays as it is, so that no click
// and no focus is lost to it; what is new is put in its place.
func TestUnchanged(t *testing.T) {
	s := newSite(t)
	s.enable()
	looks := func(path string) page {
		t.Helper()
		p := s.get(path, "HX-Request", "true")
		if p.status != 200 || p.text == "" {
			t.Fatalf("%s: status %d %q", path, p.status, p.text)
		}
		return p
	}
	// again is the link by which a part looks again.
	again := func(p page) string {
		t.Helper()
		_, after, _ := strings.Cut(p.text, `hx-get="/api/portal/`)
		link, rest, ok := strings.Cut(after, `"`)
		if values, shown, sent := strings.Cut(rest[:min(len(rest), 60)], `hx-vals='{"shown":"`); sent && strings.TrimSpace(values) == "" {
			stamp, _, _ := strings.Cut(shown, `"`)
			link += "?shown=" + stamp
		}
		if !ok || !strings.Contains(link, "shown=") {
			t.Fatalf("no link with what is shown in %s", p.text)
		}
		return link
	}
	stays := func(path, want string) page {
		t.Helper()
		p := looks(path)
		if got := p.header.Get("HX-Reswap"); got != want {
			t.Errorf("%s: HX-Reswap %q, want %q", path, got, want)
		}
		if want == "none" && (len(p.text) >= 300 || p.header.Get("Portcullis-View") == "") {
			t.Errorf("%s: nothing has changed, and %d bytes are sent: %s", path, len(p.text), p.text)
		}
		return p
	}
	first := again(stays("open", ""))
	stays(first, "none")
	s.opened("alice", "logs", time.Hour, 22)
	second := again(stays(first, ""))
	stays(second, "none")
	s.clock.Set(noon.Add(time.Minute))
	stays(second, "none") // the browser counts by itself
	_, stamp, _ := strings.Cut(second, "=")
	s.get("").holds(t, `hx-vals='{"shown":"`+stamp+`"}'`)
	s.clock.Set(noon.Add(2 * time.Hour))
	stays(second, "")

	caller := jit.Caller{ID: "tid/alice", Name: "alice@example.com"}
	part := jit.RequestVM{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 3389, Duration: time.Hour, Sources: jit.AnySource()}}}
	rec, _, err := s.app.Access.Request(t.Context(), caller, jit.Request{VMs: []jit.RequestVM{part}}, "")
	if err != nil {
		t.Fatal(err)
	}
	opening := again(stays("requests/"+rec.Grant.ID, ""))
	stays(opening, "none")
	// Whoever follows the link, without htmx, gets a page.
	s.get(opening).holds(t, "<!doctype html>", "Opening ports")
	if _, err := s.app.Access.Open(t.Context(), caller, rec); err != nil {
		t.Fatal(err)
	}
	stays(opening, "").holds(t, "Ports are open")
}

// TestOpenWithRows: what is open, opening or closing is said of the same read in Open now and in the rows of the list that is shown; the
// rows come along when anything has changed, and only then.
func TestOpenWithRows(t *testing.T) {
	s := newSite(t)
	s.enable()
	shown := func() string {
		t.Helper()
		_, stamp, _ := strings.Cut(s.get("").text, `{"shown":"`)
		return stamp[:16]
	}
	look := func(stamp, query string) page { return s.get("open?shown="+stamp+query, "HX-Request", "true") }
	first := shown()
	look(first, "").lacks(t, `id="results"`)

	caller := jit.Caller{ID: "tid/alice", Name: "alice@example.com"}
	rec, _, err := s.app.Access.Request(t.Context(), caller, jit.Request{VMs: []jit.RequestVM{{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	p := look(first, "")
	p.holds(t, `id="results"`, `hx-swap-oob="true"`)
	if open, rows, _ := strings.Cut(p.text, `id="results"`); !strings.Contains(open, "Opening") || !strings.Contains(rows, "Opening") || strings.Contains(rows, "data-countdown") {
		t.Errorf("while it opens: %s", p.text)
	}
	p = look(first, "&tab=unsupported&text=bare")
	p.holds(t, `>bare</a>`, "tab=unsupported&amp;text=bare")
	p.lacks(t, `>web</a>`)
	if _, err := s.app.Access.Open(t.Context(), caller, rec); err != nil {
		t.Fatal(err)
	}
	p = look(first, "")
	if open, rows, _ := strings.Cut(p.text, `id="results"`); !strings.Contains(open, "data-countdown") || !strings.Contains(rows, "data-countdown") || strings.Contains(p.text, "Opening") {
		t.Errorf("once it is open: %s", p.text)
	}
	p = s.get("machine?vm=" + web)
	p.holds(t, "Configured: ", "requests/"+rec.Grant.ID)
	p.lacks(t, "until somebody asks")
	s.clock.Set(noon.Add(time.Hour))
	p = look(first, "")
	if open, rows, _ := strings.Cut(p.text, `id="results"`); !strings.Contains(open, "Closing") || !strings.Contains(rows, "Closing") || strings.Contains(p.text, "data-countdown") {
		t.Errorf("after its end: %s", p.text)
	}
}

// TestManyOpen: one's own windows are all shown, the next to end first, whatever others have open, which is counted in one line and asked for
// separately. Whoever has that list keeps it when the page looks again.
func TestManyOpen(t *testing.T) {
	s := newSite(t)
	s.enable()
	for i := range 25 {
		s.opened(fmt.Sprintf("other%02d", i), "logs", 30*time.Minute, 22)
	}
	var mine []string
	for i := range 22 {
		mine = append(mine, s.openedFrom(fmt.Sprintf("203.0.113.%d", i+1), time.Duration(60+i)*time.Minute))
	}
	p := s.get("")
	p.holds(t, ">25 more open by others</a>", `<span class="count">47</span>`)
	open, _, _ := strings.Cut(p.text, `id="results"`)
	if strings.Contains(open, "other00") {
		t.Error("those of others are shown unasked")
	}
	at := 0
	for i, id := range mine {
		next := strings.Index(open, `id="show-`+id)
		if next < at {
			t.Errorf("window %d of one's own stands at %d, the one before at %d", i, next, at)
		}
		at = next
	}
	for _, p := range []page{s.get("open"), s.get("open?shown=&others=shown", "HX-Request", "true")} {
		open, _, _ := strings.Cut(p.text, `id="results"`)
		if own, other := strings.LastIndex(open, mine[21]), strings.Index(open, "other00"); own < 0 || other < own || strings.Count(open, `id="show-`) != 47 {
			t.Errorf("the last of the caller's own stands at %d, another's at %d, of %d", own, other, strings.Count(open, `id="show-`))
		}
		if !strings.Contains(open, `"others":"shown"`) {
			t.Error("it is folded when it looks again")
		}
	}
}

// openedFrom opens port 22 of web to one address for alice.
func (s *site) openedFrom(address string, length time.Duration) string {
	s.t.Helper()
	part := jit.RequestVM{VM: vm(s.t, web), Ports: []jit.RequestPort{{Number: 22, Duration: length, Sources: jit.SourcesOf(netip.MustParsePrefix(address + "/32"))}}}
	rec, _, err := s.app.Access.Request(s.t.Context(), caller("alice"), jit.Request{Justification: "mine", VMs: []jit.RequestVM{part}}, "")
	if err == nil {
		rec, err = s.app.Access.Open(s.t.Context(), caller("alice"), rec)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return rec.Grant.ID
}

// TestEveryMentionLeadsToItsRequest: bars of the timeline, the tags of a row and the lines of the log.
func TestEveryMentionLeadsToItsRequest(t *testing.T) {
	s := newSite(t)
	s.enable()
	link := `href="/api/portal/requests/` + s.opened("bob", "logs", time.Hour, 22) + `"`
	s.clock.Set(noon.Add(time.Minute))
	for path, from := range map[string]string{"": `id="results"`, "windows": "<svg", "windows?span=7d": "The same as a table", "activity": "<tbody>", "machine?vm=" + web: "Activity of this machine"} {
		if _, text, _ := strings.Cut(s.get(path).text, from); !strings.Contains(text, link) {
			t.Errorf("%q after %s has no %s", path, from, link)
		}
	}
}
