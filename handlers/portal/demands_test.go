package portal_test

import (
	"strconv"
	"strings"
	"testing"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
)

var strict = jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, RequireJustification: true}

// field gives the markup from an element's id to the end of its field.
func (p page) field(t *testing.T, id string) string {
	t.Helper()
	_, rest, found := strings.Cut(p.text, `id="`+id+`"`)
	if !found {
		t.Errorf("there is no %s:\n%s", id, p.text)
	}
	return rest[:min(len(rest), 900)]
}

// TestDemandsRefused: what the options do not let anybody ask for is said beside its field, and nothing is opened.
func TestDemandsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		source, value, why string
		field, says        string
	}{
		"every address":    {"other", "any", "why", "other", "Port 22 may not be opened for every address"},
		"all of IPv4":      {"other", "0.0.0.0/0", "why", "other", "Port 22 may not be opened for every address"},
		"a wide range":     {"other", "203.0.112.0/23", "why", "other", "203.0.112.0/23 is wider than /24 of IPv4 or /64 of IPv6"},
		"all configured":   {"all", "", "why", "source-all", "Port 22 may not be opened for every address"},
		"no justification": {"mine", "203.0.113.7", "  ", "why", "Say why access is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.wire(func(p *core.Ports) { p.Floor = strict })
			s.enable()
			p := s.post("request", "intent", "open", "vm", web, "source", tc.source, "mine", "203.0.113.7", "other", tc.value, "why", tc.why, "port-0-22", "on", "for-0-22", "45 min")
			if p.status != 400 {
				t.Errorf("status %d", p.status)
			}
			if got := p.field(t, tc.field); !strings.Contains(got, tc.says) {
				t.Errorf("%s does not say %q:\n%s", tc.field, tc.says, got)
			}
			if open, _ := s.store.OpenGrants(t.Context()); len(open) != 0 {
				t.Errorf("opened %+v", open)
			}
		})
	}
}

// TestDemandsAreSaid: the form says what will be refused before it is sent, for the strictest of its machines.
func TestDemandsAreSaid(t *testing.T) {
	s := newSite(t)
	s.enable()
	p := s.get("request?vm=" + web)
	p.lacks(t, "required", "no wider than", "Not every address", "disabled")
	lax, tight := jit.Policy{VM: vm(t, app1), Ports: jit.DefaultPorts()}, jit.Policy{VM: vm(t, web), Ports: jit.DefaultPorts(), Options: &strict}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{lax, tight}, false); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"request?vm=" + web, "request?vm=" + app1 + "&vm=" + web} {
		p := s.get(path)
		p.holds(t, `<span class="needed">required</span>`, `aria-required="true"`, "Only ranges no wider than /24 (IPv4) or /64 (IPv6).", "Not every address at once.")
		if disabled := strings.Contains(p.field(t, "source-all")[:60], "disabled"); disabled != !strings.Contains(path, "app1") {
			t.Errorf("%s: all configured addresses may be chosen: %v", path, !disabled)
		}
	}
	s.get("machine?vm="+web).holds(t, "not from every address at once; from ranges no wider than /24 (IPv4) or /64 (IPv6); with a justification")
	s.get("machine?vm="+app1).lacks(t, "May be asked for</dt>")
}

// TestConfigureDemands: what the form says is stored, shown and can be taken off; a form that does not speak of it changes none of it.
func TestConfigureDemands(t *testing.T) {
	s := newSite(t)
	base := []string{"vm", web, "number", "22", "protocol", "TCP", "sources", "any", "maximum", "3 h", "intent", "save"}
	stored := func() jit.Options {
		t.Helper()
		rec, err := s.store.Policy(t.Context(), vm(t, web))
		if err != nil {
			t.Fatal(err)
		}
		return rec.Policy.OwnOptions()
	}
	for name, tc := range map[string]struct {
		v4, v6, field, says string
	}{
		"no number":      {"wide", "/64", "widest4", "is not the length of a prefix from /1 to /32"},
		"nothing bound":  {"/24", "/0", "widest6", "is not the length of a prefix from /1 to /128"},
		"one family":     {"/24", "", "widest6", "name the widest prefix of IPv6 too"},
		"the other":      {"", "64", "widest4", "name the widest prefix of IPv4 too"},
		"over the limit": {"/33", "/64", "widest4", "from /1 to /32"},
	} {
		p := s.post("configure", append(base, "demands", "shown", "widest4", tc.v4, "widest6", tc.v6)...)
		if p.status != 400 || !strings.Contains(strings.ToLower(p.field(t, "wrong-"+tc.field)), strings.ToLower(tc.says)) || !strings.Contains(p.field(t, tc.field)[:300], `aria-invalid="true"`) {
			t.Errorf("%s: %d %s", name, p.status, p.field(t, "wrong-"+tc.field))
		}
	}
	if all, _ := store.AllPolicies(t.Context(), s.store); len(all) != 0 {
		t.Fatalf("stored %+v", all)
	}
	s.post("configure", append(base, "demands", "shown", "noany", "on", "needwhy", "on", "widest4", "24", "widest6", "/64")...).holds(t, "Saved.")
	if stored() != strict {
		t.Errorf("stored %v", stored())
	}
	p := s.get("configure?vm=" + web)
	p.holds(t, `id="noany" checked`, `id="needwhy" checked`, `value="/24"`, `value="/64"`)
	p.lacks(t, "This installation")
	s.post("configure", base...).holds(t, "Saved.")
	if stored() != strict {
		t.Errorf("a form that does not speak of them left %v", stored())
	}
	s.get("configure?vm="+web+"&vm="+app1).holds(t, "These machines have different policies")
	s.post("configure", append(base, "demands", "shown")...).holds(t, "Saved.")
	if !stored().IsZero() {
		t.Errorf("taken off, but stored %v", stored())
	}
	s.wire(func(p *core.Ports) { p.Floor = strict })
	s.get("configure?vm="+web).holds(t, "This installation asks for it in any case.", "This installation allows none wider than /24 and /64.")
}

// TestSourcesThatNeverArrive: the page of a request says which of its sources nothing arrives from, while it is open and no longer.
func TestSourcesThatNeverArrive(t *testing.T) {
	s := newSite(t)
	s.enable()
	const want = "10.1.2.3: a private address cannot come in at 198.51.100.4"
	ask := func(port, from string) string {
		t.Helper()
		s.post("request", "intent", "open", "vm", web, "source", "other", "other", from, "port-0-"+port, "on", "for-0-"+port, "1 h", "why", "logs")
		var id string
		s.eventually("it is open", func() bool {
			open, _ := s.store.OpenGrants(t.Context())
			for _, rec := range open {
				if w := rec.Grant.VMs[0].Ports[0]; strconv.Itoa(int(w.Number)) == port && w.Status == jit.Initiated {
					id = rec.Grant.ID
				}
			}
			return id != ""
		})
		return id
	}
	private, public := ask("22", "10.1.2.3"), ask("3389", "203.0.113.9")
	s.get("requests/"+private).holds(t, "Nothing arrives from here", want)
	s.get("requests/"+public).lacks(t, "Nothing arrives from here")
	s.post("requests/" + private + "/close")
	s.get("requests/"+private).lacks(t, "Nothing arrives from here")
}
