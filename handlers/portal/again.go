package portal

import (
	"net/http"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
)

// again asks once more for what an earlier request of the caller asked for, from where he is now: POST /api/portal/requests/{id}/again. Where the policies of
// today do not allow it, or it takes the place of something, the form is drawn, filled in with it.
func (s *server) again(w http.ResponseWriter, c call) error {
	id, err := grantID(c)
	if err != nil {
		return err
	}
	view, from := requestView{Drawn: true}, jit.Sources{} // none where the address is not known: then the request is refused
	if own, known := s.OwnAddress(c.Request); known {
		view.Proxy, from = own.String(), jit.SourcesOf(netip.PrefixFrom(own, own.BitLen()))
	}
	asked, err := s.App.Access.Again(c.Context(), c.who, id, from, false)
	if err != nil {
		return err
	}
	vms := asked.Machines()
	policies, err := s.policies(c, vms)
	if err != nil {
		return err
	}
	view.Request = form.Again(view.Proxy, asked, policies)
	return s.send(w, c, view, vms, policies, asked)
}

// lastView is what the caller asked for last.
type lastView struct{ Requests []show.Last }

// How far back last looks, through how many requests, and how many it shows.
const (
	lastDays    = 7
	lastThrough = 20
	lastShown   = 3
)

// last draws what the caller asked for last and can ask for again, each of it once: GET /api/portal/last.
func (s *server) last(w http.ResponseWriter, c call) error {
	grants, _, err := s.App.Inventory.ListGrants(c.Context(), c.who, store.GrantFilter{Object: c.who.Actor().Object, Status: jit.Revoked.String(), From: c.now.AddDate(0, 0, -lastDays)}, "", lastThrough)
	if err != nil {
		return err
	}
	var view lastView
	for _, g := range grants {
		r, known := show.LastOf(g)
		same := func(o show.Last) bool { return o.Why == r.Why && slices.Equal(o.Ports, r.Ports) }
		if !known || len(view.Requests) == lastShown || slices.ContainsFunc(view.Requests, same) {
			continue
		}
		may, err := s.may(c, permit.VerbRequest, g.Machines()...)
		if err != nil {
			return err
		}
		if may && g.SameRequestor(c.who.ID, c.who.Name) {
			view.Requests = append(view.Requests, r)
		}
	}
	s.render(w, c, http.StatusOK, "last", "Your last requests", view)
	return nil
}
