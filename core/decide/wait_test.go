package decide_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // wherever the tests run

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
		{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}, {Number: 3389, End: noon.Add(2 * time.Hour), Sources: jit.AnySource()}}}}}, noon, decide.DefaultAhead)
	if err != nil {
		t.Fatal(err)
	}
	g, err := decide.Request(func(jit.ID) (jit.Policy, bool) { return p, true }, jit.Options{Approvers: 1}, checked, "id", noon)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// forHour is a request for port 22 for an hour from opens.
func forHour(opens time.Time) jit.Request {
	return jit.Request{Requestor: "alice", Justification: "why", Opens: opens, VMs: []jit.RequestVM{{VM: web(), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}
}

func defaults(id jit.ID) (jit.Policy, bool) {
	return jit.Policy{VM: id, Ports: jit.DefaultPorts()}, true
}

// TestStart: a start is refused that has passed or is too far ahead, each with its code and the time here, and one within the skew of clocks is at once.
func TestStart(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		opens, most time.Duration
		code        jit.Code
		says        string
		after       time.Duration // from when windows count
	}{
		{-jit.ClockSkew - time.Millisecond, 14 * day, decide.CodeStartInPast, "startTimeUtc 2026-11-23T11:57:59.999Z has passed: here it is 2026-11-23T12:00:00Z, and clocks may differ by 2 min", 0},
		{-time.Hour, 14 * day, decide.CodeStartInPast, "here it is 2026-11-23T12:00:00Z", 0},
		{-day * 365 * 200, 14 * day, decide.CodeStartInPast, "here it is", 0},
		{14*day + time.Millisecond, 14 * day, decide.CodeStartTooFar, "startTimeUtc 2026-12-07T12:00:00.001Z is too far ahead: here it is 2026-11-23T12:00:00Z, and a request may begin until 2026-12-07T12:00:00Z", 0},
		{day * 365 * 250, 31 * day, decide.CodeStartTooFar, "here it is", 0},
		{jit.ClockSkew + time.Millisecond, 0, decide.CodeStartTooFar, "may begin until 2026-11-23T12:02:00Z", 0},
		{jit.ClockSkew, 0, "", "", jit.ClockSkew},
		{-jit.ClockSkew, 14 * day, "", "", 0},
		{time.Hour, 14 * day, "", "", time.Hour},
		{14 * day, 14 * day, "", "", 14 * day},
	} {
		checked, err := decide.Validate(forHour(noon.Add(tt.opens)), noon, tt.most)
		if refused := jit.Refused(err); tt.code != "" {
			if refused == nil || refused.Code != tt.code || refused.Target != "startTimeUtc" || !strings.Contains(refused.Message, tt.says) {
				t.Errorf("start after %s, at most %s: %v", tt.opens, tt.most, err)
			}
			continue
		}
		g, err := decide.Request(defaults, jit.Options{}, checked, "id", noon)
		if err != nil || !g.VMs[0].Ports[0].End.Equal(noon.Add(tt.after+time.Hour)) || !g.VMs[0].Ports[0].Fixed || g.VMs[0].Ports[0].Length != time.Hour || !g.OpenBy.Equal(noon.Add(tt.after+jit.OpeningTimeout)) {
			t.Errorf("start after %s: %v, %+v", tt.opens, err, g)
		}
	}
}

// TestEndAndStart: an end is a time of its own, and has to come after the start; the maximum counts from the start.
func TestEndAndStart(t *testing.T) {
	start := noon.Add(2 * 24 * time.Hour)
	for _, tt := range []struct {
		end  time.Time
		code jit.Code
	}{
		{noon.Add(-time.Hour), decide.CodeEndBeforeStart},
		{noon.Add(time.Hour), decide.CodeEndBeforeStart},
		{start, decide.CodeEndBeforeStart},
		{start.Add(time.Millisecond - 1), decide.CodeEndBeforeStart},
		{start.Add(time.Millisecond), ""},
		{start.Add(3 * time.Hour), ""},
		{start.Add(3*time.Hour + jit.ClockSkew), ""}, // cut
		{start.Add(3*time.Hour + jit.ClockSkew + time.Millisecond), jit.CodeDurationOverMaximum},
	} {
		r := forHour(start)
		r.VMs[0].Ports[0].Duration, r.VMs[0].Ports[0].End = 0, tt.end
		checked, err := decide.Validate(r, noon, decide.DefaultAhead)
		var g jit.Grant
		if err == nil {
			g, err = decide.Request(defaults, jit.Options{}, checked, "id", noon)
		}
		if refused := jit.Refused(err); tt.code != "" {
			if refused == nil || refused.Code != tt.code || refused.Target != "virtualMachines[0].ports[0].endTimeUtc" {
				t.Errorf("end %s after the start: %v", tt.end.Sub(start), err)
			}
			continue
		}
		if w := g.VMs; err != nil || !w[0].Ports[0].End.Equal(earlier(tt.end, start.Add(3*time.Hour))) || w[0].Ports[0].Length != w[0].Ports[0].End.Sub(start) {
			t.Errorf("end %s after the start: %v, %+v", tt.end.Sub(start), err, w)
		}
	}
	past := forHour(time.Time{})
	past.VMs[0].Ports[0].Duration, past.VMs[0].Ports[0].End = 0, noon
	if _, err := decide.Validate(past, noon, decide.DefaultAhead); jit.Refused(err) == nil || jit.Refused(err).Code != jit.CodeEndInPast {
		t.Errorf("an end that has passed, without a start: %v", err)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// TestSummerTime: a start is an instant. Whatever zone it is written in, on either side of a change of clocks and in the hour that is skipped or comes twice,
// a window lasts as long as was asked for, and how far ahead it may be is hours, not days of a calendar.
func TestSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ now, start, utc string }{
		"before clocks go forward":       {"2027-03-20T12:00:00Z", "2027-03-28T01:30:00+01:00", "2027-03-28T00:30:00Z"},
		"in the hour that is skipped":    {"2027-03-20T12:00:00Z", "2027-03-28T02:30:00+01:00", "2027-03-28T01:30:00Z"},
		"after clocks went forward":      {"2027-03-20T12:00:00Z", "2027-03-28T03:30:00+02:00", "2027-03-28T01:30:00Z"},
		"the first of two hours":         {"2027-10-20T12:00:00Z", "2027-10-31T02:30:00+02:00", "2027-10-31T00:30:00Z"},
		"the second of two hours":        {"2027-10-20T12:00:00Z", "2027-10-31T02:30:00+01:00", "2027-10-31T01:30:00Z"},
		"14 days over the change":        {"2027-03-20T12:00:00Z", "2027-04-03T14:00:00+02:00", "2027-04-03T12:00:00Z"},
		"14 days over the change back":   {"2027-10-20T12:00:00Z", "2027-11-03T13:00:00+01:00", "2027-11-03T12:00:00Z"},
		"an hour more than the 14 days":  {"2027-10-20T12:00:00Z", "2027-11-03T14:00:00+01:00", ""},
		"the same time of day in summer": {"2027-10-20T12:00:00Z", "2027-11-03T14:00:00+02:00", "2027-11-03T12:00:00Z"},
	} {
		now, start := instant(t, tt.now).In(berlin), instant(t, tt.start)
		for _, in := range []*time.Location{start.Location(), time.UTC, berlin} {
			checked, err := decide.Validate(forHour(start.In(in)), now, decide.DefaultAhead)
			if tt.utc == "" {
				if jit.Refused(err) == nil || jit.Refused(err).Code != decide.CodeStartTooFar {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			g, err := decide.Request(defaults, jit.Options{}, checked, "id", now)
			if begins := instant(t, tt.utc); err != nil || !g.Begins().Equal(begins) || !g.End().Equal(begins.Add(time.Hour)) || g.Begins().Location() != time.UTC || g.End().Location() != time.UTC {
				t.Errorf("%s: %v, from %s to %s", name, err, g.Begins(), g.End())
			}
		}
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
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
