package portal

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/audit"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// activityView is the activity log.
type activityView struct {
	Filter     activityFilter
	Operations []store.Operation
	Rows       []show.Entry
	Looked     int // lines of the log that were looked through
	First      string
	Next       string
	CSV        string
	Filtered   bool
	Wrong      form.Wrongs
}

// activityFilter is the filter as it was typed.
type activityFilter struct{ VM, Requestor, Operation, From, To, Sweeps string }

// link gives the address of the page with the filter and more.
func (f activityFilter) link(more ...string) string {
	return show.Link("activity", append([]string{"vm", f.VM, "requestor", f.Requestor, "operation", f.Operation, "from", f.From, "to", f.To, "sweeps", f.Sweeps}, more...)...)
}

var operations = []store.Operation{store.OpEnable, store.OpDisable, store.OpRequest, store.OpApprove, store.OpDeny, store.OpOpen, store.OpExtend, store.OpRevoke, store.OpClose, store.OpRepair, store.OpSweep, store.OpLockdown, store.OpLift, store.OpRefusals}

// What one download is read in: pages of the log, as many reads of them as [audit.Filter.Read] makes, and no more of these.
const (
	downloadPage  = 1000
	downloadReads = 20
)

// activity draws the log, or writes it as CSV: GET /api/portal/activity.
func (s *server) activity(w http.ResponseWriter, c call) error {
	v := c.URL.Query()
	view := activityView{Operations: operations, Wrong: form.Wrongs{}, Filter: activityFilter{VM: strings.TrimSpace(v.Get("vm")), Requestor: strings.TrimSpace(v.Get("requestor")),
		Operation: v.Get("operation"), From: v.Get("from"), To: v.Get("to"), Sweeps: v.Get("sweeps")}}
	view.Filtered = view.Filter != activityFilter{}
	view.CSV = view.Filter.link("format", "csv")
	stored, parts := s.filter(view.Filter, view.Wrong)
	if view.Wrong.Any() {
		s.render(w, c, http.StatusBadRequest, "activity", "Activity", view)
		return nil
	}
	csv, size := v.Get("format") == "csv", audit.PageSize
	if csv {
		size = downloadPage
	}
	read := func(cursor string) ([]store.Entry, string, error) {
		return s.App.Inventory.Entries(c.Context(), c.who, stored, cursor, size)
	}
	page, err := parts.Read(v.Get("cursor"), read)
	if err != nil {
		return err
	}
	if csv {
		all := page.Entries
		for n := 1; n < downloadReads && page.Next != ""; n++ {
			if page, err = parts.Read(page.Next, read); err != nil {
				return err
			}
			all = append(all, page.Entries...)
		}
		download(w, "portcullis-activity", c.now)
		return audit.WriteEntries(w, all, page.Next != "")
	}
	view.Rows, view.Looked = show.EntriesOf(page.Entries), page.Looked
	if page.Next != "" {
		view.Next = view.Filter.link("cursor", page.Next)
	}
	if v.Get("cursor") != "" {
		view.First = view.Filter.link()
	}
	s.render(w, c, http.StatusOK, "activity", "Activity", view)
	return nil
}

// filter reads the filter: what the log is asked for, and the parts of names that are looked for in its answer. What is wrong with it stands in wrong, by field.
func (s *server) filter(typed activityFilter, wrong form.Wrongs) (store.EntryFilter, audit.Filter) {
	var f store.EntryFilter
	parts := audit.Filter{Who: typed.Requestor, Machine: typed.VM}
	if jit.ValidGUID(typed.Requestor) { // of a person or an application; nobody is called so but who has no name
		f.Object, parts.Who = strings.ToLower(typed.Requestor), ""
	}
	if strings.HasPrefix(typed.VM, "/") {
		id, err := jit.ParseVM(typed.VM)
		wrong.Put("vm", err)
		f.VM, parts.Machine = id.Key(), ""
	}
	if op := store.Operation(typed.Operation); op == "" || slices.Contains(operations, op) {
		f.Operation = op
	} else {
		wrong.Put("operation", &jit.Error{Message: fmt.Sprintf("%.40q is not an operation; choose one of the list", typed.Operation)})
	}
	parts.Sweeps = typed.Sweeps != "" || f.Operation == store.OpSweep
	var err error
	if f.From, err = words.ReadTime(typed.From); err != nil {
		wrong.Put("from", err)
	}
	if f.To, err = words.ReadTime(typed.To); err != nil {
		wrong.Put("to", err)
	}
	return f, parts
}
