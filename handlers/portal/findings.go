package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"portcullis/handlers/portal/show"
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
	Rows      []show.Finding
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
		view.Rows = append(view.Rows, show.FindingOf(f))
	}
	rank := map[string]int{"bad": 0, "warn": 1, "note": 2}
	slices.SortStableFunc(view.Rows, func(a, b show.Finding) int { return cmp.Compare(rank[a.Level], rank[b.Level]) })
	s.render(w, c, http.StatusOK, "findings", "Findings", view)
	return nil
}
