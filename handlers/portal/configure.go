package portal

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/access"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// configureView is the form that protects machines.
type configureView struct {
	VMs      []configureVM
	Rows     []portRow
	Existing string
	// Firewalled says that a firewall stands in front of one of them, or that they were sent with
	// what is asked for then: the address and ports at which it is dialled.
	Firewalled bool
	PublicIP   string
	Demands    demandsForm
	Lacks      string // the permission to save that somebody lacks, "" for none
	New        bool   // none of them is protected so far
	Mixed      bool   // their policies differ
	Wrong      wrongs
	Changes    changesView
	Saved      bool
}

type configureVM struct {
	Name, ID, Group string
	Configured      bool
	Key             string
}

// portRow is one row of the table of ports, as it was typed.
type portRow struct {
	Index                              int
	Number, Protocol, Sources, Maximum string
	Mapped                             string // the port of the firewall, "" for any
}

// changesView is what saving would change, or has changed.
type changesView struct {
	Computed   bool
	Done       bool
	Targets    []targetChanges
	Overridden []string
	Exposed    []string
	Unguarded  []string
	Wrong      string
}

type targetChanges struct {
	Name, Kind string
	Lines      []changeLine
}

type changeLine struct {
	Sign, Class, Verb string
	Text              string
	Name              string
	Priority          int
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
	for _, vm := range vms {
		p, ok := policies[vm.Key()]
		if !ok {
			continue
		}
		rows := rowsOf(p.Ports)
		switch {
		case view.Rows == nil:
			view.PublicIP = ipText(p.PublicAddress)
			view.Rows, view.Existing, view.Demands = rows, p.ExistingRules.String(), demandsOf(p.OwnOptions(), s.App.Floor)
		case !reflect.DeepEqual(rows, view.Rows) || p.ExistingRules.String() != view.Existing || ipText(p.PublicAddress) != view.PublicIP || demandsOf(p.OwnOptions(), s.App.Floor) != view.Demands:
			view.Mixed = true
		}
	}
	view.New = len(policies) == 0
	view.Mixed = view.Mixed || !view.New && len(policies) < len(vms)
	if view.Rows == nil {
		view.Rows, view.Existing = rowsOf(jit.DefaultPorts()), jit.Override.String()
	}
	view.Changes = s.preview(c, vms, &view)
	s.render(w, c, http.StatusOK, "configure", "Configure", view)
	return nil
}

// configuring gives the empty form, and the policies that its machines have.
func (s *server) configuring(c call, vms []jit.ID) (configureView, map[string]jit.Policy, error) {
	view := configureView{Wrong: wrongs{}, Demands: demandsOf(jit.Options{}, s.App.Floor)}
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
		_, has := policies[vm.Key()]
		view.VMs = append(view.VMs, configureVM{Name: vm.Name, ID: vm.String(), Group: vm.ResourceGroup, Configured: has, Key: fmt.Sprintf("vm-%d", i)})
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

// ipText gives "" for no address.
func ipText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func rowsOf(ports []jit.PortRule) []portRow {
	var out []portRow
	for i, p := range ports {
		row := portRow{Index: i, Number: strconv.Itoa(int(p.Number)), Protocol: string(p.Protocol), Sources: strings.Join(p.Sources.Strings(), ", "), Maximum: jit.Length(p.Maximum)}
		if p.Sources.IsAny() {
			row.Sources = "any"
		}
		if p.Mapped != 0 {
			row.Mapped = strconv.Itoa(int(p.Mapped))
		}
		out = append(out, row)
	}
	return out
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
	view.readRows(c)
	if n, ok := strings.CutPrefix(intent, "remove-"); ok {
		view.remove(n)
		intent = "edit"
	}
	status := http.StatusOK
	switch intent {
	case "add":
		view.Rows = append(view.Rows, portRow{Index: len(view.Rows), Protocol: string(jit.TCP), Sources: "any", Maximum: "3 h"})
	case "edit":
		view.Changes = s.preview(c, vms, &view)
	case "preview":
		s.render(w, c, http.StatusOK, "changes", "What will change", s.preview(c, vms, &view))
		return nil
	case "save":
		status = s.save(c, vms, &view)
	}
	s.render(w, c, status, "configure", "Configure", view)
	return nil
}

func (v *configureView) readRows(c call) {
	f := c.PostForm
	v.Existing = cmp.Or(f.Get("existing"), jit.Override.String())
	v.PublicIP = f.Get("publicip")
	v.Demands = readDemands(f, v.Demands.Floor)
	for i := range f["number"] {
		row := portRow{Index: i, Number: f["number"][i]}
		for name, to := range map[string]*string{"protocol": &row.Protocol, "sources": &row.Sources, "maximum": &row.Maximum, "mapped": &row.Mapped} {
			if i < len(f[name]) {
				*to = f[name][i]
			}
		}
		v.Rows = append(v.Rows, row)
	}
}

func (v *configureView) remove(index string) {
	v.Rows = slices.DeleteFunc(v.Rows, func(r portRow) bool { return strconv.Itoa(r.Index) == index })
	for i := range v.Rows {
		v.Rows[i].Index = i
	}
}

// policiesOf reads the rows as policies of the machines; what is wrong stands in the view.
func (v *configureView) policiesOf(vms []jit.ID) []jit.Policy {
	existing, err := jit.ParseExistingRules(v.Existing)
	v.Wrong.put("existing", err)
	options := v.Demands.options(v.Wrong)
	var ports []jit.PortRule
	for _, row := range v.Rows {
		ports = append(ports, v.rule(row))
	}
	var public netip.Addr
	if text := strings.TrimSpace(v.PublicIP); text != "" {
		if public, err = netip.ParseAddr(text); err != nil {
			v.Wrong.put("publicip", &jit.Error{Message: fmt.Sprintf("%.60q is not an address", text)})
		}
	}
	var out []jit.Policy
	for _, vm := range vms {
		out = append(out, jit.Policy{VM: vm, Ports: slices.Clone(ports), ExistingRules: existing, Options: options, PublicAddress: public})
	}
	return out
}

func (v *configureView) rule(row portRow) jit.PortRule {
	var rule jit.PortRule
	field := func(name string) string { return fmt.Sprintf("%s-%d", name, row.Index) }
	n, err := strconv.ParseUint(strings.TrimSpace(row.Number), 10, 16)
	if err != nil {
		v.Wrong.put(field("number"), &jit.Error{Message: fmt.Sprintf("%.20q is not a port from 0 to 65535", row.Number)})
	}
	rule.Number = uint16(n)
	if rule.Protocol, err = jit.ParseProtocol(row.Protocol); err != nil {
		v.Wrong.put(field("protocol"), err)
	}
	if rule.Sources, err = readSources(row.Sources); err != nil {
		v.Wrong.put(field("sources"), err)
	}
	if rule.Maximum, err = readLength(row.Maximum); err != nil {
		v.Wrong.put(field("maximum"), err)
	}
	if text := strings.TrimSpace(row.Mapped); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			v.Wrong.put(field("mapped"), &jit.Error{Message: fmt.Sprintf("%.20q is not a port from 1 to %d", text, jit.MaxMapped)})
		}
		rule.Mapped = uint16(n)
	}
	return rule
}

// preview computes what saving would change, and writes nothing.
func (s *server) preview(c call, vms []jit.ID, v *configureView) changesView {
	policies := v.policiesOf(vms)
	if v.Lacks != "" {
		return changesView{Wrong: "What would change is shown to those who may save it."}
	}
	if v.Wrong.Any() {
		return changesView{Wrong: "Correct the fields above, and what will change is shown here."}
	}
	enabled, changes, err := s.App.Access.Enable(c.Context(), c.who, policies, true)
	if err != nil {
		_, told := s.Explain(err)
		v.refused(told, vms)
		return changesView{Wrong: sentence(told.Message)}
	}
	return changesOf(enabled, changes)
}

// save protects the machines and gives the answer's status.
func (s *server) save(c call, vms []jit.ID, v *configureView) int {
	policies := v.policiesOf(vms)
	if v.Wrong.Any() {
		return http.StatusBadRequest
	}
	enabled, changes, err := s.App.Access.Enable(c.Context(), c.who, policies, false)
	if err != nil {
		status, told := s.Explain(err)
		if status >= 500 || errors.Is(err, store.ErrUnlogged) {
			s.Log.Error("page failed", "invocation", c.who.Correlation, "path", c.URL.Path, "error", err.Error())
		}
		v.refused(told, vms)
		return status
	}
	v.Saved, v.Changes = true, changesOf(enabled, changes)
	v.Changes.Done = true
	return http.StatusOK
}

// refused puts a refusal beside the field that it concerns.
func (v *configureView) refused(told *jit.Error, vms []jit.ID) {
	at := locate(told.Target, vms)
	field := ""
	switch {
	case at.port >= 0 && at.port < len(v.Rows):
		name := map[string]string{"number": "number", "protocol": "protocol", "maxRequestAccessDuration": "maximum",
			"allowedSourceAddressPrefix": "sources", "allowedSourceAddressPrefixes": "sources", "mappedPort": "mapped"}[at.field]
		field = fmt.Sprintf("%s-%d", cmp.Or(name, "number"), at.port)
	case at.vm >= 0 && at.field == "ports":
		field = "ports"
	case at.vm >= 0 && at.field == "publicIpAddress":
		field = "publicip"
	case at.vm >= 0 && at.field == "existingRules":
		field = "existing"
	case at.vm >= 0 && at.field == "widestIPv4Prefix":
		field = "widest4"
	case at.vm >= 0 && at.field == "widestIPv6Prefix":
		field = "widest6"
	case at.vm >= 0:
		field = v.VMs[at.vm].Key
	}
	v.Wrong.put(field, told)
}

func changesOf(enabled []access.Enabled, changes []access.TargetChange) changesView {
	v := changesView{Computed: true}
	for _, e := range enabled {
		v.Overridden = append(v.Overridden, foreignWords(e.Overridden)...)
		v.Exposed = append(v.Exposed, foreignWords(e.Exposed)...)
		for _, nic := range e.Unguarded {
			v.Unguarded = append(v.Unguarded, nic[strings.LastIndex(nic, "/")+1:]+" of "+e.Policy.VM.Name)
		}
	}
	for _, change := range changes {
		t := targetChanges{Name: change.Target.Name, Kind: kind(change.Target)}
		add := func(sign, class, verb string, rules []jit.Rule) {
			for _, r := range rules {
				t.Lines = append(t.Lines, changeLine{sign, class, verb, ruleWords(r), r.Name, r.Priority})
			}
		}
		add("+", "add", "Add", change.Changes.Create)
		add("~", "upd", "Change to", change.Changes.Update)
		add("−", "del", "Remove", change.Changes.Delete)
		if change.Hidden > 0 {
			t.Lines = append(t.Lines, changeLine{Sign: "…", Text: fmt.Sprintf("%d more, to rules about machines that you may not read", change.Hidden)})
		}
		v.Targets = append(v.Targets, t)
	}
	return v
}

// disable ends the protection of machines: POST /api/portal/disable.
func (s *server) disable(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	if c.PostForm.Get("sure") != "yes" {
		return &jit.Error{Code: "NotConfirmed", Message: "tick the box that says you are sure, then end the protection"}
	}
	if err := s.App.Access.Disable(c.Context(), c.who, vms); err != nil {
		return err
	}
	return s.seeOther(w, c, "machine?vm="+vms[0].String())
}
