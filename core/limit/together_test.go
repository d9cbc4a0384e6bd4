package limit_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/roster"
)

var (
	noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	vm   = jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeVM, Name: "web"}
)

// window is a grant of one window on port 22 of web, for an hour from noon on.
func window(t interface{ Fatal(...any) }, id, who string, status jit.Status, from ...string) jit.Grant {
	s, err := jit.ParseSources(from...)
	if err != nil {
		t.Fatal(err)
	}
	return jit.Grant{ID: id, RequestorID: who + "-id", Requestor: who, Start: noon, OpenBy: noon.Add(jit.OpeningTimeout),
		VMs: []jit.GrantVM{{VM: vm, Ports: []jit.Window{{Number: 22, Protocol: jit.TCP, Sources: s, End: noon.Add(time.Hour), Status: status}}}}}
}

// standing is what is stored of a target with these grants.
func standing(grants ...jit.Grant) roster.State {
	s := roster.State{Known: true}
	for _, g := range grants {
		s.Openings = append(s.Openings, roster.Opening{Grant: g, Addresses: map[string][]netip.Addr{vm.Key(): {netip.MustParseAddr("10.0.0.4")}}})
	}
	return s
}

func always(o jit.Options) limit.Demands { return func(jit.ID) jit.Options { return o } }

// TestTogether holds which windows count together, and that the refusal tells them to their owner.
func TestTogether(t *testing.T) {
	noAny, narrow := jit.Options{ForbidAnySource: true}, jit.Options{WidestIPv4: 24, WidestIPv6: 64}
	other := func(g jit.Grant, change func(*jit.Grant, *jit.Window)) jit.Grant {
		change(&g, &g.VMs[0].Ports[0])
		return g
	}
	low := window(t, "low", "ann", jit.Initiated, "1.0.0.0/9")
	for name, tc := range map[string]struct {
		o      jit.Options
		stands jit.Grant
		from   []string
		want   bool
	}{
		"two halves of what counts as any":    {noAny, low, []string{"1.128.0.0/9", "2.0.0.1"}, true},
		"as many as that":                     {noAny, low, []string{"1.128.0.0/9"}, false},
		"the same addresses once more":        {noAny, low, []string{"1.0.0.0/9"}, false},
		"nothing is demanded":                 {jit.Options{RequireJustification: true}, low, []string{"128.0.0.0/1"}, false},
		"somebody else's":                     {noAny, window(t, "low", "bob", jit.Initiated, "1.0.0.0/9"), []string{"2.0.0.0/8"}, false},
		"neighbours that make up a wider one": {narrow, window(t, "low", "ann", jit.Initiated, "203.0.112.0/24"), []string{"203.0.113.0/24"}, true},
		"no neighbours":                       {narrow, window(t, "low", "ann", jit.Initiated, "203.0.111.0/24"), []string{"203.0.112.0/24"}, false},
		"one that is being opened":            {noAny, window(t, "low", "ann", jit.Initiating, "1.0.0.0/9"), []string{"2.0.0.0/8"}, true},
		"one that is being closed":            {noAny, window(t, "low", "ann", jit.Revoking, "1.0.0.0/9"), []string{"2.0.0.0/8"}, true},
		"one that is closed":                  {noAny, window(t, "low", "ann", jit.Revoked, "1.0.0.0/9"), []string{"2.0.0.0/8"}, false},
		"one past its end":                    {noAny, other(window(t, "low", "ann", jit.Initiated, "1.0.0.0/9"), func(g *jit.Grant, w *jit.Window) { w.End = noon }), []string{"2.0.0.0/8"}, true},
		"one that begins afterwards":          {noAny, other(window(t, "low", "ann", jit.Initiating, "1.0.0.0/9"), func(g *jit.Grant, w *jit.Window) { g.Start, w.End = noon.Add(time.Hour), noon.Add(2*time.Hour) }), []string{"2.0.0.0/8"}, false},
		"one that begins meanwhile":           {noAny, other(window(t, "low", "ann", jit.Initiating, "1.0.0.0/9"), func(g *jit.Grant, w *jit.Window) { g.Start = noon.Add(time.Minute) }), []string{"2.0.0.0/8"}, true},
		"another port":                        {noAny, other(window(t, "low", "ann", jit.Initiated, "1.0.0.0/9"), func(g *jit.Grant, w *jit.Window) { w.Number = 23 }), []string{"2.0.0.0/8"}, false},
		"another machine":                     {noAny, other(window(t, "low", "ann", jit.Initiated, "1.0.0.0/9"), func(g *jit.Grant, w *jit.Window) { g.VMs[0].VM.Name = "app" }), []string{"2.0.0.0/8"}, false},
		"any source, asked for before":        {noAny, window(t, "low", "ann", jit.Initiated, "*"), []string{"203.0.113.7"}, true},
		"another family":                      {noAny, low, []string{"2c00::/19"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := window(t, "new", "ann", jit.Initiating, tc.from...)
			twice := []roster.State{standing(tc.stands, g), standing(tc.stands)} // at the group of the interface, and at that of the subnet
			err := limit.Together(g, always(tc.o), twice, noon, limit.InRequest)
			bad := jit.Refused(err)
			if (bad != nil) != tc.want {
				t.Fatalf("%v, want a refusal: %v", err, tc.want)
			}
			if bad == nil {
				return
			}
			if bad.Code != jit.CodeSourcesTogether || bad.Target != "virtualMachines[0].ports[0].allowedSourceAddressPrefix" {
				t.Errorf("%s at %s", bad.Code, bad.Target)
			}
			for _, want := range []string{"your window for " + tc.stands.VMs[0].Ports[0].Sources.String(), "port 22 of web"} {
				if strings.Count(bad.Message, want) != 1 {
					t.Errorf("%q does not say %q once", bad.Message, want)
				}
			}
			if at := jit.Refused(limit.Together(g, always(tc.o), twice, noon, limit.InGrant)).Target; at != "web:22" {
				t.Errorf("an extension's target is %s", at)
			}
		})
	}
}

// TestTogetherTellsOwnAlone: of many windows it names three, and nobody else's.
func TestTogetherTellsOwnAlone(t *testing.T) {
	var grants []jit.Grant
	for i := range 6 {
		grants = append(grants, window(t, fmt.Sprint("g", i), "ann", jit.Initiated, fmt.Sprintf("203.0.%d.0/24", 2*i), fmt.Sprintf("198.18.%d.1", i), fmt.Sprintf("198.18.%d.3", i)))
	}
	grants = append(grants, window(t, "his", "bob", jit.Initiated, "192.0.2.77"))
	bad := jit.Refused(limit.Together(window(t, "new", "ann", jit.Initiating, "198.51.100.7"), always(jit.Options{WidestIPv4: 24, WidestIPv6: 64}), []roster.State{standing(grants...)}, noon, limit.InRequest))
	if bad == nil || strings.Contains(bad.Message, "192.0.2") || strings.Count(bad.Message, "your window for") != 3 || !strings.Contains(bad.Message, "3 more of your windows") || !strings.Contains(bad.Message, "and 1 more until 2026-11-30T13:00:00Z") {
		t.Errorf("%v", bad)
	}
}

// TestTogetherAgainstCounting: whoever opens windows one by one, in whatever order, lets in no more than is demanded, counted address
// by address; and what is refused would have let in more.
func TestTogetherAgainstCounting(t *testing.T) {
	o := jit.Options{WidestIPv4: 28, WidestIPv6: 64}
	const most = 4 * 16
	rapid.Check(t, func(t *rapid.T) {
		var stands []jit.Grant
		for i := range rapid.IntRange(1, 12).Draw(t, "requests") {
			bits := rapid.IntRange(28, 32).Draw(t, "bits")
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(rapid.IntRange(0, 255).Draw(t, "address"))}), bits).Masked()
			g := window(t, fmt.Sprint(i), "ann", jit.Initiating, p.String())
			refused := limit.Together(g, always(o), []roster.State{standing(stands...)}, noon, limit.InRequest) != nil
			var in [256]bool
			count := 0
			for _, h := range append(stands, g) {
				for q := range h.VMs[0].Ports[0].Sources.All() {
					for a := q.Addr(); q.Contains(a); a = a.Next() {
						if last := a.As4()[3]; !in[last] {
							in[last], count = true, count+1
						}
					}
				}
			}
			wide := false
			for first := 0; first < 256; first += 32 {
				whole := true
				for _, x := range in[first : first+32] {
					whole = whole && x
				}
				wide = wide || whole
			}
			if want := count > most || wide; refused != want {
				t.Fatalf("%s beside %d windows, %d addresses together: refused %v", p, len(stands), count, refused)
			}
			if !refused {
				stands = append(stands, g)
			}
		}
	})
}

// TestStanding: what stands beyond what is demanded is told by machine, port and requestor, with its grants; what ends or is another's is not.
func TestStanding(t *testing.T) {
	wide := window(t, "wide", "ann", jit.Initiated, "0.0.0.0/1")
	later := window(t, "later", "ann", jit.Initiated, "128.0.0.0/1")
	later.VMs[0].Ports[0].End = noon.Add(2 * time.Hour)
	grants := []jit.Grant{wide, later, window(t, "his", "bob", jit.Initiated, "203.0.113.7"), window(t, "gone", "carol", jit.Revoking, "*")}
	if got := limit.Standing(grants, always(jit.Options{}), noon); len(got) != 0 {
		t.Errorf("nothing is demanded, yet %v", got)
	}
	got := limit.Standing(grants, always(jit.Options{ForbidAnySource: true}), noon)
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	if e := got[0]; !e.VM.Equal(vm) || e.Number != 22 || e.Requestor != "ann" || fmt.Sprint(e.Grants) != "[later wide]" || !e.Until.Equal(noon.Add(2*time.Hour)) || !strings.Contains(e.Says, "taken for every address") {
		t.Errorf("%+v", e)
	}
	if got := limit.Standing(grants, always(jit.Options{ForbidAnySource: true}), noon.Add(3*time.Hour)); len(got) != 0 {
		t.Errorf("all have ended, yet %v", got)
	}
}
