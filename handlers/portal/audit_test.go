package portal_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestAuditorLooksByParts: the log is looked through for parts of names in any case, within a time; sweeps are hidden unless they are asked for, and the
// table to keep holds what is shown.
func TestAuditorLooksByParts(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.opened("alice", "her logs", time.Hour, 22)
	s.opened("bob", "his logs", time.Hour, 3389)
	for i := range 150 { // more than one look's worth, newer than what is looked for
		e := store.EntryBy(jit.App(), store.OpSweep)
		e.ID, e.Time, e.Result = "sweep"+strings.Repeat("x", i), noon.Add(time.Duration(i)*time.Minute), store.Succeeded
		if err := s.store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []struct {
		query string
		holds []string
		lacks []string
	}{
		{"", []string{"her logs", "his logs", "> Sweeps, too<"}, []string{">Sweep</strong>"}},
		{"requestor=ALI", []string{"her logs"}, []string{"his logs"}},
		{"vm=WE&requestor=bob", []string{"his logs"}, []string{"her logs"}},
		{"vm=app", []string{">Enable</strong>"}, []string{"logs"}},
		{"vm=nowhere", []string{"Nothing matches"}, []string{"logs"}},
		{"sweeps=shown", []string{"<strong>Sweep</strong>"}, nil},
		{"operation=Sweep", []string{"<strong>Sweep</strong>"}, nil},
		{"from=2026-11-23T12:01", []string{"Nothing matches"}, []string{"logs"}},
		{"to=2026-11-23T12:01&requestor=bob", []string{"his logs", "23 Nov 2026, 13:00:00 UTC"}, nil},
	} {
		p := s.get("activity?" + q.query)
		_, rows, _ := strings.Cut(p.text, "</form>")
		for _, want := range q.holds {
			if !strings.Contains(p.text, want) {
				t.Errorf("%s lacks %q: %s", q.query, want, rows)
			}
		}
		for _, bad := range q.lacks {
			if strings.Contains(rows, bad) {
				t.Errorf("%s holds %q: %s", q.query, bad, rows)
			}
		}
	}
	csv := s.get("activity?format=csv&requestor=ali")
	if csv.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || !strings.Contains(csv.text, "her logs") || strings.Contains(csv.text, "his logs") || strings.Contains(csv.text, "Sweep") {
		t.Errorf("%v %s", csv.header, csv.text)
	}
}

// TestReport: one row for each window, with when it was asked for, opened and really closed and by whom; as a table to keep, too.
func TestReport(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "=her logs", 2*time.Hour, 22, 3389)
	s.clock.Set(noon.Add(10 * time.Minute))
	other := s.opened("bob", "his logs", time.Hour, 22)
	if _, err := s.app.Access.Revoke(t.Context(), caller("carol"), id); err != nil {
		t.Fatal(err)
	}
	s.clock.Set(noon.Add(20 * time.Minute))
	p := s.get("report")
	p.holds(t, `from <time datetime="2026-11-16T12:20:00Z">`, `href="/api/portal/requests/`+id+`"`, `href="/api/portal/requests/`+other+`"`, `data-label="By">carol@example.com`, "somebody ended it early", "until <time")
	_, rows, _ := strings.Cut(p.text, "<tbody>")
	if n := strings.Count(rows, "<tr>"); n != 3 {
		t.Errorf("%d rows of 3 windows: %s", n, rows)
	}
	for _, want := range []string{`data-label="Asked"><time datetime="2026-11-23T12:00:00Z"`, `data-label="Opened"><time datetime="2026-11-23T12:00:00Z"`, `data-label="Closed"><time datetime="2026-11-23T12:10:00Z"`} {
		if strings.Count(rows, want) != 2 {
			t.Errorf("not both windows of one request say %s: %s", want, rows)
		}
	}
	s.get("report?who=BOB").lacks(t, "her logs")
	s.get("report?vm=app").holds(t, "No window was asked for")
	s.get("report?to=2026-11-23T12:05").lacks(t, "his logs")
	if p := s.get("report?from=2026-11-24T12:00&to=2026-11-23T12:00"); p.status != http.StatusBadRequest {
		t.Errorf("an end before the beginning: %d", p.status)
	}
	csv := s.get("report?format=csv&who=ali")
	lines := strings.Split(strings.TrimSpace(csv.text), "\r\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "requestor,") || !strings.Contains(lines[1], ",2026-11-23T12:00:00Z,2026-11-23T12:00:00Z,2026-11-23T12:10:00Z,2026-11-23T12:10:00Z,carol@example.com,somebody ended it early,'=her logs,"+id+",/api/portal/requests/"+id) {
		t.Errorf("%s", csv.text)
	}
}

// TestReportOfWhatBeginsLater: what was asked for days before it began has its opening and its closing in the report of the day on which it was asked for, and
// nothing is said to have never opened that only waits.
func TestReportOfWhatBeginsLater(t *testing.T) {
	s := newSite(t)
	s.enable()
	ask := jit.Request{Justification: "move the disk", Opens: noon.AddDate(0, 0, 9), VMs: []jit.RequestVM{{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}
	rec, _, err := s.app.Access.Request(t.Context(), caller("alice"), ask, "")
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Set(noon.Add(time.Hour))
	p := s.get("report")
	p.holds(t, "move the disk", ">not yet<")
	p.lacks(t, ">never<")
	s.clock.Set(ask.Opens)
	if rec, err = s.app.Desk.Release(t.Context(), s.grant(rec.Grant.ID)); err == nil {
		rec, err = s.app.Desk.Open(t.Context(), rec)
	}
	if err != nil || rec.Grant.Status() != jit.Initiated {
		t.Fatal(rec.Grant.Status(), err)
	}
	s.clock.Set(ask.Opens.Add(10 * time.Minute))
	if _, err := s.app.Access.Revoke(t.Context(), caller("alice"), rec.Grant.ID); err != nil {
		t.Fatal(err)
	}
	s.get("report?to=2026-11-23T13:00").holds(t, "move the disk", `data-label="Opened"><time datetime="2026-12-02T12:00:00Z"`, `data-label="Closed"><time datetime="2026-12-02T12:10:00Z"`, `data-label="By">alice@example.com`)
}
