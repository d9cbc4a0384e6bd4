package portal

import (
	"net/http"
	"slices"

	"portcullis/core/store"
	"portcullis/handlers/portal/show"
)

// openView is the windows that are open now, and the requests that wait to be opened.
type openView struct {
	Grants      []show.Grant // at most openLimit
	Busy        bool         // some are opening or closing: look again soon
	More        int          // that are open beside Grants
	Waiting     []show.Grant // at most openLimit
	MoreWaiting int          // that wait beside Waiting
	Stamp       string       // of all of them
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

// openOf gives grants that are not closed as they are shown, the caller's own first, the next to end first.
func (s *server) openOf(c call, open []store.GrantRecord) (openView, error) {
	var view openView
	var waiting, grants []show.Grant
	byID := map[string]store.GrantRecord{}
	for _, rec := range open {
		byID[rec.Grant.ID] = rec
		shown := show.GrantOf(rec, c.who, c.now)
		if view.Busy = view.Busy || shown.Busy; shown.Waits != "" {
			waiting = append(waiting, shown)
		} else {
			grants = append(grants, shown)
		}
	}
	all := stampOf([]any{waiting, grants})
	view.Grants, view.More = first(grants)
	view.Waiting, view.MoreWaiting = first(waiting)
	for _, list := range [][]show.Grant{view.Grants, view.Waiting} {
		for i := range list {
			if err := s.offersOf(c, &list[i], byID[list[i].ID].Grant); err != nil {
				return view, err
			}
		}
	}
	view.Stamp = stampOf([]any{all, view.Grants, view.Waiting})
	return view, nil
}

// first gives the grants that are shown of a list, and how many more there are.
func first(list []show.Grant) ([]show.Grant, int) {
	slices.SortStableFunc(list, func(a, b show.Grant) int {
		if a.Own != b.Own {
			return map[bool]int{true: -1, false: 1}[a.Own]
		}
		return a.End.Compare(b.End)
	})
	n := min(len(list), openLimit)
	return list[:n], len(list) - n
}
