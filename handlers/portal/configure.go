package portal

import (
	"net/http"
	"slices"
	"strings"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/store"
	"portcullis/handlers/portal/ending"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/second"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// configureView is the form that protects machines.
type configureView struct {
	form.Policy
	VMs []configureVM
	// Firewalled says that a firewall stands in front of one of them, or that they were sent with
	// what is asked for then: the address and ports at which it is dialled.
	Firewalled bool
	Lacks      string // the permission to save that somebody lacks, "" for none
	New        bool   // none of them is protected so far
	Changes    show.Changes
	Saved      bool
	List       string // link to the list that it came from
	Stale      bool   // somebody else has changed a policy since the form was drawn
}

type configureVM struct {
	Name, ID, Group string
	Configured      bool
	Key             string
	Seen            string // the entity tag of the policy as it was when the form was drawn; "" if it was not shown
	is              string // that of the policy as it is now
}

// configureForm draws the form for the machines that a link names: GET /api/portal/configure.
func (s *server) configureForm(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	view, policies, err := s.configuring(c, vms)
	if err != nil {
		return err
	}
	view.New = len(policies) == 0
	view.Policy = form.FormOf(vms, policies, s.App.Floor)
	view.unread()
	view.Changes = s.preview(c, vms, &view)
	s.render(w, c, http.StatusOK, "configure", "Configure", view)
	return nil
}

// configuring returns the form but for what was typed, and the policies that its machines have.
func (s *server) configuring(c call, vms []jit.ID) (configureView, map[string]jit.Policy, error) {
	view := configureView{List: show.ListAgain(c.PostForm.Get("list"))}
	policies, err := s.policies(c, vms)
	if err != nil {
		return view, nil, err
	}
	if view.Lacks, err = s.lacks(c, permit.VerbEnable, vms...); err != nil {
		return view, nil, err
	}
	if view.Firewalled, err = s.firewalled(c, vms); err != nil {
		return view, nil, err
	}
	for i, vm := range vms {
		p, has := policies[vm.Key()]
		seen := store.PolicyETag(p)
		if !has { // or it is not shown to who may not read it, and the form builds on nothing
			unread, err := s.lacks(c, permit.VerbRead, vm)
			if err != nil {
				return view, nil, err
			}
			if unread != "" {
				seen = ""
			}
		}
		view.VMs = append(view.VMs, configureVM{Name: vm.Name, ID: vm.String(), Group: vm.ResourceGroup, Configured: has, Key: form.MachineField(i), Seen: seen, is: seen})
	}
	return view, policies, nil
}

// mostFirewalled bounds for how many machines of a form it is looked up what stands in front of them.
const mostFirewalled = 20

// firewalled reports whether a firewall stands in front of one of the machines.
func (s *server) firewalled(c call, vms []jit.ID) (bool, error) {
	for _, vm := range vms[:min(len(vms), mostFirewalled)] {
		page, err := s.App.Inventory.Machines(c.Context(), c.who, inventory.MachineQuery{VM: vm.Key(), Limit: 1})
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(page.Machines, func(m inventory.MachineView) bool { return m.Connect == inventory.ConnectionFirewall }) {
			return true, nil
		}
	}
	return false, nil
}

// configure saves, previews, or changes the form's rows: POST /api/portal/configure.
func (s *server) configure(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	intent := c.PostForm.Get("intent")
	if intent == "" {
		return s.configureForm(w, c)
	}
	view, policies, err := s.configuring(c, vms)
	if err != nil {
		return err
	}
	view.New = len(policies) == 0
	view.Policy = form.ReadForm(c.PostForm, vms, policies, s.App.Floor)
	view.unread()
	seen := view.built(vms, c.PostForm["seen"])
	if n, ok := strings.CutPrefix(intent, "remove-"); ok {
		view.RemoveRow(n)
		intent = "edit"
	}
	status := http.StatusOK
	switch intent {
	case "add":
		view.AddRow()
	case "edit":
		view.Changes = s.preview(c, vms, &view)
	case "preview":
		s.render(w, c, http.StatusOK, "changes", "What will change", s.preview(c, vms, &view))
		return nil
	case "save":
		status = s.save(c, vms, &view, seen)
	}
	s.render(w, c, status, "configure", "Configure", view)
	return nil
}

// built keeps in the form which policies it was drawn from, and returns them. A form without them builds
// on nothing, but for one that leaves what it finds as it is.
func (v *configureView) built(vms []jit.ID, tags []string) protect.Seen {
	if len(tags) != len(vms) && v.Bulk == nil {
		return nil
	}
	seen := protect.Seen{}
	for i, vm := range vms {
		if len(tags) == len(vms) {
			v.VMs[i].Seen = tags[i]
		}
		if tag := v.VMs[i].Seen; tag != "" {
			seen[vm.Key()] = []string{tag}
		}
	}
	return seen
}

// unread refuses to leave as it is what nobody has shown.
func (v *configureView) unread() {
	for i, m := range v.VMs {
		if v.Bulk != nil && m.is == "" {
			v.Wrong.Put(form.MachineField(i), &jit.Error{Message: "you may not read the policy of " + m.Name + ", so that it cannot be left as it is: edit it alone"})
		}
	}
}

// preview computes what saving would change, and writes nothing.
func (s *server) preview(c call, vms []jit.ID, v *configureView) show.Changes {
	policies := v.Policies(vms)
	if v.Lacks != "" {
		return show.Changes{Wrong: "What would change is shown to those who may save it."}
	}
	if v.Wrong.Any() {
		return show.Changes{Wrong: "Correct the fields above, and what will change is shown here."}
	}
	enabled, changes, err := s.App.Access.Enable(c.Context(), c.who, policies, true)
	if err != nil {
		_, told := s.Explain(err)
		v.Refused(told, vms)
		return show.Changes{Wrong: words.Sentence(told.Message)}
	}
	return show.ChangesOf(enabled, changes)
}

// save protects the machines and gives the answer's status.
func (s *server) save(c call, vms []jit.ID, v *configureView, seen protect.Seen) int {
	policies := v.Policies(vms)
	if v.Wrong.Any() {
		return http.StatusBadRequest
	}
	enabled, changes, err := s.App.Access.EnableIf(c.Context(), c.who, policies, seen, false)
	if err != nil {
		status, told := s.told(c, err)
		v.Refused(told, vms)
		v.Stale = told.Code == store.CodePrecondition
		if v.Stale { // who saves again has read what has changed
			for i := range v.VMs {
				v.VMs[i].Seen = v.VMs[i].is
			}
		}
		return status
	}
	v.Saved, v.Changes = true, show.ChangesOf(enabled, changes)
	v.Changes.Done = true
	return http.StatusOK
}

// disable ends the protection of machines: POST /api/portal/disable.
func (s *server) disable(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	return s.second(func(sc second.Call) error { return ending.Pages{App: s.App}.Disable(sc, vms) })(w, c)
}
