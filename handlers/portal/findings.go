package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"portcullis/core/store"
	"portcullis/handlers/portal/words"
)

// findingsView is what the last sweep found.
type findingsView struct {
	Ran       bool
	Counted   bool // the counts and the error are the caller's to see
	Ended     time.Time
	Completed time.Time
	Targets   int
	Changed   int
	Closed    int
	Error     string
	Warnings  []string // why there may be more to find
	Rows      []findingView
}

// findingView is a finding in plain words.
type findingView struct {
	words.Finding
	Message string
	VM      string // its name
	VMID    string
	Since   time.Time
}

func findingOf(f store.Finding) findingView {
	v := findingView{Finding: words.OfFinding(f.Kind), Message: words.Sentence(f.Message), Since: f.Since}
	if !f.VM.IsZero() {
		v.VM, v.VMID = f.VM.Name, f.VM.String()
	}
	return v
}

// findings draws the last sweep: GET /api/portal/findings.
func (s *server) findings(w http.ResponseWriter, c call) error {
	rec, err := s.App.Inventory.LastSweep(c.Context(), c.who)
	if err != nil {
		return err
	}
	view := findingsView{Ran: rec.Ran, Counted: rec.Counted, Ended: rec.Ended, Completed: rec.Completed, Targets: rec.Targets, Changed: rec.Changed, Closed: rec.Closed, Error: words.Sentence(rec.Error)}
	for _, warning := range rec.Warnings {
		view.Warnings = append(view.Warnings, words.Sentence(warning))
	}
	for _, f := range rec.Findings {
		view.Rows = append(view.Rows, findingOf(f))
	}
	rank := map[string]int{"bad": 0, "warn": 1, "note": 2}
	slices.SortStableFunc(view.Rows, func(a, b findingView) int { return cmp.Compare(rank[a.Level], rank[b.Level]) })
	s.render(w, c, http.StatusOK, "findings", "Findings", view)
	return nil
}
