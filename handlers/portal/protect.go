package portal

import (
	"net/http"
	"slices"
	"strconv"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/store"
	"portcullis/handlers/portal/found"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// protectForm draws the form that adds the ports of a cause to the policies of its machines: GET /api/portal/protect?cause=ID.
func (s *server) protectForm(w http.ResponseWriter, c call) error {
	rec, err := s.App.Inventory.LastSweep(c.Context(), c.who)
	if err != nil {
		return err
	}
	causes := found.ByCause(rec.Findings)
	i := slices.IndexFunc(causes, func(x found.Cause) bool { return x.ID == c.URL.Query().Get("cause") && x.Adds })
	if i < 0 {
		return &jit.Error{Code: "NotFound", Message: "the last sweep did not find this; look at the findings again"}
	}
	var vms []jit.ID
	for _, m := range causes[i].Machines {
		id, err := jit.ParseVM(m.ID)
		if err != nil {
			return err
		}
		vms = append(vms, id)
	}
	view, stored, err := s.adding(c, causes[i].ID, causes[i].Ports, vms)
	if err != nil {
		return err
	}
	view.Changes = s.addingChanges(c, &view, stored)
	s.render(w, c, http.StatusOK, "protect", "Add ports to policies", view)
	return nil
}

// adding returns the form for ports of machines, and the policies that it builds on.
func (s *server) adding(c call, cause string, ports []uint16, vms []jit.ID) (found.Adding, []jit.Policy, error) {
	more := max(0, len(vms)-jit.MaxVMs)
	vms = vms[:len(vms)-more]
	all, err := s.policies(c, vms)
	if err != nil {
		return found.Adding{}, nil, err
	}
	var stored []jit.Policy
	lacks := ""
	for _, vm := range vms {
		p, has := all[vm.Key()]
		missing, err := s.lacks(c, permit.VerbEnable, vm)
		if err != nil {
			return found.Adding{}, nil, err
		}
		if missing != "" {
			lacks = missing
		} else if has {
			stored = append(stored, p)
		}
	}
	view := found.AddingOf(cause, ports, stored)
	view.Left, view.More, view.Lacks = len(vms)-len(stored), more, lacks
	return view, stored, nil
}

// protect adds the ports, or previews that: POST /api/portal/protect. It goes by what is sent, since the next sweep may find other things.
func (s *server) protect(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	var ports []uint16
	for _, text := range c.PostForm["offer"] {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || len(ports) == jit.MaxPorts {
			return &jit.Error{Code: "InvalidRequestContent", Message: "the form names a port that is none, or too many; open it anew from the findings"}
		}
		ports = append(ports, uint16(n))
	}
	view, stored, err := s.adding(c, c.PostForm.Get("cause"), ports, vms)
	if err != nil {
		return err
	}
	view.Read(c.PostForm)
	if c.PostForm.Get("intent") == "preview" {
		s.render(w, c, http.StatusOK, "changes", "What will change", s.addingChanges(c, &view, stored))
		return nil
	}
	status := http.StatusOK
	if c.PostForm.Get("intent") == "save" {
		status = s.saveAdding(c, &view, stored)
	} else {
		view.Changes = s.addingChanges(c, &view, stored)
	}
	s.render(w, c, status, "protect", "Add ports to policies", view)
	return nil
}

// addingChanges computes what saving would change, and writes nothing.
func (s *server) addingChanges(c call, v *found.Adding, stored []jit.Policy) show.Changes {
	policies := v.Policies(stored)
	switch {
	case len(policies) == 0:
		return show.Changes{Wrong: "There is no policy here that you may change."}
	case v.Wrong.Any():
		return show.Changes{Wrong: "Correct the fields above, and what will change is shown here."}
	}
	enabled, changes, err := s.App.Access.Enable(c.Context(), c.who, policies, true)
	if err != nil {
		_, told := s.Explain(err)
		return show.Changes{Wrong: words.Sentence(told.Message)}
	}
	return show.ChangesOf(enabled, changes)
}

// saveAdding saves and gives the answer's status.
func (s *server) saveAdding(c call, v *found.Adding, stored []jit.Policy) int {
	policies := v.Policies(stored)
	if v.Wrong.Any() {
		return http.StatusBadRequest
	}
	seen := protect.Seen{}
	for i, p := range stored {
		seen[p.VM.Key()] = []string{v.VMs[i].Seen}
	}
	enabled, changes, err := s.App.Access.EnableIf(c.Context(), c.who, policies, seen, false)
	if err != nil {
		status, told := s.told(c, err)
		v.Wrong.Put("", told)
		v.Stale = told.Code == store.CodePrecondition
		for i, p := range stored { // who saves again has read what has changed
			v.VMs[i].Seen = store.PolicyETag(p)
		}
		return status
	}
	v.Saved, v.Changes = true, show.ChangesOf(enabled, changes)
	v.Changes.Done = true
	return http.StatusOK
}
