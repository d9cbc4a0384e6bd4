package portal

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// activityView is the activity log.
type activityView struct {
	Filter     activityFilter
	Operations []store.Operation
	Rows       []show.Entry
	First      string
	Next       string
	CSV        string
	Filtered   bool
	Wrong      form.Wrongs
}

// activityFilter is the filter as it was typed.
type activityFilter struct{ VM, Requestor, Operation, From, To string }

var operations = []store.Operation{store.OpEnable, store.OpDisable, store.OpRequest, store.OpApprove, store.OpDeny, store.OpOpen, store.OpExtend, store.OpRevoke, store.OpClose, store.OpRepair, store.OpSweep, store.OpLockdown, store.OpLift, store.OpRefusals}

const activityLimit = 50

// activity draws the log: GET /api/portal/activity.
func (s *server) activity(w http.ResponseWriter, c call) error {
	v := c.URL.Query()
	view := activityView{Operations: operations, Wrong: form.Wrongs{},
		Filter: activityFilter{VM: strings.TrimSpace(v.Get("vm")), Requestor: strings.TrimSpace(v.Get("requestor")), Operation: v.Get("operation"), From: v.Get("from"), To: v.Get("to")}}
	view.Filtered = view.Filter != activityFilter{}
	f, err := s.filter(c, view.Filter, view.Wrong)
	if err != nil {
		return err
	}
	csv := url.Values{"format": {"csv"}}
	if !view.Wrong.Any() {
		entries, next, err := s.App.Inventory.Entries(c.Context(), c.who, f, v.Get("cursor"), activityLimit)
		if err != nil {
			return err
		}
		view.Rows = show.EntriesOf(entries)
		params := []string{"vm", view.Filter.VM, "requestor", view.Filter.Requestor, "operation", view.Filter.Operation, "from", view.Filter.From, "to", view.Filter.To}
		if next != "" {
			view.Next = show.Link("activity", append(params, "cursor", next)...)
		}
		if v.Get("cursor") != "" {
			view.First = show.Link("activity", params...)
		}
		for name, value := range map[string]string{"vm": f.VM, "requestor": f.Requestor, "requestorObjectId": f.Object, "operation": string(f.Operation), "from": instant(f.From), "to": instant(f.To)} {
			if value != "" {
				csv.Set(name, value)
			}
		}
	}
	view.CSV = "/api/activity?" + csv.Encode()
	status := http.StatusOK
	if view.Wrong.Any() {
		status = http.StatusBadRequest
	}
	s.render(w, c, status, "activity", "Activity", view)
	return nil
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// filter reads the filter. What is wrong with it stands in wrong, by field.
func (s *server) filter(c call, typed activityFilter, wrong form.Wrongs) (store.EntryFilter, error) {
	f := store.EntryFilter{Requestor: typed.Requestor}
	if jit.ValidGUID(typed.Requestor) { // of a person or an application; nobody is called so but who has no name
		f = store.EntryFilter{Object: strings.ToLower(typed.Requestor)}
	}
	if op := store.Operation(typed.Operation); op == "" || slices.Contains(operations, op) {
		f.Operation = op
	} else {
		wrong.Put("operation", &jit.Error{Message: fmt.Sprintf("%.40q is not an operation; choose one of the list", typed.Operation)})
	}
	var err error
	if f.From, err = words.ReadTime(typed.From); err != nil {
		wrong.Put("from", err)
	}
	if f.To, err = words.ReadTime(typed.To); err != nil {
		wrong.Put("to", err)
	}
	if typed.VM == "" {
		return f, nil
	}
	vm, err := s.named(c, typed.VM, wrong)
	f.VM = vm
	return f, err
}

// named gives the key of the machine with an id or a name.
func (s *server) named(c call, text string, wrong form.Wrongs) (string, error) {
	if strings.HasPrefix(text, "/") {
		id, err := jit.ParseVM(text)
		wrong.Put("vm", err)
		return id.Key(), nil
	}
	page, err := s.App.Inventory.Machines(c.Context(), c.who, inventory.MachineQuery{Text: text, Limit: 1000})
	if err != nil {
		return "", err
	}
	var keys []string
	for _, m := range page.Machines {
		if strings.EqualFold(m.VM.Name, text) {
			keys = append(keys, m.VM.Key())
		}
	}
	switch len(keys) {
	case 0:
		wrong.Put("vm", &jit.Error{Message: "no machine that you may read has this name; paste its id where it no longer exists"})
		return "", nil
	case 1:
		return keys[0], nil
	}
	wrong.Put("vm", &jit.Error{Message: "several machines have this name; open one in the list and follow its activity"})
	return "", nil
}
