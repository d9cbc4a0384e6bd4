package portal

import (
	"net/http"
	"slices"

	"portcullis/core/store"
	"portcullis/handlers/portal/show"
)

// openView is the windows that are open now.
type openView struct {
	Grants []show.Grant // at most openLimit
	Busy   bool         // some are opening or closing: look again soon
	More   int          // that are open beside Grants
	Stamp  string       // of all of them
}

const openLimit = 20

// openNow draws the windows that are open now, and with them the rows of the list that the query names where
// anything has changed since it was drawn: GET /api/portal/open.
func (s *server) openNow(w http.ResponseWriter, c call) error {
	open, err := s.App.Inventory.OpenNow(c.Context(), c.who)
	if err != nil {
		return err
	}
	view := machinesView{}
	if view.Open, err = s.openOf(c, open); err != nil {
		return err
	}
	c.unchanged(w, view.Open.Stamp)
	if c.partly() && c.URL.Query().Get("shown") != view.Open.Stamp {
		if view, err = s.list(c); err != nil {
			return err
		}
		view.Again = true
	}
	s.render(w, c, http.StatusOK, "open", "Open now", view)
	return nil
}

// openOf gives grants that may be open as they are shown, the caller's own first, the next to end first.
func (s *server) openOf(c call, open []store.GrantRecord) (openView, error) {
	var view openView
	byID := map[string]store.GrantRecord{}
	for _, rec := range open {
		byID[rec.Grant.ID] = rec
		shown := show.GrantOf(rec, c.who, c.now)
		view.Busy = view.Busy || shown.Busy
		view.Grants = append(view.Grants, shown)
	}
	slices.SortStableFunc(view.Grants, func(a, b show.Grant) int {
		if a.Own != b.Own {
			return map[bool]int{true: -1, false: 1}[a.Own]
		}
		return a.End.Compare(b.End)
	})
	all := stampOf(view.Grants)
	if len(view.Grants) > openLimit {
		view.More = len(view.Grants) - openLimit
		view.Grants = view.Grants[:openLimit]
	}
	for i := range view.Grants {
		if err := s.offersOf(c, &view.Grants[i], byID[view.Grants[i].ID].Grant); err != nil {
			return view, err
		}
	}
	view.Stamp = stampOf([]any{all, view.Grants})
	return view, nil
}
