package portal

import (
	"net/http"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/audit"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// reportView is one row for each window of a time.
type reportView struct {
	Who, VM, From, To string // as they were typed
	Since, Until      time.Time
	Rows              []audit.Window
	Cut               bool // there are more
	CSV               string
	Wrong             form.Wrongs
}

// What one report reads at most, in pages of 1,000.
const (
	reportGrants  = 2  // pages of requests
	reportEntries = 10 // pages of the log, of each operation
	reportPage    = 1000
)

// report draws one row for each window that was asked for in a time, or writes them as CSV: GET /api/portal/report?from=&to=&who=&vm=&format=csv.
func (s *server) report(w http.ResponseWriter, c call) error {
	q := c.URL.Query()
	view := reportView{Who: strings.TrimSpace(q.Get("who")), VM: strings.TrimSpace(q.Get("vm")), From: q.Get("from"), To: q.Get("to"), Wrong: form.Wrongs{}}
	var err error
	if view.Since, err = words.ReadTime(view.From); err != nil {
		view.Wrong.Put("from", err)
	}
	if view.Until, err = words.ReadTime(view.To); err != nil {
		view.Wrong.Put("to", err)
	}
	if view.Until.IsZero() {
		view.Until = c.now
	}
	if view.Since.IsZero() {
		view.Since = view.Until.Add(-week)
	}
	if !view.Wrong.Any() && !view.Since.Before(view.Until) {
		view.Wrong.Put("to", &jit.Error{Message: "this is not after the time that it begins with"})
	}
	view.CSV = show.Link("report", "who", view.Who, "vm", view.VM, "from", view.From, "to", view.To, "format", "csv")
	if view.Wrong.Any() {
		s.render(w, c, http.StatusBadRequest, "report", "Report", view)
		return nil
	}
	if err := s.windowsOf(c, &view); err != nil {
		return err
	}
	if q.Get("format") == "csv" {
		download(w, "portcullis-windows", c.now)
		return audit.WriteWindows(w, view.Rows, view.Cut, func(id string) string { return show.Link("requests/" + id) })
	}
	s.render(w, c, http.StatusOK, "report", "Report", view)
	return nil
}

// windowsOf reads the windows of a report, and what the log tells of them: no window is longer than the longest maximum, and its closing is logged soon after.
func (s *server) windowsOf(c call, view *reportView) error {
	list := func(cursor string) ([]jit.Grant, string, error) {
		return s.App.Inventory.ListGrants(c.Context(), c.who, store.GrantFilter{From: view.Since, To: view.Until}, cursor, reportPage)
	}
	grants, more, err := pagesOf(reportGrants, list)
	if err != nil {
		return err
	}
	view.Cut = more
	var log []store.Entry
	for _, op := range audit.Operations() {
		f := store.EntryFilter{Operation: op, From: view.Since, To: view.Until.Add(2 * jit.MaxMaximum)}
		entries, more, err := pagesOf(reportEntries, func(cursor string) ([]store.Entry, string, error) {
			return s.App.Inventory.Entries(c.Context(), c.who, f, cursor, reportPage)
		})
		if err != nil {
			return err
		}
		view.Cut = view.Cut || more
		log = append(log, entries...)
	}
	view.Rows = audit.Filter{Who: view.Who, Machine: view.VM}.Windows(grants, log, c.now)
	return nil
}

// pagesOf reads pages of a list, and whether there are more than these.
func pagesOf[T any](most int, list func(cursor string) ([]T, string, error)) ([]T, bool, error) {
	var out []T
	cursor := ""
	for range most {
		page, next, err := list(cursor)
		if err != nil {
			return nil, false, err
		}
		out = append(out, page...)
		if cursor = next; next == "" {
			return out, false, nil
		}
	}
	return out, true, nil
}
