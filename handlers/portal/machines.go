package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/chart"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// machinesView is the list of machines.
type machinesView struct {
	Now        time.Time
	Tabs       []show.Tab
	State      inventory.MachineState
	Rows       []machineRow
	Columns    []show.Column
	Query      inventory.MachineQuery
	Groups     []string
	Subs       []string
	Filtered   bool
	Here       string // link to this very list
	First      string // link to the first page, "" on it
	Next       string // link to the next page, "" at the end
	Incomplete []incomplete
	Cut        bool // there were more requests than are counted
	Open       openView
	Sweep      sweepView
	May        offered // what may be done with some row
	Lacks      string  // the permission that is missing to do what the tab is for with any row, "" for none
}

type incomplete struct{ Subscription, Why string }

// machineRow is one machine in the list.
type machineRow struct {
	inventory.MachineView
	ID       string
	May      offered
	Demanded []string // what requests must meet, beside ports and times
	Reason   string
	Advice   string
	Findings []show.Finding // those that need somebody
	Firewall bool
}

// sweepView is the last sweep in a line.
type sweepView struct {
	Ran       bool
	Completed time.Time // zero where no sweep has come to everything
	Bad       int       // findings that need somebody
	Doubtful  bool      // there may be more to find
}

// machines draws the list: GET /api/portal/.
func (s *server) machines(w http.ResponseWriter, c call) error {
	q := show.ReadList(c.URL.Query())
	page, err := s.App.Inventory.Machines(c.Context(), c.who, q)
	if err != nil {
		return err
	}
	view := machinesView{Now: c.now, Here: show.ListLink(q), State: q.State, Query: q, Groups: page.ResourceGroups, Subs: page.Subscriptions, Cut: page.RequestsCut,
		Filtered: q.Text != "" || q.ResourceGroup != "" || q.Subscription != ""}
	view.Tabs = show.TabsOf(q, page.Counts)
	view.Columns = show.ColumnsOf(q)
	for _, m := range page.Machines {
		row, err := s.rowOf(c, m)
		if err != nil {
			return err
		}
		view.Rows = append(view.Rows, row)
		view.May.Request, view.May.Configure = view.May.Request || row.May.Request, view.May.Configure || row.May.Configure
	}
	if view.Lacks, err = s.lacking(c, view); err != nil {
		return err
	}
	if q.Cursor != "" {
		first := q
		first.Cursor = ""
		view.First = show.ListLink(first)
	}
	if page.Next != "" {
		next := q
		next.Cursor = page.Next
		view.Next = show.ListLink(next)
	}
	for sub, why := range page.Incomplete {
		view.Incomplete = append(view.Incomplete, incomplete{sub, why})
	}
	slices.SortFunc(view.Incomplete, func(a, b incomplete) int { return cmp.Compare(a.Subscription, b.Subscription) })
	if view.Open, err = s.open(c); err != nil {
		return err
	}
	if view.Sweep, err = s.sweep(c); err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "machines", "Just-in-time VM access", view)
	return nil
}

// lacking gives what is missing to do what the tab is for, where no row offers it.
func (s *server) lacking(c call, view machinesView) (string, error) {
	switch {
	case len(view.Rows) == 0 || view.State == inventory.MachineUnsupported:
		return "", nil
	case view.State == inventory.MachineConfigured && !view.May.Request:
		return s.lacks(c, permit.VerbRequest, view.Rows[0].VM)
	case view.State == inventory.MachineNotConfigured && !view.May.Configure:
		return s.lacks(c, permit.VerbEnable, view.Rows[0].VM)
	}
	return "", nil
}

func (s *server) rowOf(c call, m inventory.MachineView) (machineRow, error) {
	r := machineRow{MachineView: m, ID: m.VM.String(), Firewall: m.Connect == inventory.ConnectionFirewall, Demanded: words.Demanded(m.InForce)}
	var err error
	if r.May, err = s.offers(c, m); err != nil {
		return r, err
	}
	if m.State == inventory.MachineUnsupported {
		r.Reason, r.Advice = words.Unsupported(m.Reason)
	}
	for _, f := range m.Findings {
		if v := show.FindingOf(f); v.Level != "note" {
			r.Findings = append(r.Findings, v)
		}
	}
	return r, nil
}

// sweep gives the last sweep in a line.
func (s *server) sweep(c call) (sweepView, error) {
	rec, err := s.App.Inventory.LastSweep(c.Context(), c.who)
	if err != nil {
		return sweepView{}, err
	}
	view := sweepView{Ran: rec.Ran, Completed: rec.Completed, Doubtful: len(rec.Warnings) > 0}
	for _, f := range rec.Findings {
		if words.OfFinding(f.Kind).Level != "note" {
			view.Bad++
		}
	}
	return view, nil
}

// openView is the windows that are open now.
type openView struct {
	Grants []show.Grant
	Busy   bool // some are opening or closing: look again soon
	More   bool
	Stamp  string // of all the above
}

const openLimit = 20

// openNow draws the windows that are open now: GET /api/portal/open.
func (s *server) openNow(w http.ResponseWriter, c call) error {
	view, err := s.open(c)
	if err != nil {
		return err
	}
	c.unchanged(w, view.Stamp)
	s.render(w, c, http.StatusOK, "open", "Open now", view)
	return nil
}

// open gives the grants that may be open, the caller's own first, the next to end first.
func (s *server) open(c call) (openView, error) {
	var view openView
	for _, status := range []jit.Status{jit.Initiating, jit.Initiated} {
		grants, next, err := s.App.Inventory.ListGrants(c.Context(), c.who, store.GrantFilter{Status: status.String()}, "", openLimit)
		if err != nil {
			return view, err
		}
		view.More = view.More || next != ""
		for _, g := range grants {
			rec, err := s.App.Access.Find(c.Context(), c.who, g.ID)
			if err != nil {
				return view, err
			}
			shown := show.GrantOf(rec, c.who, c.now)
			if err := s.offersOf(c, &shown, rec.Grant); err != nil {
				return view, err
			}
			view.Grants = append(view.Grants, shown)
		}
	}
	slices.SortStableFunc(view.Grants, func(a, b show.Grant) int {
		if a.Own != b.Own {
			return map[bool]int{true: -1, false: 1}[a.Own]
		}
		return a.End.Compare(b.End)
	})
	for _, g := range view.Grants {
		view.Busy = view.Busy || g.Busy
	}
	view.Stamp = stampOf(view)
	return view, nil
}

// machineView is one machine in full.
type machineView struct {
	Row      machineRow
	Targets  []string
	Entries  []show.Entry
	Chart    chart.Chart
	Activity string // link to the whole log of the machine
}

// find gives one machine that the caller may read, or refuses.
func (s *server) find(c call, vm jit.ID) (inventory.MachineView, error) {
	page, err := s.App.Inventory.Machines(c.Context(), c.who, inventory.MachineQuery{VM: vm.Key(), Limit: 1})
	if err != nil {
		return inventory.MachineView{}, err
	}
	if len(page.Machines) == 0 {
		return inventory.MachineView{}, &jit.Error{Code: network.CodeVMNotFound, Message: vm.Name + " was not found, or you may not read it"}
	}
	return page.Machines[0], nil
}

// machine draws one machine: GET /api/portal/machine?vm=ID.
func (s *server) machine(w http.ResponseWriter, c call) error {
	// Any id: what is unsupported, a classic machine too, can be looked at.
	id, err := jit.ParseID(c.URL.Query().Get("vm"))
	if err != nil {
		return err
	}
	m, err := s.find(c, id)
	if err != nil {
		return err
	}
	row, err := s.rowOf(c, m)
	if err != nil {
		return err
	}
	view := machineView{Row: row, Activity: show.Link("activity", "vm", m.VM.String())}
	for _, t := range m.Targets {
		view.Targets = append(view.Targets, t.Name+" ("+words.Kind(t)+")")
	}
	entries, _, err := s.App.Inventory.Entries(c.Context(), c.who, store.EntryFilter{VM: m.VM.Key()}, "", 12)
	if err != nil {
		return err
	}
	view.Entries = show.EntriesOf(entries)
	if view.Chart, err = s.chart(c, m.VM, day); err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "machine", m.VM.Name, view)
	return nil
}
