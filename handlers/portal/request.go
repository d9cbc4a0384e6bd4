package portal

import (
	"context"
	"net/http"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/words"
)

// requestView is the form that asks for access.
type requestView struct {
	form.Request
	Proxy string // the address the call came from, "" where it is not known
	// Demands are what the request must meet: the strictest of its machines' policies and the installation's.
	Demands jit.Options
	NotAll  bool   // what the policies allow is more than may be asked for at once, on every port
	Lacks   string // the permission to ask that somebody lacks, "" for none
	Every   []everyPort
	Asks    replacing     // what has to be agreed to first
	Ahead   time.Duration // how far ahead it may begin; 0 for at once alone
	Breaks  time.Duration // how long a break-glass of the caller may last; 0 for who may not break the glass
	Drawn   bool          // nothing was sent yet: what is wrong is of the machines or of the link
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
	if glass := s.App.Access.Service.Glass; glass.May(c.who, jit.BreakGlassOpens) == nil {
		v.Breaks = glass.Most
	}
	v.Ahead = s.App.Verbs.Ahead
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
				v.Every = append(v.Every, everyPort{Number: port.Number, Service: words.Service(port.Number), For: v.VMs[i].Ports[j].For, On: true})
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

// requestForm draws the form for the machines that a link names, filled in as the link says ([form.Request.Prefill]), and opens nothing:
// GET /api/portal/request?vm=ID&port=22&for=1h&start=TIME&why=TEXT.
func (s *server) requestForm(w http.ResponseWriter, c call) error {
	vms, err := c.vms()
	if err != nil {
		return err
	}
	policies, err := s.policies(c, vms)
	if err != nil {
		return err
	}
	view := requestView{}
	if own, ok := s.OwnAddress(c.Request); ok {
		view.Proxy = own.String()
	}
	view.Request = form.NewRequest(view.Proxy, vms, policies)
	if c.Method == http.MethodGet {
		view.Drawn = true
		view.Prefill(c.URL.Query())
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
	view := requestView{}
	var asked jit.Request
	view.Request, asked = form.ReadRequest(c.PostForm, vms, policies)
	if own, ok := s.OwnAddress(c.Request); ok {
		view.Proxy = own.String()
	}
	return s.send(w, c, view, vms, policies, asked)
}

// send asks for what a form asks for, or draws the form again with what is wrong, or what has to be agreed to.
func (s *server) send(w http.ResponseWriter, c call, view requestView, vms []jit.ID, policies map[string]jit.Policy, asked jit.Request) error {
	if err := view.complete(s, c, vms, policies); err != nil {
		return err
	}
	if view.Wrong.Any() {
		return s.askAgain(w, c, http.StatusBadRequest, view)
	}
	ctx, cancel := context.WithTimeout(c.Context(), closing)
	defer cancel()
	if view.Asks = s.replacing(ctx, c, asked, c.PostForm.Get("replace")); !view.Asks.Agreed {
		return s.askAgain(w, c, http.StatusOK, view)
	}
	rec, known, err := s.App.Access.Request(ctx, c.who, asked, "")
	if err != nil {
		status, told := s.told(c, err)
		view.Refused(told, vms, asked)
		return s.askAgain(w, c, status, view)
	}
	if !known && !rec.Grant.Waiting() {
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
