package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestOneRowForARefusal: however many machines a refused call names, in however many subscriptions, the log gets one entry,
// in a chain that exists for somebody who is managed, and as large as a row can be at most.
func TestOneRowForARefusal(t *testing.T) {
	ctx := t.Context()
	far := func(i int) jit.ID {
		return jit.ID{Subscription: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), ResourceGroup: "x", Type: jit.TypeVM, Name: "v"}
	}
	near := func(i int) jit.ID {
		id := vmID("web")
		id.Name = fmt.Sprint("web", i)
		return id
	}
	wide := func(vm jit.ID) jit.RequestVM {
		out := jit.RequestVM{VM: vm}
		for p := range 10 {
			port := jit.RequestPort{Number: uint16(p + 1), Duration: time.Hour}
			var prefixes []string
			for i := range jit.MaxSources {
				prefixes = append(prefixes, fmt.Sprintf("2001:db8:%x:%x::/64", p, 2*i))
			}
			sources, err := jit.ParseSources(prefixes...)
			if err != nil {
				t.Fatal(err)
			}
			port.Sources = sources
			out.Ports = append(out.Ports, port)
		}
		return out
	}
	machines := func(n int, of func(int) jit.ID) (out []jit.ID) {
		for i := range n {
			out = append(out, of(i))
		}
		return out
	}
	request := func(vms []jit.ID) jit.Request {
		r := jit.Request{Justification: strings.Repeat("é", jit.MaxJustification)}
		for _, vm := range vms {
			r.VMs = append(r.VMs, wide(vm))
		}
		return r
	}
	policies := func(vms []jit.ID) (out []jit.Policy) {
		for _, vm := range vms {
			out = append(out, jit.Policy{VM: vm, Ports: jit.DefaultPorts()})
		}
		return out
	}
	for _, tc := range []struct {
		name string
		vms  []jit.ID
		code jit.Code
		vm   string
	}{
		{"managed", machines(jit.MaxVMs, near), permit.CodeForbidden, "web"},
		{"made up", machines(jit.MaxVMs, far), network.CodeNotManaged, ""},
		{"both", append(machines(jit.MaxVMs-1, far), near(0)), network.CodeNotManaged, ""},
	} {
		for verb, do := range map[string]func(*doorway) error{
			"request": func(g *doorway) error { _, _, err := g.doors.Request(ctx, g.who, request(tc.vms), ""); return err },
			"enable":  func(g *doorway) error { _, _, err := g.doors.Enable(ctx, g.who, policies(tc.vms), false); return err },
			"disable": func(g *doorway) error { _, err := g.doors.Disable(ctx, g.who, tc.vms); return err },
		} {
			t.Run(tc.name+" "+verb, func(t *testing.T) {
				g := newDoorway(t, holders()["none"])
				g.leap(time.Second)
				before := len(g.log())
				if err := do(g); code(err) != tc.code {
					t.Fatalf("error %v, want %s", err, tc.code)
				}
				if got := len(g.log()) - before; got != 1 {
					t.Fatalf("%d entries of one refusal", got)
				}
				e := g.lastEntries(1)[0]
				if !strings.HasPrefix(e.VM.Name, tc.vm) || e.VM.IsZero() != (tc.vm == "") || e.Reason != string(tc.code) {
					t.Errorf("it is about %q for %s: %s", e.VM, e.Reason, e.Message)
				}
				size := len(e.Message) + len(e.Justification)
				for _, s := range e.Sources {
					size += len(s)
				}
				if size > 16<<10 {
					t.Errorf("it has %d bytes", size)
				}
				if verb == "request" && tc.vm != "" && (len(e.Sources) != 101 || e.Sources[100] != "and 900 more") {
					t.Errorf("it tells %d sources, the last of them %q", len(e.Sources), e.Sources[len(e.Sources)-1])
				}
				if tc.vm != "" && !strings.Contains(e.Message, "names 199 more machines") {
					t.Errorf("it does not tell of the others: %s", e.Message)
				}
			})
		}
	}
}

// TestRefusalThatCannotBeLogged: who is refused is told so, and what the log misses is told with it.
func TestRefusalThatCannotBeLogged(t *testing.T) {
	g := newDoorway(t, holders()["none"])
	g.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("down")}
		}
		return nil
	}
	_, err := g.doors.Disable(t.Context(), g.who, []jit.ID{vmID("web")})
	if code(err) != permit.CodeForbidden || !errors.Is(err, store.ErrUnlogged) {
		t.Errorf("error %v", err)
	}
}

// TestRefusedOpeningThatIsNotUndone: the log has the line of an opening that was refused, also where the table does not take its undoing, which has that line.
func TestRefusedOpeningThatIsNotUndone(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 3389)}, false); err != nil {
		t.Fatal(err)
	}
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "UpdateGrants" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("down")}
		}
		return nil
	}
	_, err = w.Open(t.Context(), who("alice"), rec)
	if code(err) != access.CodePolicyChanged {
		t.Fatalf("error %v", err)
	}
	if log := strings.Join(w.log(), "\n"); strings.Count(log, "Request Refused") != 1 {
		t.Errorf("the log does not tell it:\n%s", log)
	}
}
