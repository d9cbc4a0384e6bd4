package portal_test

import (
	"html"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestBulkLeavesWhatDiffers: the form for machines whose policies differ names what differs and leaves it as it is on each; only what
// somebody says is written over the policies. Nothing is saved of what is wrong, or over a change of somebody else's.
func TestBulkLeavesWhatDiffers(t *testing.T) {
	s := newSite(t)
	s.enable()
	strict := jit.Policy{VM: vm(t, app1), ExistingRules: jit.Respect, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour, Approvers: 2}, {Number: 8443, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 2 * time.Hour}},
		Options: &jit.Options{RequireJustification: true, ForbidAnySource: true, WidestIPv4: 28, WidestIPv6: 64, Approvers: 1}}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{strict}, false); err != nil {
		t.Fatal(err)
	}
	stored := func(id string) jit.Policy {
		t.Helper()
		rec, err := s.store.Policy(t.Context(), vm(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return rec.Policy
	}
	before := map[string]jit.Policy{web: stored(web), app1: stored(app1)}
	unchanged := func(what string) {
		t.Helper()
		for id, want := range before {
			if got := stored(id); got.OwnOptions().String() != want.OwnOptions().String() || s.portsOf(id) != map[string]string{web: "22 3389 5985 5986", app1: "22 8443"}[id] {
				t.Errorf("%s: %s has %+v", what, id, got)
			}
		}
	}
	drawn := s.get("configure?vm=" + web + "&vm=" + app1)
	drawn.holds(t, "These machines have different policies", `name="bulk"`, "on 1 of 2, as it is", "Port 22, maximum time", "3 h on web", "1 h on app1", "Port 8443", "protected on app1", "not named on web", "/28 on app1", "no bound on web",
		`id="existing-leave" checked`, `<option value="leave" selected>leave as it is</option>`, `name="allapprovers" value="leave"`, "Nothing changes; its rules already say so.")
	tags := seenField.FindAllStringSubmatch(drawn.text, -1)
	if len(tags) != 2 {
		t.Fatalf("%d entity tags", len(tags))
	}
	seen := []string{html.UnescapeString(tags[0][1]), html.UnescapeString(tags[1][1])}
	form := func(more ...string) []string {
		return append([]string{"bulk", "yes", "vm", web, "vm", app1, "seen", seen[0], "seen", seen[1], "demands", "shown", "allapprovers", "leave", "approvedby", ""}, more...)
	}
	left := []string{"existing", "leave", "noany", "leave", "needwhy", "leave", "widest4", "", "widest6", ""}
	row := func(number, protocol, sources, maximum, where string) []string {
		return []string{"number", number, "protocol", protocol, "sources", sources, "maximum", maximum, "mapped", "", "approvers", "leave", "where", where}
	}
	for what, fields := range map[string][]string{
		"a length that is none":           append(left, row("22", "", "", "some", "all")...),
		"nothing to leave as it is":       append(left, row("8443", "", "", "1 h", "all")...),
		"a port twice":                    append(left, append(row("22", "", "", "", "all"), row("22", "", "", "", "all")...)...),
		"a word for the rules of others":  append([]string{"existing", "other"}, row("22", "", "", "", "all")...),
		"a number of approvers that none": append(append([]string{}, left...), "number", "22", "protocol", "", "sources", "", "maximum", "", "mapped", "", "approvers", "x", "where", "all"),
	} {
		if p := s.post("configure", form(append(fields, "intent", "save")...)...); p.status != 400 || !strings.Contains(p.text, "Not saved") {
			t.Errorf("%s: %d", what, p.status)
		}
		unchanged(what)
	}
	// What the form does not name is left as it is, too.
	s.post("configure", form("existing", "leave", "noany", "leave", "needwhy", "leave", "intent", "save")...).holds(t, "Saved.")
	unchanged("nothing was said")

	rows := append(row("22", "", "", "30 min", "all"), row("3389", "", "", "", "leave")...)
	p := s.post("configure", form(append(append(rows, left...), "intent", "remove-1")...)...)
	p.holds(t, `name="gone" value="3389"`, `name="maximum" value="30 min"`)
	p.lacks(t, `name="number" value="3389"`)
	rows = append(row("22", "", "", "30 min", "all"), row("8443", "TCP", "203.0.113.0/24", "", "leave")...)
	s.post("configure", form(append(rows, "existing", "override", "noany", "leave", "needwhy", "on", "gone", "3389", "intent", "save")...)...).holds(t, "Saved.")
	w, a := stored(web), stored(app1)
	if s.portsOf(web) != "22 5985 5986" || s.portsOf(app1) != "22 8443" || w.Ports[0].Maximum != 30*time.Minute || a.Ports[0].Maximum != 30*time.Minute || a.Ports[0].Approvers != 2 || w.Ports[0].Approvers != 0 ||
		w.Ports[0].Protocol != jit.AnyProtocol || a.Ports[0].Protocol != jit.TCP || a.Ports[1].Sources.String() != "203.0.113.0/24" || a.Ports[1].Maximum != 2*time.Hour {
		t.Errorf("ports: %+v and %+v", w.Ports, a.Ports)
	}
	if wo, ao := w.OwnOptions(), a.OwnOptions(); a.ExistingRules != jit.Override || !wo.RequireJustification || wo.ForbidAnySource || wo.Approvers != 0 || wo.WidestIPv4 != 0 || !ao.ForbidAnySource || ao.WidestIPv4 != 28 || ao.WidestIPv6 != 64 || ao.Approvers != 1 {
		t.Errorf("demands: %+v and %+v", wo, ao)
	}
	// The form was drawn before that.
	if p := s.post("configure", form(append(append(row("22", "", "", "20 min", "all"), left...), "intent", "save")...)...); p.status == 200 || !strings.Contains(p.text, "Somebody else has changed") && !strings.Contains(p.text, "changed the policy") {
		t.Errorf("a stale form: %d", p.status)
	}
}

// TestBulkWithoutPolicy: a machine without a policy gets none by what is left as it is, and what the others demand at the strictest with a port that is put on all.
func TestBulkWithoutPolicy(t *testing.T) {
	s := newSite(t)
	strict := jit.Policy{VM: vm(t, app1), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour, Approvers: 2}}, Options: &jit.Options{RequireJustification: true}}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{strict}, false); err != nil {
		t.Fatal(err)
	}
	s.get("configure?vm="+web+"&vm="+app1).holds(t, "none yet on web", "on 1 of 2, as it is")
	send := func(where string) page {
		return s.post("configure", "bulk", "yes", "vm", web, "vm", app1, "number", "22", "protocol", "TCP", "sources", "any", "maximum", "1 h", "mapped", "", "approvers", "leave", "where", where,
			"existing", "leave", "demands", "shown", "noany", "leave", "needwhy", "leave", "allapprovers", "leave", "approvedby", "leave", "intent", "save")
	}
	send("leave").holds(t, "Saved.")
	if rec, err := s.store.Policy(t.Context(), vm(t, web)); err == nil && len(rec.Policy.Ports) > 0 {
		t.Errorf("web has %+v", rec.Policy)
	}
	send("all").holds(t, "Saved.")
	rec, err := s.store.Policy(t.Context(), vm(t, web))
	if err != nil || len(rec.Policy.Ports) != 1 || rec.Policy.Ports[0].Approvers != 2 || !rec.Policy.OwnOptions().RequireJustification {
		t.Errorf("web has %+v, %v", rec.Policy, err)
	}
	// Of what somebody may not read, nothing can be left as it is.
	s.may = func(_ jit.Caller, scope, action string) bool {
		return !strings.HasSuffix(scope, "/web") || !strings.HasSuffix(action, "/read")
	}
	s.get("configure?vm="+web+"&vm="+app1).holds(t, "You may not read the policy of web")
	if p := send("all"); p.status != 400 {
		t.Errorf("a policy that is not shown: %d", p.status)
	}
}
