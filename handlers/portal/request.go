package portal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// The choices of where access may come from.
const (
	fromMine  = "mine"
	fromAll   = "all"
	fromOther = "other"
)

// usual is the length that a port is proposed for, where its maximum allows it.
const usual = time.Hour

// requestView is the form that asks for access.
type requestView struct {
	VMs    []requestVM
	Source string // one of the choices
	Mine   string
	Other  string
	Why    string
	Proxy  string // the address the call came from, "" where it is not known
	// Demands are what the request must meet: the strictest of its machines' policies and the installation's.
	Demands jit.Options
	NotAll  bool   // what the policies allow is more than may be asked for at once, on every port
	Lacks   string // the permission to ask that somebody lacks, "" for none
	Every   []everyPort
	Wrong   wrongs
}

type requestVM struct {
	Name, ID, Group string
	Ports           []requestPort
}

type requestPort struct {
	Number  uint16
	Service string
	Allowed string
	Maximum time.Duration
	Minutes int // of the maximum, for the slider
	Value   int // of the slider
	For     string
	On      bool
	Key     string // of its fields in the form, such as 0-22
}

// everyPort is a port that several of the machines have: what is chosen for it is chosen for all of them.
type everyPort struct {
	Number  uint16
	Service string
	For     string
	Count   int
	On      bool // it is chosen on all of them
}

// complete adds what the form says beside what is chosen.
func (v *requestView) complete(s *server, c call, vms []jit.ID, policies map[string]jit.Policy) error {
	v.NotAll = true
	at := map[uint16]int{}
	for i, vm := range vms {
		p := policies[vm.Key()]
		inForce := p.InForce(s.App.Floor)
		v.Demands = v.Demands.With(inForce)
		for j, port := range p.Ports {
			v.NotAll = v.NotAll && !inForce.Permit(port.Sources)
			n, known := at[port.Number]
			if !known {
				n = len(v.Every)
				at[port.Number] = n
				v.Every = append(v.Every, everyPort{Number: port.Number, Service: service(port.Number), For: v.VMs[i].Ports[j].For, On: true})
			}
			v.Every[n].Count++
			v.Every[n].On = v.Every[n].On && v.VMs[i].Ports[j].On
		}
	}
	v.Every = slices.DeleteFunc(v.Every, func(e everyPort) bool { return e.Count < 2 })
	var err error
	v.Lacks, err = s.lacks(c, permit.VerbRequest, vms...)
	return err
}

// requestForm draws the form for the machines that a link names: GET /api/portal/request.
func (s *server) requestForm(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	policies, err := s.policies(c, vms)
	if err != nil {
		return err
	}
	view := requestView{Source: fromMine, Wrong: wrongs{}}
	if own, ok := s.OwnAddress(c.Request); ok {
		view.Mine, view.Proxy = own.String(), own.String()
	}
	for i, vm := range vms {
		shown := portsOf(i, vm, policies[vm.Key()])
		if len(shown.Ports) == 0 {
			view.Wrong[fmt.Sprintf("vm-%d", i)] = vm.Name + " has no just-in-time policy. Configure it first."
		}
		for j := range shown.Ports {
			shown.Ports[j].On = j == 0
		}
		view.VMs = append(view.VMs, shown)
	}
	if err := view.complete(s, c, vms, policies); err != nil {
		return err
	}
	s.render(w, c, http.StatusOK, "request", "Request access", view)
	return nil
}

// policies gives the policies of machines that the caller may read, by jit.ID.Key.
func (s *server) policies(c call, vms []jit.ID) (map[string]jit.Policy, error) {
	all, err := s.App.Inventory.ListPolicies(c.Context(), c.who)
	if err != nil {
		return nil, err
	}
	out := map[string]jit.Policy{}
	for _, rec := range all {
		if slices.ContainsFunc(vms, rec.Policy.VM.Equal) {
			out[rec.Policy.VM.Key()] = rec.Policy
		}
	}
	return out, nil
}

func portsOf(i int, vm jit.ID, p jit.Policy) requestVM {
	out := requestVM{Name: vm.Name, ID: vm.String(), Group: vm.ResourceGroup}
	for _, rule := range p.Ports {
		d := min(usual, rule.Maximum)
		out.Ports = append(out.Ports, requestPort{Number: rule.Number, Service: service(rule.Number), Allowed: sources(rule.Sources), Maximum: rule.Maximum,
			Minutes: int(rule.Maximum / time.Minute), Value: int(d / time.Minute), For: jit.Length(d), Key: fmt.Sprintf("%d-%d", i, rule.Number)})
	}
	return out
}

// request opens ports, or draws the form for the machines chosen in the list: POST /api/portal/request.
func (s *server) request(w http.ResponseWriter, c call) error {
	if c.PostForm.Get("intent") != "open" {
		return s.requestForm(w, c)
	}
	vms, err := c.vms()
	if err != nil {
		return err
	}
	policies, err := s.policies(c, vms)
	if err != nil {
		return err
	}
	view, asked := readRequest(c, vms, policies)
	if own, ok := s.OwnAddress(c.Request); ok {
		view.Proxy = own.String()
	}
	if err := view.complete(s, c, vms, policies); err != nil {
		return err
	}
	if view.Wrong.Any() {
		return s.askAgain(w, c, http.StatusBadRequest, view)
	}
	ctx, cancel := context.WithTimeout(c.Context(), closing)
	defer cancel()
	rec, known, err := s.App.Access.Request(ctx, c.who, asked, "")
	if err != nil {
		status, told := s.Explain(err)
		if status >= 500 || errors.Is(err, store.ErrUnlogged) {
			s.Log.Error("page failed", "invocation", c.who.Correlation, "path", c.URL.Path, "error", err.Error())
		}
		view.refused(told, vms, asked)
		return s.askAgain(w, c, status, view)
	}
	if !known {
		go s.opening(context.WithoutCancel(c.Context()), c.who, rec)
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// opening opens a grant by itself: the page looks how far it is. What it says is in the
// grant and in the activity log.
func (s *server) opening(ctx context.Context, who jit.Caller, rec store.GrantRecord) {
	if _, err := s.App.Access.Open(ctx, who, rec); err != nil {
		s.Log.Warn("opening failed", "invocation", who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
	}
}

func (s *server) askAgain(w http.ResponseWriter, c call, status int, view requestView) error {
	s.render(w, c, status, "request", "Request access", view)
	return nil
}

// readRequest reads the form. What is wrong with it stands in the view, by field.
func readRequest(c call, vms []jit.ID, policies map[string]jit.Policy) (requestView, jit.Request) {
	f := c.PostForm
	view := requestView{Source: cmp.Or(f.Get("source"), fromMine), Mine: f.Get("mine"), Other: f.Get("other"), Why: f.Get("why"), Wrong: wrongs{}}
	var asked jit.Request
	var err error
	asked.Justification, err = jit.Justification(view.Why)
	view.Wrong.put("why", err)
	from := view.readSource()
	chosen := 0
	for i, vm := range vms {
		policy := policies[vm.Key()]
		shown, part := portsOf(i, vm, policy), jit.RequestVM{VM: vm}
		for j := range shown.Ports {
			p := &shown.Ports[j]
			p.On = f.Has("port-" + p.Key)
			p.For = cmp.Or(f.Get("for-"+p.Key), p.For)
			if !p.On {
				continue
			}
			chosen++
			d, err := readLength(p.For)
			view.Wrong.put("for-"+p.Key, err)
			p.Value = min(int(d/time.Minute), p.Minutes)
			want := jit.RequestPort{Number: p.Number, Duration: d, Sources: from}
			if view.Source == fromAll {
				want.Sources = policy.Ports[j].Sources
			}
			part.Ports = append(part.Ports, want)
		}
		if len(shown.Ports) == 0 {
			view.Wrong[fmt.Sprintf("vm-%d", i)] = vm.Name + " has no just-in-time policy that you may use. Configure it first."
		}
		if len(part.Ports) > 0 {
			asked.VMs = append(asked.VMs, part)
		}
		view.VMs = append(view.VMs, shown)
	}
	if chosen == 0 {
		view.Wrong.put("ports", &jit.Error{Message: "choose at least one port to open"})
	}
	return view, asked
}

// readSource reads from where access may come; none where each port has its own.
func (v *requestView) readSource() jit.Sources {
	switch v.Source {
	case fromAll:
		return jit.Sources{}
	case fromMine:
		a, err := netip.ParseAddr(strings.TrimSpace(v.Mine))
		if err != nil || a.Zone() != "" {
			v.Wrong.put("source", &jit.Error{Message: fmt.Sprintf("%.60q is not an IP address; to name a range, choose Other ranges", v.Mine)})
			return jit.Sources{}
		}
		a = a.Unmap()
		return jit.SourcesOf(netip.PrefixFrom(a, a.BitLen()))
	}
	v.Source = fromOther
	from, err := readSources(v.Other)
	if err == nil && from.IsEmpty() {
		err = &jit.Error{Message: "name at least one address or range such as 203.0.113.0/24"}
	}
	v.Wrong.put("source", err)
	return from
}

// refused puts a refusal beside the field that it concerns.
func (v *requestView) refused(told *jit.Error, vms []jit.ID, asked jit.Request) {
	at := locate(told.Target, asked.Machines())
	field := ""
	switch {
	case at.vm >= 0:
		i := slices.IndexFunc(vms, asked.VMs[at.vm].VM.Equal)
		field = fmt.Sprintf("vm-%d", i)
		if ports := asked.VMs[at.vm].Ports; at.port >= 0 && at.port < len(ports) {
			switch at.field {
			case "duration", "endTimeUtc":
				field = fmt.Sprintf("for-%d-%d", i, ports[at.port].Number)
			case "allowedSourceAddressPrefix", "allowedSourceAddressPrefixes":
				field = "source"
			default:
				field = fmt.Sprintf("port-%d-%d", i, ports[at.port].Number)
			}
		}
	case at.field == "justification":
		field = "why"
	}
	v.Wrong.put(field, told)
}
