package portal

import (
	"net/http"

	"portcullis/handlers/portal/audit"
	"portcullis/handlers/portal/show"
)

// report draws one row for each window that was asked for in a time, or writes them as CSV: GET /api/portal/report?from=&to=&who=&vm=&format=csv.
func (s *server) report(w http.ResponseWriter, c call) error {
	q := c.URL.Query()
	view, err := audit.Past{Inventory: s.App.Inventory}.Report(c.Context(), c.who, q, c.now)
	switch {
	case err != nil:
		return err
	case view.Wrong.Any():
		s.render(w, c, http.StatusBadRequest, "report", "Report", view)
		return nil
	case q.Get("format") == "csv":
		download(w, "portcullis-windows", c.now)
		return audit.WriteWindows(w, view.Rows, view.Cut, func(id string) string { return show.Link("requests/" + id) })
	}
	s.render(w, c, http.StatusOK, "report", "Report", view)
	return nil
}
