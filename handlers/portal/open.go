package portal

import (
	"net/http"
	"slices"

	"portcullis/core/store"
	"portcullis/handlers/portal/show"
)

// openView is the windows that are open now, and the requests that wait to be opened.
type openView struct {
	show.Now
	Busy        bool         // some are opening or closing: look again soon
	Waiting     []show.Grant // at most waitingLimit
	MoreWaiting int          // that wait beside Waiting
	Stamp       string       // of all of them
}

const waitingLimit = 20

// openNow draws the windows that are open now, and with them the rows of the list that the query names where
// anything has changed since it was drawn: GET /api/portal/open. As a page of its own it holds those of others, too.
func (s *server) openNow(w http.ResponseWriter, c call) error {
	open, err := s.App.Inventory.OpenNow(c.Context(), c.who)
	if err != nil {
		return err
	}
	view := machinesView{Open: s.glance(c, open)}
	c.unchanged(w, view.Open.Stamp)
	switch {
	case !c.partly():
		err = s.offersIn(c, &view.Open, open)
	case c.URL.Query().Get("shown") != view.Open.Stamp:
		view, err = s.list(c)
		view.Again = true
	}
	if err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "open", "Open now", view)
	return nil
}

// everyone reports whether the windows of others are asked for separately: by the page of what is open, or by its button on another.
func (c call) everyone() bool {
	return c.URL.Query().Get("others") == "shown" || c.Pattern == "GET /open" && !c.partly()
}

// openOf gives grants that are not closed as they are shown, the caller's own first, the next to end first.
func (s *server) openOf(c call, open []store.GrantRecord) (openView, error) {
	view := s.glance(c, open)
	return view, s.offersIn(c, &view, open)
}

// glance gives them without what is offered, which takes reads for every request that waits: every browser looks every few seconds whether anything is new.
func (s *server) glance(c call, open []store.GrantRecord) openView {
	var view openView
	var waiting, grants []show.Grant
	for _, rec := range open {
		shown := show.GrantOf(rec, c.who, c.now)
		if view.Busy = view.Busy || shown.Busy; shown.Waits != "" {
			waiting = append(waiting, shown)
		} else {
			grants = append(grants, shown)
		}
	}
	view.Now = show.NowOf(grants, c.everyone())
	view.Waiting, view.MoreWaiting = first(waiting)
	view.Stamp = stampOf([]any{waiting, grants, view.Now, view.Waiting})
	return view
}

// offersIn notes what the caller may do with each of the grants that are drawn.
func (s *server) offersIn(c call, view *openView, open []store.GrantRecord) error {
	byID := map[string]store.GrantRecord{}
	for _, rec := range open {
		byID[rec.Grant.ID] = rec
	}
	for _, list := range [][]show.Grant{view.Grants, view.Waiting} {
		for i := range list {
			if err := s.offersOf(c, &list[i], byID[list[i].ID].Grant); err != nil {
				return err
			}
		}
	}
	return nil
}

// first gives the requests that are shown of those that wait, and how many more there are.
func first(waiting []show.Grant) ([]show.Grant, int) {
	slices.SortStableFunc(waiting, show.NextFirst)
	n := min(len(waiting), waitingLimit)
	return waiting[:n], len(waiting) - n
}
