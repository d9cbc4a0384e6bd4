package decide_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func web() jit.ID {
	return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeVM, Name: "web"}
}

// asking gives what is granted of a request for port 22 for an hour and port 3389 until two o'clock, where port 22 demands n approvers and the
// machine as many as options say.
func asking(t *testing.T, n int, options jit.Options, opens time.Time) jit.Grant {
	t.Helper()
	p := jit.Policy{VM: web(), Ports: jit.DefaultPorts(), Options: &options}
	p.Ports[0].Approvers = n
	checked, err := decide.Validate(jit.Request{RequestorID: "tid/oid", Requestor: "alice", Opens: opens, VMs: []jit.RequestVM{{VM: web(), Ports: []jit.RequestPort{
		{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}, {Number: 3389, End: noon.Add(2 * time.Hour), Sources: jit.AnySource()}}}}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	g, err := decide.Request(func(jit.ID) (jit.Policy, bool) { return p, true }, jit.Options{Approvers: 1}, checked, "id", noon)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestStart: a start is refused that has passed or is too far ahead, and one within the skew of clocks is at once.
func TestStart(t *testing.T) {
	for _, tt := range []struct {
		opens time.Duration
		code  jit.Code
		after time.Duration // from when windows count
	}{
		{-jit.ClockSkew - time.Millisecond, jit.CodeStartNotAllowed, 0},
		{jit.MaxStartAhead + time.Millisecond, jit.CodeStartNotAllowed, 0},
		{-jit.ClockSkew, "", 0},
		{time.Hour, "", time.Hour},
		{jit.MaxStartAhead, "", jit.MaxStartAhead},
	} {
		r := jit.Request{Requestor: "alice", Opens: noon.Add(tt.opens), VMs: []jit.RequestVM{{VM: web(), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}
		checked, err := decide.Validate(r, noon)
		if refused := jit.Refused(err); tt.code != "" {
			if refused == nil || refused.Code != tt.code || refused.Target != "startTimeUtc" {
				t.Errorf("start after %s: %v", tt.opens, err)
			}
			continue
		}
		g, err := decide.Request(func(id jit.ID) (jit.Policy, bool) { return jit.Policy{VM: id, Ports: jit.DefaultPorts()}, true }, jit.Options{}, checked, "id", noon)
		if err != nil || !g.VMs[0].Ports[0].End.Equal(noon.Add(tt.after+time.Hour)) || !g.VMs[0].Ports[0].Fixed {
			t.Errorf("start after %s: %v, %+v", tt.opens, err, g.VMs)
		}
	}
	late := jit.Request{Opens: noon.Add(time.Hour), VMs: []jit.RequestVM{{VM: web(), Ports: []jit.RequestPort{{Number: 22, End: noon.Add(time.Hour), Sources: jit.AnySource()}}}}}
	if _, err := decide.Validate(late, noon); jit.Refused(err) == nil || jit.Refused(err).Code != jit.CodeEndInPast {
		t.Errorf("an end at the start: %v", err)
	}
}

// TestWait: a grant waits for what the strictest of its ports, its machines and the installation demand, and no longer than an end that stays.
func TestWait(t *testing.T) {
	for _, tt := range []struct {
		name      string
		g         jit.Grant
		wait      time.Duration
		approvers int
		status    jit.Status
		openBy    time.Time
		end       time.Time // of port 22, an hour long
	}{
		{"the installation's", asking(t, 0, jit.Options{}, time.Time{}), time.Hour, 1, jit.AwaitingApproval, noon.Add(time.Hour), noon.Add(2 * time.Hour)},
		{"the machine's", asking(t, 1, jit.Options{Approvers: 2}, time.Time{}), time.Hour, 2, jit.AwaitingApproval, noon.Add(time.Hour), noon.Add(2 * time.Hour)},
		{"the port's", asking(t, 3, jit.Options{Approvers: 2}, time.Time{}), time.Hour, 3, jit.AwaitingApproval, noon.Add(time.Hour), noon.Add(2 * time.Hour)},
		{"longer than an end that stays", asking(t, 1, jit.Options{}, time.Time{}), 24 * time.Hour, 1, jit.AwaitingApproval, noon.Add(2 * time.Hour), noon.Add(3 * time.Hour)},
		{"with a start", asking(t, 1, jit.Options{}, noon.Add(90*time.Minute)), time.Hour, 1, jit.AwaitingApproval, noon.Add(90 * time.Minute), noon.Add(150 * time.Minute)},
	} {
		g := decide.Wait(tt.g, tt.wait, noon)
		w := g.VMs[0].Ports[0]
		if g.Wait.Approvers != tt.approvers || g.Status() != tt.status || !g.OpenBy.Equal(tt.openBy) || !w.End.Equal(tt.end) || !g.VMs[0].Ports[1].End.Equal(noon.Add(2*time.Hour)) {
			t.Errorf("%s: %d approvers, %s until %s, ends at %s", tt.name, g.Wait.Approvers, g.Status(), g.OpenBy, w.End)
		}
		if again := decide.Asked(g); cmp.Diff(decide.Asked(tt.g), again) != "" || again.VMs[0].Ports[0].Duration == 0 == tt.g.Wait.Opens.IsZero() || !again.VMs[0].Ports[1].End.Equal(noon.Add(2*time.Hour)) {
			t.Errorf("%s: asked for %+v", tt.name, again)
		}
	}
	direct := asking(t, 0, jit.Options{}, time.Time{})
	direct.Wait.Approvers = 0
	if d := cmp.Diff(direct.OpenBy, decide.Wait(direct, time.Hour, noon).OpenBy); d != "" || decide.Wait(direct, time.Hour, noon).Status() != jit.Initiating {
		t.Errorf("nothing is demanded, and it waits: %s", d)
	}
	later := asking(t, 0, jit.Options{}, noon.Add(time.Hour))
	later.Wait.Approvers = 0
	if g := decide.Wait(later, time.Hour, noon); g.Status() != jit.Scheduled || !g.OpenBy.Equal(noon.Add(time.Hour+jit.StartGrace)) || !g.VMs[0].Ports[0].End.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("later: %s until %s, %+v", g.Status(), g.OpenBy, g.VMs[0].Ports)
	}
	approved := decide.Schedule(decide.Wait(asking(t, 1, jit.Options{}, noon.Add(110*time.Minute)), time.Hour, noon))
	if approved.Status() != jit.Scheduled || approved.Generation != 2 || !approved.OpenBy.Equal(noon.Add(2*time.Hour)) { // an end that stays comes before the grace ends
		t.Errorf("approved: %s of generation %d until %s", approved.Status(), approved.Generation, approved.OpenBy)
	}
	if _, err := decide.Extend(approved, func(id jit.ID) (jit.Policy, bool) { return jit.Policy{VM: id, Ports: jit.DefaultPorts()}, true }, jit.Options{}, 2*time.Hour, time.Time{}, noon); jit.Refused(err) == nil || jit.Refused(err).Code != jit.CodeRequestWaits {
		t.Errorf("extended: %v", err)
	}
}
