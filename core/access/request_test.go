package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

func TestRequestRefuses(t *testing.T) {
	blocked := append(foreignRules(), jit.Rule{Name: "DenyAll", Priority: 100, Access: jit.Deny, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}})
	past := want("alice", 22, 0, "203.0.113.7", "web")
	past.VMs[0].Ports[0].End = noon.Add(-time.Second)
	for _, tc := range []struct {
		name    string
		request jit.Request
		arrange func(*world)
		want    jit.Code
	}{
		{"no machine", jit.Request{Requestor: "alice"}, nil, jit.CodeNoVMs},
		{"an unknown machine", want("alice", 22, time.Hour, "203.0.113.7", "web", "nobody"), nil, network.CodeVMNotFound},
		{"a machine without policy", want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"), nil, jit.CodePolicyNotFound},
		{"a port not in the policy", want("alice", 23, time.Hour, "203.0.113.7", "web"), nil, jit.CodePortNotInPolicy},
		{"longer than the maximum", want("alice", 22, 3*time.Hour+time.Millisecond, "203.0.113.7", "web"), nil, jit.CodeDurationOverMaximum},
		{"an end in the past", past, nil, jit.CodeEndInPast},
		{"a family that the machine does not have", want("alice", 22, time.Hour, "2001:db8::1", "web"), nil, access.CodeSourceFamily},
		{"a foreign deny above", want("alice", 22, time.Hour, "203.0.113.7", "web"), func(w *world) {
			w.cloud.SetRules(nsgID("web-nsg"), blocked...)
		}, plan.CodeBlocked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			if tc.arrange != nil {
				tc.arrange(w)
				w.start() // nothing is remembered of what stood before
			}
			writes := w.cloud.Writes()
			_, _, err := w.doors.Request(t.Context(), person("alice"), tc.request, "")
			if code(err) != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			open, _ := w.mem.OpenGrants(t.Context())
			all, _, _ := w.mem.ListGrants(t.Context(), store.GrantFilter{}, "", 10)
			if len(open)+len(all)+len(w.bell.Set()) != 0 || w.cloud.Writes() != writes {
				t.Errorf("a refusal left %d grants and %d wake-ups and made %d writes", len(all), len(w.bell.Set()), w.cloud.Writes()-writes)
			}
			// One entry, about the machine that the refusal concerns: the last one of each of these.
			var got []string
			for _, line := range w.log() {
				if strings.HasPrefix(line, "Request Refused") {
					got = append(got, line)
				}
			}
			about := ""
			if n := len(tc.request.VMs); n > 0 {
				about = tc.request.VMs[n-1].VM.Name + " "
			}
			if len(got) != 1 || got[0] != "Request Refused "+about+string(tc.want) {
				t.Errorf("the log says %q of a refusal for %s about %q", got, tc.want, about)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.leap(time.Millisecond)
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if g := w.grant(id); g.Status() != jit.Initiated {
		t.Errorf("status %s", g.Status())
	}
	w.stands("web-nsg", append([]string{"0100 allow ours 203.0.113.7 -> 10.0.0.4 :22"}, closedWeb...)...)
	w.pass(time.Hour - time.Millisecond)
	if w.allows("web-nsg") != 1 {
		t.Error("the port is closed before its end")
	}
	w.pass(time.Millisecond)
	w.stands("web-nsg", closedWeb...)
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.Expired {
		t.Errorf("the grant is %s %s, want Revoked Expired", g.Status(), g.Reason())
	}
	wantLog := []string{"Enable Succeeded web", "Request Succeeded web", "Open Succeeded web", "Close Succeeded web Expired"}
	if diff := cmp.Diff(wantLog, w.log()); diff != "" {
		t.Errorf("activity (-want +got):\n%s", diff)
	}
}

// TestCloseIsWrittenBeforeTheOpen holds the order of a request: intent, wake-up, rule.
func TestCloseIsWrittenBeforeTheOpen(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	var order []string
	note := func(_ context.Context, s coretest.Step) error {
		if s.After && slices.Contains([]string{"InsertGrant", "Schedule", "Apply", "UpdateGrants"}, s.Op) {
			order = append(order, s.Op)
		}
		return nil
	}
	w.cloud.Fault, w.store.Fault, w.bell.Fault = note, note, note
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if diff := cmp.Diff([]string{"InsertGrant", "Schedule", "Apply", "UpdateGrants"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestOverlap: one grant's end does not close another's (TEAM issue 279).
func TestOverlap(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	short := w.mustAsk(want("alice", 22, 10*time.Minute, "203.0.113.7", "web"))
	long := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.7", "web"))
	w.pass(10 * time.Minute)
	if !w.grant(short).Closed() || w.grant(long).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("after the short window: short %s, long %s, %d allows", w.grant(short).Status(), w.grant(long).Status(), w.allows("web-nsg"))
	}
	if _, err := w.Revoke(t.Context(), who("bob"), long); err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", closedWeb...)
}

func TestNewerRequestTakesThePlace(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.pass(time.Minute)
	other := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.8", "web")) // another source: both stay
	w.pass(time.Minute)
	writes := w.cloud.Writes()
	newer := w.mustAsk(want("alice", 22, 5*time.Minute, "203.0.113.7", "web"))
	if n := w.cloud.Writes() - writes; n != 1 {
		t.Errorf("one rule for another took %d writes, want 1", n)
	}
	if g := w.grant(old); !g.Closed() || g.Reason() != jit.NewerRequestInitiated {
		t.Errorf("the older grant is %s %s", g.Status(), g.Reason())
	}
	if w.grant(other).Status() != jit.Initiated || w.grant(newer).Status() != jit.Initiated || w.allows("web-nsg") != 2 {
		t.Errorf("other %s, newer %s, %d allows", w.grant(other).Status(), w.grant(newer).Status(), w.allows("web-nsg"))
	}
	w.pass(5 * time.Minute) // the shorter, newer one ends: the older does not come back
	if w.allows("web-nsg") != 1 {
		t.Errorf("%d allows after the newer window, want the other source's only: %q", w.allows("web-nsg"), w.lines("web-nsg"))
	}
}

func TestRepeatedRequests(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	first := w.mustAsk(r)
	w.leap(2 * time.Second)
	if again := w.mustAsk(r); again != first {
		t.Error("a double click made a second grant")
	}
	w.leap(10 * time.Second)
	later := w.mustAsk(r)
	if later == first {
		t.Error("a request ten seconds later is no double click")
	}
	r.Justification = "with a key"
	keyed := w.mustAsk(r, "key-1")
	w.leap(time.Hour)
	if again := w.mustAsk(r, "key-1"); again != keyed {
		t.Error("the same key made a second grant")
	}
	if _, err := w.ask(want("alice", 3389, time.Hour, "203.0.113.7", "web"), "key-1"); code(err) != access.CodeKeyReused {
		t.Errorf("error %v, want %s", err, access.CodeKeyReused)
	}
	bobs := want("bob", 22, time.Hour, "203.0.113.7", "web")
	if id := w.mustAsk(bobs, "key-1"); id == keyed {
		t.Error("one requestor's key named another's grant")
	}
}

// TestUnconfirmedOpening: what nobody confirmed is undone, whatever its end.
func TestUnconfirmedOpening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	rec, _, err := w.Request(t.Context(), who("alice"), r, "")
	if err != nil {
		t.Fatal(err)
	}
	w.leap(jit.OpeningTimeout - time.Millisecond)
	w.sweep() // within the time the sweep finishes what the process began
	if w.allows("web-nsg") != 1 {
		t.Error("within its time the opening was not finished by the sweep")
	}
	w.leap(time.Millisecond)
	w.sweep()
	w.stands("web-nsg", closedWeb...)
	if g := w.grant(rec.Grant.ID); !g.Closed() || g.Reason() != jit.OpeningFailed {
		t.Errorf("the grant is %s %s, want Revoked OpeningFailed", g.Status(), g.Reason())
	}
}

func TestRevokedWhileOpening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	revoked := false
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "Apply" && s.After && !revoked {
			revoked = true
			g, err := w.mem.Grant(ctx, rec.Grant.ID)
			if err != nil {
				return err
			}
			g.Grant = g.Grant.Revoke(w.now(), jit.UserRequested) // as another instance does
			_, err = w.mem.UpdateGrants(ctx, g)
			return err
		}
		return nil
	}
	got, err := w.Open(t.Context(), who("alice"), rec)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Grant.Closed() {
		t.Errorf("the grant reads %s", got.Grant.Status())
	}
	w.stands("web-nsg", closedWeb...)
}

// TestRevokedWhileOpeningFails: another instance closes the grant right before the write that opens it, and nothing more
// can be read after that write: what it opened goes at once all the same.
func TestRevokedWhileOpeningFails(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, wrote, failed := w.instance(), false, false
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After && !wrote {
			wrote = true
			_, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			return err
		}
		return nil
	}
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "State" && wrote && !failed && w.allows("web-nsg") == 1 {
			failed = true
			return errFault
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err == nil || !failed {
		t.Errorf("the opening ends as %s, %v", got.Grant.Status(), err)
	}
	w.stands("web-nsg", closedWeb...)
}

func TestFailedOpeningIsUndone(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	w.leap(time.Minute)
	for _, tc := range []struct{ op string }{{"Apply"}, {"Append"}, {"UpdateGrants"}} {
		t.Run(tc.op, func(t *testing.T) {
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), tc.op)
			if err != nil {
				t.Fatal(err)
			}
			once := true
			fault := func(_ context.Context, s coretest.Step) error {
				if s.Op == tc.op && !s.After && once {
					once = false
					return &store.Unavailable{Dependency: "something", Err: errFault}
				}
				return nil
			}
			w.cloud.Fault, w.store.Fault = fault, fault
			if _, err := w.Open(t.Context(), who("alice"), rec); err == nil {
				t.Fatal("no error")
			}
			w.cloud.Fault, w.store.Fault = nil, nil
			if g := w.grant(rec.Grant.ID); !g.Closed() || g.Reason() != jit.OpeningFailed {
				t.Errorf("the new grant is %s %s", g.Status(), g.Reason())
			}
			if w.grant(old).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
				t.Errorf("the older grant, whose place it failed to take, is %s with %d allows", w.grant(old).Status(), w.allows("web-nsg"))
			}
		})
	}
}
