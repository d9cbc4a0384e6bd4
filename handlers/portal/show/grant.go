package show

import (
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers/portal/form"
	"portcullis/handlers/portal/words"
)

// Grant is a request and what came of it.
type Grant struct {
	ID            string
	Requestor     string
	Justification string
	BreakGlass    string // badge of a request that skipped the approval; "" for any other
	Own           bool
	MayClose      bool
	MayExtend     bool
	MayDecide     bool   // approve or deny it while it waits
	MayAgain      bool   // ask for it once more
	State         string // waiting, scheduled, opening, open, closing, closed or failed
	Busy          bool   // it will be another soon: look again
	Waits         string // what it waits for; "" where it does not
	Why           string // why it ended, or was never opened
	Start, End    time.Time
	What          string // such as "port 22 of web", for announcements
	Targets       []Step
	Slow          bool // one of them takes minutes
	VMs           []GrantVM
	Wrong         form.Wrongs
	Form          string // what was sent to be extended by, or as a review
	Review        Review // of a break-glass
	Stamp         string // of all the above
}

// Review is what somebody else has written about a break-glass.
type Review struct {
	Known bool // there is one, owed or written
	Owed  bool
	May   bool // who looks may write it now
	Text  string
	By    string
	At    time.Time
}

// Step is one security group or firewall that is being changed.
type Step struct {
	Name, Kind string
	Confirmed  bool // it has confirmed the rule
}

// GrantVM is one machine of a request.
type GrantVM struct {
	Name, ID string
	Ports    []GrantPort
}

// GrantPort is one port of it.
type GrantPort struct {
	Number  uint16
	Service string
	Sources string
	End     time.Time
	Lasts   string // how long it is asked for, while it waits
	State   string
	Why     string
	Dial    []Dial
	// Firewall says that it is dialled at a firewall.
	Firewall bool
	// Warnings are the sources that no connection comes in from.
	Warnings []string
}

// GrantOf returns a grant as the page shows it to who at an instant.
func GrantOf(rec store.GrantRecord, who jit.Caller, now time.Time) Grant {
	g := rec.Grant
	v := Grant{ID: g.ID, Requestor: g.Requestor, Justification: g.Justification, BreakGlass: words.BreakGlass(g.BreakGlass), Own: g.SameRequestor(who.ID, who.Name), Start: g.Start, End: g.End()}
	v.State = "closed"
	var what []string
	for _, vm := range g.VMs {
		shown := GrantVM{Name: vm.VM.Name, ID: vm.VM.String()}
		var numbers []string
		for _, w := range vm.Ports {
			p := GrantPort{Number: w.Number, Service: words.Service(w.Number), Sources: words.Sources(w.Sources), End: w.End, State: words.State(g, w, now), Why: words.Reason(string(w.Reason))}
			if p.State == "open" {
				for _, a := range network.Enters(rec, vm.VM, w) {
					p.Dial = append(p.Dial, dialing(g.ID, vm.VM, a, w.Number))
				}
				p.Firewall = w.Mapped.IsValid()
			}
			if p.State == "waiting" || p.State == "scheduled" {
				p.Lasts, v.Waits = words.Lasts(w), words.Waits(g)
			}
			if p.State == "open" || p.State == "opening" {
				p.Warnings = network.NeverArrives(rec, vm.VM, w)
			}
			if g.Unreleased() { // it was never open, and Why says for the whole what became of it
				p.Why = ""
			}
			numbers = append(numbers, strconv.Itoa(int(w.Number)))
			v.State = more(v.State, p.State)
			shown.Ports = append(shown.Ports, p)
		}
		what = append(what, "port "+strings.Join(numbers, ", ")+" of "+vm.VM.Name)
		v.VMs = append(v.VMs, shown)
	}
	v.What = briefly(what, " and ", "machine")
	v.Busy = v.State == "opening" || v.State == "closing"
	switch v.State {
	case "closed":
		v.Why = words.Reason(string(g.Reason()))
	case "failed":
		v.Why = words.Unopened(g)
	}
	return v
}

// StepsOf returns what a grant waits for: of an opening with what has been confirmed, of a closing
// where it stands.
func StepsOf(rec store.GrantRecord) []Step {
	var out []Step
	for _, p := range rec.Progress() {
		out = append(out, Step{Name: p.Target.Name, Kind: words.Kind(p.Target), Confirmed: p.Confirmed})
	}
	if len(out) > 0 {
		return out
	}
	for _, p := range rec.Placements {
		out = append(out, Step{Name: p.Target.Name, Kind: words.Kind(p.Target)})
	}
	return out
}

// more gives the state that matters more to somebody who waits.
func more(a, b string) string {
	rank := map[string]int{"closed": 0, "failed": 1, "closing": 2, "scheduled": 3, "waiting": 4, "open": 5, "opening": 6}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Title returns the title of a page that shows the request.
func (v Grant) Title() string { return titles[v.State] }

// titles are by state.
var titles = map[string]string{"waiting": "Waiting for approval", "scheduled": "Scheduled", "opening": "Opening ports", "open": "Ports are open", "closing": "Closing ports", "closed": "Ports are closed", "failed": "The ports were not opened"}

// Over reports whether it has ended, or was never opened.
func (v Grant) Over() bool { return v.State == "closed" || v.State == "failed" }
