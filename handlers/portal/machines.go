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
	"portcullis/handlers/portal/found"
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
	Place      show.Place
	Incomplete []incomplete
	Cut        bool // there were more requests than are counted
	Open       openView
	Sweep      sweepView
	Again      bool    // the rows are drawn again, beside what is open
	May        offered // what may be done with some row
	MayLock    bool    // a whole subscription may be locked down
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
	Windows  []show.Window  // what is open, opening or closing
	Firewall bool
}

// sweepView is the last sweep in a line.
type sweepView struct {
	Ran       bool
	Completed time.Time // zero where no sweep has come to everything
	Mine      int       // causes of findings that need who looks
	Others    int       // and that need somebody else
	Doubtful  bool      // there may be more to find
}

// machines draws the list: GET /api/portal/.
func (s *server) machines(w http.ResponseWriter, c call) error {
	view, err := s.list(c)
	if err != nil {
		return err
	}
	if view.Sweep, err = s.sweep(c); err != nil {
		return err
	}
	if view.MayLock, err = s.others().MayLock(c.Context(), c.who); err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "machines", "Just-in-time VM access", view)
	return nil
}

// list reads what the list shows of machines, and what is open: both come from one read.
func (s *server) list(c call) (machinesView, error) {
	q := show.ReadList(c.URL.Query())
	page, err := s.App.Inventory.Machines(c.Context(), c.who, q)
	if err != nil {
		return machinesView{}, err
	}
	view := machinesView{Now: c.now, Here: show.ListLink(q), State: q.State, Query: q, Groups: page.ResourceGroups, Subs: page.Subscriptions, Cut: page.RequestsCut,
		Filtered: q.Text != "" || q.ResourceGroup != "" || q.Subscription != ""}
	view.Tabs = show.TabsOf(q, page.Counts)
	view.Columns = show.ColumnsOf(q)
	for _, m := range page.Machines {
		row, err := s.rowOf(c, m, page.Open)
		if err != nil {
			return machinesView{}, err
		}
		view.Rows = append(view.Rows, row)
		view.May.Request, view.May.Configure, view.May.Disable = view.May.Request || row.May.Request, view.May.Configure || row.May.Configure, view.May.Disable || row.May.Disable
	}
	if view.Lacks, err = s.lacking(c, view); err != nil {
		return machinesView{}, err
	}
	view.Place = show.PlaceOf(q, page)
	for sub, why := range page.Incomplete {
		view.Incomplete = append(view.Incomplete, incomplete{sub, why})
	}
	slices.SortFunc(view.Incomplete, func(a, b incomplete) int { return cmp.Compare(a.Subscription, b.Subscription) })
	view.Open, err = s.openOf(c, page.Open)
	return view, err
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

// rowOf gives a machine as it is shown, with its windows among what is open.
func (s *server) rowOf(c call, m inventory.MachineView, open []store.GrantRecord) (machineRow, error) {
	r := machineRow{MachineView: m, ID: m.VM.String(), Firewall: m.Connect == inventory.ConnectionFirewall, Demanded: words.Demanded(m.InForce), Windows: show.WindowsOf(m.VM, open, c.who, c.now)}
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
	causes, err := s.causes(c, rec.Findings)
	view.Mine, view.Others = found.NeedMe(causes)
	return view, err
}

// machineView is one machine in full.
type machineView struct {
	Row      machineRow
	MayLock  bool
	Targets  []string
	Entries  []show.Entry
	Chart    chart.Chart
	Activity string // link to the whole log of the machine
	Stamp    string // of its state and its windows
}

// find gives one machine that the caller may read with what is open, or refuses.
func (s *server) find(c call, vm jit.ID) (inventory.MachineView, []store.GrantRecord, error) {
	page, err := s.App.Inventory.Machines(c.Context(), c.who, inventory.MachineQuery{VM: vm.Key(), Limit: 1})
	if err != nil {
		return inventory.MachineView{}, nil, err
	}
	if len(page.Machines) == 0 {
		return inventory.MachineView{}, nil, &jit.Error{Code: network.CodeVMNotFound, Message: vm.Name + " was not found, or you may not read it"}
	}
	return page.Machines[0], page.Open, nil
}

// machine draws one machine: GET /api/portal/machine?vm=ID.
func (s *server) machine(w http.ResponseWriter, c call) error {
	// Any id: what is unsupported, a classic machine too, can be looked at.
	id, err := jit.ParseID(c.URL.Query().Get("vm"))
	if err != nil {
		return err
	}
	m, open, err := s.find(c, id)
	if err != nil {
		return err
	}
	row, err := s.rowOf(c, m, open)
	if err != nil {
		return err
	}
	view := machineView{Row: row, Stamp: stampOf([]any{row.State, row.Windows}), Activity: show.Link("activity", "vm", m.VM.String())}
	c.unchanged(w, view.Stamp)
	if view.MayLock, err = s.may(c, permit.VerbLockdown, m.VM); err != nil {
		return err
	}
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
