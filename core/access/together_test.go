package access_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// wantFrom is want from several sources.
func wantFrom(requestor string, from []string, vms ...string) jit.Request {
	r := want(requestor, 22, time.Hour, "*", vms...)
	s, err := jit.ParseSources(from...)
	if err != nil {
		panic("the caller has introduced a bug: " + err.Error())
	}
	for i := range r.VMs {
		r.VMs[i].Ports[0].Sources = s
	}
	return r
}

// alternate gives n prefixes of 24 bits of which no two are neighbours, every second one from the given one on.
func alternate(n, from int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("198.18.%d.0/24", from+2*i))
	}
	return out
}

// TestTogetherRefuses: what one requestor's windows let in together at one port of a machine is bounded by what is demanded, be it by the policy or by
// the installation. A refusal names machine, port and the requestor's own windows, changes nothing and is logged; a dry run tells it.
func TestTogetherRefuses(t *testing.T) {
	noAny, narrow := jit.Options{ForbidAnySource: true}, jit.Options{WidestIPv4: 24, WidestIPv6: 64}
	for name, tc := range map[string]struct {
		o      jit.Options
		stands []string // asked for first; none for nothing
		from   []string
		want   jit.Code
	}{
		"all of public IPv6":                                  {noAny, nil, []string{"2000::/3"}, jit.CodeSourceAnyForbidden},
		"one half of IPv4":                                    {noAny, nil, []string{"0.0.0.0/1"}, jit.CodeSourceAnyForbidden},
		"the other half of IPv4":                              {noAny, nil, []string{"128.0.0.0/1"}, jit.CodeSourceAnyForbidden},
		"a hundred alternate /24":                             {narrow, nil, alternate(100, 0), jit.CodeSourcesTogether},
		"half of what counts as any, and then more than half": {noAny, []string{"1.0.0.0/9"}, []string{"1.128.0.0/9", "2.0.0.1"}, jit.CodeSourcesTogether},
		"four alternate /24, and then the four between them":  {narrow, alternate(4, 0), alternate(4, 1), jit.CodeSourcesTogether},
		"four alternate /24, and then an address":             {narrow, alternate(4, 0), []string{"203.0.113.7"}, jit.CodeSourcesTogether},
		"a /24, and then its neighbour":                       {narrow, []string{"203.0.112.0/24"}, []string{"203.0.113.0/24"}, jit.CodeSourcesTogether},
	} {
		for _, by := range []string{"policy", "installation"} {
			t.Run(name+"/"+by, func(t *testing.T) {
				w := newWorld(t)
				p := policyOf("web", 22, 3389)
				if by == "policy" {
					p.Options = &tc.o
				} else {
					w.startWith(func(p *core.Ports) { p.Floor = tc.o })
				}
				if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p, policyOf("app1", 22)}, false); err != nil {
					t.Fatal(err)
				}
				w.mustAsk(want("bob", 22, time.Hour, "192.0.2.77", "web")) // another's counts for nobody
				if len(tc.stands) > 0 {
					w.mustAsk(wantFrom("alice", tc.stands, "web"))
				}
				w.leap(time.Minute)
				rules, writes, lines := w.lines("web-nsg"), w.cloud.Writes(), len(w.log())
				open, _ := w.mem.OpenGrants(t.Context())
				r := wantFrom("alice", tc.from, "web")
				_, _, dry := w.Preview(t.Context(), r)
				_, err := w.ask(r)
				for how, err := range map[string]error{"dry run": dry, "request": err} {
					bad := jit.Refused(err)
					if bad == nil || bad.Code != tc.want || bad.Target != "virtualMachines[0].ports[0].allowedSourceAddressPrefix" || !strings.Contains(bad.Message, "port 22") {
						t.Errorf("%s: %v, want %s", how, err, tc.want)
					} else if len(tc.stands) > 0 && (!strings.Contains(bad.Message, "your window for "+tc.stands[0]) || !strings.Contains(bad.Message, "port 22 of web") || strings.Contains(bad.Message, "192.0.2.77")) {
						t.Errorf("%s: %s", how, bad.Message)
					}
				}
				again, _ := w.mem.OpenGrants(t.Context())
				if !slices.Equal(w.lines("web-nsg"), rules) || w.cloud.Writes() != writes || len(again) != len(open) {
					t.Errorf("a refusal changed something: %d writes, %d grants", w.cloud.Writes()-writes, len(again)-len(open))
				}
				if log := w.log()[lines:]; !slices.Equal(log, []string{"Request Refused web " + string(tc.want)}) {
					t.Errorf("log %q", log)
				}
			})
		}
	}
}

// TestTogetherAllows: what takes the place of a window, repeats its request or stands at another port or machine does not count twice; what is closed
// makes room.
func TestTogetherAllows(t *testing.T) {
	w := newWorld(t)
	w.startWith(func(p *core.Ports) { p.Floor = jit.Options{WidestIPv4: 24, WidestIPv6: 64} })
	w.enable("web", "app1")
	first := wantFrom("alice", alternate(4, 0), "web")
	id := w.mustAsk(first, "key")
	if again := w.mustAsk(first, "key"); again != id {
		t.Errorf("a retry made %s of %s", again, id)
	}
	w.leap(time.Minute)
	if again := w.mustAsk(first, "key"); again != id { // the policy is asked again, and the request stands
		t.Errorf("a retry made %s of %s", again, id)
	}
	renewed := w.mustAsk(first)
	if renewed == id {
		t.Fatal("a renewal gave the old grant")
	}
	part := wantFrom("alice", alternate(2, 2), "web")
	within := w.mustAsk(part)
	elsewhere := wantFrom("alice", alternate(4, 100), "app1")
	w.mustAsk(elsewhere)
	elsewhere.VMs[0].VM, elsewhere.VMs[0].Ports[0].Number = vmID("web"), 3389
	w.mustAsk(elsewhere)
	w.mustAsk(wantFrom("bob", alternate(4, 100), "web"))
	next := wantFrom("alice", alternate(4, 200), "web")
	if _, err := w.ask(next); code(err) != jit.CodeSourcesTogether {
		t.Fatalf("four more: %v", err)
	}
	for _, id := range []string{renewed, within} {
		if _, err := w.Revoke(t.Context(), who("alice"), id); err != nil {
			t.Fatal(err)
		}
	}
	w.mustAsk(next)
}

// TestTogetherAfterTightening: a demand that is tightened closes nothing. What stands beyond it is a finding until it ends, and is neither extended nor
// added to; who has asked before and repeats the request is told what stands.
func TestTogetherAfterTightening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	wide := wantFrom("alice", []string{"0.0.0.0/1"}, "web")
	first := w.mustAsk(wide, "key")
	w.leap(time.Second)
	second := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "web"))
	if got := findings(w.sweep(), store.FindingBeyond); got != "" {
		t.Fatalf("nothing is demanded: %s", got)
	}
	w.startWith(func(p *core.Ports) { p.Floor = jit.Options{ForbidAnySource: true} })
	got := findings(w.sweep(), store.FindingBeyond)
	for _, want := range []string{"port 22 of web", "alice", "2026-11-23T13:00:01Z", "taken for every address"} {
		if !strings.Contains(got, want) || strings.Contains(got, "bob") {
			t.Errorf("the finding %q does not say %q", got, want)
		}
	}
	for name, id := range map[string]string{"the wide one": first, "the narrow one": second} {
		before := w.grant(id)
		wantCode := jit.CodeSourcesTogether
		if id == first {
			wantCode = jit.CodeSourceAnyForbidden
		}
		_, _, dry := w.PreviewExtend(t.Context(), id, 2*time.Hour, time.Time{})
		_, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{})
		for how, err := range map[string]error{"dry run": dry, "extend": err} {
			if bad := jit.Refused(err); bad == nil || bad.Code != wantCode || !strings.HasPrefix(bad.Target, "web:22") {
				t.Errorf("%s, %s: %v, want %s", name, how, err, wantCode)
			}
		}
		if after := w.grant(id); !after.End().Equal(before.End()) || after.Generation != before.Generation {
			t.Errorf("%s: extended to %s", name, after.End())
		}
		if line := "Extend Refused web " + string(wantCode); !slices.Contains(w.log(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	if again := w.mustAsk(wide, "key"); again != first {
		t.Errorf("a retry of what stands made %s of %s", again, first)
	}
	if _, err := w.ask(want("alice", 22, time.Hour, "198.51.100.7", "web")); code(err) != jit.CodeSourcesTogether {
		t.Errorf("added to: %v", err)
	}
	if w.allows("web-nsg") != 3 {
		t.Errorf("%d rules of ours allow, want all three", w.allows("web-nsg"))
	}
	if _, err := w.Revoke(t.Context(), who("alice"), first); err != nil {
		t.Fatal(err)
	}
	if got := findings(w.sweep(), store.FindingBeyond); got != "" {
		t.Errorf("closed, yet %s", got)
	}
	if _, err := w.Extend(t.Context(), who("alice"), second, 2*time.Hour, time.Time{}); err != nil {
		t.Error(err)
	}
}

// TestTogetherAtOnce: of two requests that come at the same moment, on two instances that know nothing of each other, at most one opens where both would let
// in more than is demanded, whichever step the other comes at; alone, each does.
func TestTogetherAtOnce(t *testing.T) {
	a, b := wantFrom("alice", alternate(4, 0), "web"), wantFrom("alice", alternate(4, 100), "web")
	both := 0
	for _, at := range []string{"State", "InsertGrant"} {
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			w.startWith(func(p *core.Ports) { p.Floor = jit.Options{WidestIPv4: 24, WidestIPv6: 64} })
			w.enable("web")
			other := w.instanceWith(func(p *core.Ports) { p.Floor = w.ports.Floor })
			var second error
			came := false
			w.store.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == at && s.After == after && !came {
					came = true
					rec, _, err := other.Request(t.Context(), who("alice"), b, "")
					if err == nil {
						_, err = other.Open(t.Context(), who("alice"), rec)
					}
					second = err
				}
				return nil
			}
			_, first := w.ask(a)
			if !came || first == nil && second == nil {
				t.Errorf("at %s, after %v: both opened", at, after)
			}
			for _, err := range []error{first, second} {
				if err != nil && code(err) != jit.CodeSourcesTogether {
					t.Errorf("at %s, after %v: %v", at, after, err)
				}
			}
			if first != nil && second != nil {
				both++
			}
			open := w.allows("web-nsg")
			w.sweep()
			if n := w.allows("web-nsg"); n > 1 || open > 1 {
				t.Errorf("at %s, after %v: %d rules allow, %d after a sweep", at, after, open, n)
			}
			w.leap(time.Minute)
			if first != nil && second != nil {
				w.mustAsk(a)
			}
		}
	}
	if both == 4 {
		t.Error("no request of two ever opened")
	}
}
