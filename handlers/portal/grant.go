package portal

import (
	"context"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/words"
)

// grantView is a request and what came of it.
type grantView struct {
	ID            string
	Requestor     string
	Justification string
	Own           bool
	MayClose      bool
	MayExtend     bool
	State         string // opening, open, closing, closed or failed
	Busy          bool   // it will be another soon: look again
	Why           string // why it ended, or was never opened
	Start, End    time.Time
	What          string // such as "port 22 of web", for announcements
	Targets       []targetStep
	Slow          bool // one of them takes minutes
	VMs           []grantVM
	Wrong         form.Wrongs
	Form          string // what was sent to be extended by
	Stamp         string // of all the above
}

// targetStep is one security group or firewall that is being changed.
type targetStep struct {
	Name, Kind string
	Confirmed  bool // it has confirmed the rule
}

type grantVM struct {
	Name, ID string
	Ports    []grantPort
}

type grantPort struct {
	Number  uint16
	Service string
	Sources string
	End     time.Time
	State   string
	Why     string
	Dial    []dial
	// Firewall says that it is dialled at a firewall.
	Firewall bool
	// Warnings are the sources that no connection comes in from.
	Warnings []string
}

// dial is how to connect to one address.
type dial struct {
	Host    string
	Port    uint16
	Command string // to be copied
	RDP     string // link to a file for remote desktop clients
}

// grantOf gives a grant as the page shows it.
func (s *server) grantOf(c call, rec store.GrantRecord) grantView {
	g := rec.Grant
	v := grantView{ID: g.ID, Requestor: g.Requestor, Justification: g.Justification, Own: g.SameRequestor(c.who.ID, c.who.Name), Start: g.Start, End: g.End()}
	v.State = "closed"
	var what []string
	for _, vm := range g.VMs {
		shown := grantVM{Name: vm.VM.Name, ID: vm.VM.String()}
		var numbers []string
		for _, w := range vm.Ports {
			p := grantPort{Number: w.Number, Service: words.Service(w.Number), Sources: words.Sources(w.Sources), End: w.End, State: words.State(g, w, c.now), Why: words.Reason(string(w.Reason))}
			if p.State == "open" {
				for _, a := range rec.Dial(vm.VM, w) {
					p.Dial = append(p.Dial, dialing(g.ID, vm.VM, a, w.Number))
				}
				p.Firewall = w.Mapped.IsValid()
			}
			if p.State == "open" || p.State == "opening" {
				p.Warnings = network.NeverArrives(rec, vm.VM, w)
			}
			numbers = append(numbers, strconv.Itoa(int(w.Number)))
			v.State = more(v.State, p.State)
			shown.Ports = append(shown.Ports, p)
		}
		what = append(what, "port "+strings.Join(numbers, ", ")+" of "+vm.VM.Name)
		v.VMs = append(v.VMs, shown)
	}
	v.What = strings.Join(what, " and ")
	v.Busy = v.State == "opening" || v.State == "closing"
	if v.State == "closed" || v.State == "failed" {
		v.Why = words.Reason(string(g.Reason()))
	}
	return v
}

// stepsOf gives what a grant waits for: of an opening with what has been confirmed, of a closing
// where it stands.
func stepsOf(rec store.GrantRecord) []targetStep {
	var out []targetStep
	for _, p := range rec.Progress() {
		out = append(out, targetStep{Name: p.Target.Name, Kind: words.Kind(p.Target), Confirmed: p.Confirmed})
	}
	if len(out) > 0 {
		return out
	}
	for _, p := range rec.Placements {
		out = append(out, targetStep{Name: p.Target.Name, Kind: words.Kind(p.Target)})
	}
	return out
}

// more gives the state that matters more to somebody who waits.
func more(a, b string) string {
	rank := map[string]int{"closed": 0, "failed": 1, "closing": 2, "open": 3, "opening": 4}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// dialing gives how to connect at an address and port to a port of a machine.
func dialing(grant string, vm jit.ID, at netip.AddrPort, number uint16) dial {
	a, port := at.Addr(), at.Port()
	d := dial{Host: a.String(), Port: port, Command: net.JoinHostPort(a.String(), strconv.Itoa(int(port)))}
	switch number {
	case 22:
		d.Command = fmt.Sprintf("ssh user@%s -p %d", a, port)
	case 3389:
		d.RDP = link("requests/"+grant+"/rdp", "vm", vm.String(), "host", a.String())
	case 5985:
		d.Command = fmt.Sprintf("Enter-PSSession -ComputerName %s -Port %d", a, port)
	case 5986:
		d.Command = fmt.Sprintf("Enter-PSSession -ComputerName %s -Port %d -UseSSL", a, port)
	}
	return d
}

// grant draws a request: GET /api/portal/requests/{id}.
func (s *server) grant(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	return s.show(w, c, http.StatusOK, rec, nil, "1 h")
}

func (s *server) record(c call) (store.GrantRecord, error) {
	return s.recordBy(c, s.App.Access.Find)
}

// closingRecord gives it for who closes it.
func (s *server) closingRecord(c call) (store.GrantRecord, error) {
	return s.recordBy(c, s.App.Access.Closing)
}

func (s *server) recordBy(c call, find func(context.Context, jit.Caller, string) (store.GrantRecord, error)) (store.GrantRecord, error) {
	id := strings.ToLower(c.PathValue("id"))
	if !jit.ValidGUID(id) {
		return store.GrantRecord{}, &jit.Error{Code: access.CodeRequestNotFound, Message: "there is no request with this id"}
	}
	return find(c.Context(), c.who, id)
}

func (s *server) show(w http.ResponseWriter, c call, status int, rec store.GrantRecord, wrong form.Wrongs, form string) error {
	view := s.grantOf(c, rec)
	view.Wrong, view.Form = wrong, form
	if err := s.offersOf(c, &view, rec.Grant); err != nil {
		return err
	}
	if view.Busy {
		view.Targets = stepsOf(rec)
		view.Slow = slices.ContainsFunc(view.Targets, func(t targetStep) bool { return t.Kind == words.Firewall && !t.Confirmed })
	}
	if view.State == "failed" && rec.Failed != "" {
		view.Why = words.WithoutCode(rec.Failed)
	}
	view.Stamp = stampOf(view)
	c.unchanged(w, view.Stamp)
	s.render(w, c, status, "grant", titles[view.State], view)
	return nil
}

var titles = map[string]string{"opening": "Opening ports", "open": "Ports are open", "closing": "Closing ports", "closed": "Ports are closed", "failed": "Ports were not opened"}

// extend moves a request's end: POST /api/portal/requests/{id}/extend.
func (s *server) extend(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	text := c.PostForm.Get("for")
	wrong := form.Wrongs{}
	d, err := words.ReadLength(text)
	if err == nil {
		_, err = s.App.Access.Extend(c.Context(), c.who, rec.Grant.ID, d, time.Time{})
	}
	if err != nil {
		status, told := s.Explain(err)
		if status >= 500 {
			return err
		}
		wrong.Put("for", told)
		return s.show(w, c, status, rec, wrong, text)
	}
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// closing is how long an answer waits for ports to close.
const closing = 25 * time.Second

// closeNow closes a request's ports: POST /api/portal/requests/{id}/close. Closing
// goes on by itself when the browser does not wait for it.
func (s *server) closeNow(w http.ResponseWriter, c call) error {
	rec, err := s.closingRecord(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), closing)
	defer cancel()
	if _, err := s.App.Access.Revoke(ctx, c.who, rec.Grant.ID); err != nil {
		// Once it is marked to close it closes by itself, however long that takes.
		after, failed := s.closingRecord(c)
		if status, _ := s.Explain(err); status < 500 || failed != nil || after.Grant.AnyLive(c.now) {
			return err
		}
		s.Log.Warn("closing goes on", "invocation", c.who.Correlation, "grant", rec.Grant.ID, "error", err.Error())
	}
	s.App.Admission.Permitted(c.who.ID)
	return s.seeOther(w, c, "requests/"+rec.Grant.ID)
}

// seeOther leads to a page that can be loaded again without sending the form again.
func (s *server) seeOther(w http.ResponseWriter, _ call, p string) error {
	w.Header().Set("Location", Root+p)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// rdp gives a file for remote desktop clients: GET /api/portal/requests/{id}/rdp?vm=ID&host=ADDRESS.
func (s *server) rdp(w http.ResponseWriter, c call) error {
	rec, err := s.record(c)
	if err != nil {
		return err
	}
	vms, err := c.vms()
	if err != nil {
		return err
	}
	host := c.URL.Query().Get("host")
	for _, vm := range s.grantOf(c, rec).VMs {
		for _, p := range vm.Ports {
			for _, d := range p.Dial {
				if vm.ID != vms[0].String() || d.Host != host || d.RDP == "" {
					continue
				}
				w.Header().Set("Content-Type", "application/x-rdp")
				w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": vm.Name + ".rdp"}))
				_, _ = fmt.Fprintf(w, "full address:s:%s\r\nprompt for credentials:i:1\r\n", net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))))
				return nil
			}
		}
	}
	return &jit.Error{Code: access.CodeRequestNotFound, Message: "remote desktop of this machine is not open in this request"}
}
