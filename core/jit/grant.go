package jit

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// OpeningTimeout is how long an opening may stay unconfirmed. After that the grant no longer counts and its rules
// are removed: a request that died half way must not open a port that nobody is waiting for. It is far above the
// seconds that a write of an NSG takes.
const OpeningTimeout = 5 * time.Minute

// Status is the state of a window. The zero value is not open.
type Status uint8

// The statuses, in the order in which a window goes through them. On the wire Revoking reads as Initiated, since
// the port may still be open: no caller sees Revoked before the firewall has confirmed it.
const (
	Initiating Status = iota + 1 // stored, not yet confirmed open
	Initiated                    // confirmed open
	Revoking                     // to be closed, not yet confirmed
	Revoked                      // confirmed closed
)

// String returns the wire contract's spelling.
func (s Status) String() string {
	switch s {
	case Initiating:
		return "Initiating"
	case Initiated, Revoking:
		return "Initiated"
	case Revoked:
		return "Revoked"
	}
	return ""
}

// Reason says why a window has its status, in the wire contract's spelling.
type Reason string

// The reasons. OpeningFailed is ours: the contract has no word for a grant that
// was never confirmed, PolicyRemoved, PolicyChanged, MachineGone, RightLost and RuleDisplaced for what took its ground away.
// RemovedByOthers is for a window whose rule others have removed for good, NotCertain for one whose rule is missing while nothing shows
// that nobody has ended it.
const (
	UserRequested         Reason = "UserRequested"
	Expired               Reason = "Expired"
	NewerRequestInitiated Reason = "NewerRequestInitiated"
	OpeningFailed         Reason = "OpeningFailed"
	PolicyRemoved         Reason = "PolicyRemoved"
	PolicyChanged         Reason = "PolicyChanged"
	MachineGone           Reason = "VirtualMachineGone"
	RightLost             Reason = "RightLost"
	RuleDisplaced         Reason = "RuleDisplaced" // others took the place of its rule
	RemovedByOthers       Reason = "RemovedByOthers"
	NotCertain            Reason = "NotCertain"
)

// Window is one port of one machine, open to some sources in [Grant.Start, End).
type Window struct {
	Number   uint16
	Protocol Protocol
	Sources  Sources
	End      time.Time
	Status   Status
	Reason   Reason // why it ends or ended; "" until something other than its end is known
	// Unconfirmed says of a window that is closing or closed that it was never confirmed open.
	Unconfirmed bool
	// Mapped is the address and port to dial at the firewall in front of the machine; zero where no firewall maps the
	// window. It does not change while the window is open and the machine stays behind the firewall.
	Mapped netip.AddrPort
	Via    Sources // the sources that the machine sees for such connections: the firewall's subnet
}

// GrantVM is the windows of one machine.
type GrantVM struct {
	VM    ID
	Ports []Window
}

// Grant is the result of a request. Its methods return changed copies and never change the receiver.
type Grant struct {
	ID            string // a UUID, 36 characters
	RequestorID   string // directory and object id of the requestor; unlike a name it is never reassigned
	Requestor     string // the requestor's display name
	Justification string
	Start         time.Time
	OpenBy        time.Time // an opening that is not confirmed by then is undone
	Generation    int       // incremented when an end changes; wake-up messages name it
	VMs           []GrantVM
}

// Machines returns the machines of the grant.
func (g Grant) Machines() []ID {
	var out []ID
	for _, vm := range g.VMs {
		out = append(out, vm.VM)
	}
	return out
}

func (g Grant) any(f func(Window) bool) bool {
	return slices.ContainsFunc(g.VMs, func(vm GrantVM) bool { return slices.ContainsFunc(vm.Ports, f) })
}

// End returns the latest end of its windows.
func (g Grant) End() time.Time {
	var end time.Time
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if w.End.After(end) {
				end = w.End
			}
		}
	}
	return end
}

// Ends returns the distinct ends of its windows, earliest first.
func (g Grant) Ends() []time.Time {
	var ends []time.Time
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			ends = append(ends, w.End)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	return slices.CompactFunc(ends, time.Time.Equal)
}

// Status returns the least advanced status of its windows, so that a grant reads as open while any of its ports
// may be.
func (g Grant) Status() Status {
	least := Revoked
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			least = min(least, w.Status)
		}
	}
	return least
}

// Reason returns the first reason set on its windows.
func (g Grant) Reason() Reason {
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if w.Reason != "" {
				return w.Reason
			}
		}
	}
	return ""
}

func (g Grant) each(f func(vm ID, w Window) Window) Grant {
	vms := make([]GrantVM, len(g.VMs))
	for i, vm := range g.VMs {
		vms[i] = GrantVM{VM: vm.VM, Ports: make([]Window, len(vm.Ports))}
		for j, w := range vm.Ports {
			vms[i].Ports[j] = f(vm.VM, w)
		}
	}
	g.VMs = vms
	return g
}

// Mapped returns the grant with each window's [Window.Mapped] and [Window.Via] set by f.
func (g Grant) Mapped(f func(vm ID, w Window) (netip.AddrPort, Sources)) Grant {
	return g.each(func(vm ID, w Window) Window {
		w.Mapped, w.Via = f(vm, w)
		return w
	})
}

// Opened marks the windows that are live at now as confirmed open.
func (g Grant) Opened(now time.Time) Grant {
	return g.each(func(_ ID, w Window) Window {
		if w.Status == Initiating && g.Live(w, now) {
			w.Status = Initiated
		}
		return w
	})
}

// Revoke marks every window that is not closed yet for closing, with the given reason. It raises the generation,
// so that messages for the old ends do nothing.
func (g Grant) Revoke(now time.Time, why Reason) Grant {
	g.Generation++
	return g.each(func(_ ID, w Window) Window { return w.revoke(now, why) })
}

// RevokeVM is [Grant.Revoke] for the windows of one machine.
func (g Grant) RevokeVM(vm ID, now time.Time, why Reason) Grant {
	g.Generation++
	return g.each(func(id ID, w Window) Window {
		if id.Equal(vm) {
			return w.revoke(now, why)
		}
		return w
	})
}

func (w Window) revoke(now time.Time, why Reason) Window {
	now = Instant(now)
	if w.Status == Revoked || w.Status == Revoking || !now.Before(w.End) {
		return w // already over: it keeps its reason
	}
	w.Status, w.Reason, w.End, w.Unconfirmed = Revoking, why, now, w.Status == Initiating
	return w
}

// Ending marks every window that is not live at now for closing, and reports whether it marked any. A window
// without a reason gets one from its state. A marked window stays marked, whatever the clock says later.
func (g Grant) Ending(now time.Time) (Grant, bool) {
	found := false
	out := g.each(func(_ ID, w Window) Window {
		if w.Status == Revoked || w.Status == Revoking || g.Live(w, now) {
			return w
		}
		found = true
		if w.Reason == "" {
			w.Reason = Expired
			if w.Status == Initiating && now.Before(w.End) {
				w.Reason = OpeningFailed
			}
		}
		w.Status, w.Unconfirmed = Revoking, w.Status == Initiating
		return w
	})
	return out, found
}

// Settled marks every window that is not live at now as confirmed closed, with the reason from [Grant.Ending].
func (g Grant) Settled(now time.Time) Grant {
	g, _ = g.Ending(now)
	return g.each(func(_ ID, w Window) Window {
		if w.Status == Revoking {
			w.Status = Revoked
		}
		return w
	})
}

// Superseded marks the windows that newer replaces for closing, and reports whether there were any: windows of the
// same requestor for the same machine, port and sources that are live in both grants at now.
func (g Grant) Superseded(newer Grant, now time.Time) (Grant, bool) {
	found := false
	out := g.each(func(vm ID, w Window) Window {
		if newer.supersedes(g, vm, w, now) {
			found = true
			return w.revoke(now, NewerRequestInitiated)
		}
		return w
	})
	if found {
		out.Generation++
		return out, true
	}
	return g, false
}

// supersedes reports whether a live window of g replaces window w of the older grant: same requestor, machine,
// port and sources.
func (g Grant) supersedes(older Grant, vm ID, w Window, now time.Time) bool {
	if g.ID == older.ID || !g.SameRequestor(older.RequestorID, older.Requestor) || !older.Live(w, now) || !g.newerThan(older) {
		return false
	}
	return slices.ContainsFunc(g.VMs, func(v GrantVM) bool {
		return v.VM.Equal(vm) && slices.ContainsFunc(v.Ports, func(n Window) bool {
			return n.Number == w.Number && n.Sources.Equal(w.Sources) && g.Live(n, now)
		})
	})
}

// SameRequestor reports whether the grant was requested by this id, or, if neither has an id, by this name.
func (g Grant) SameRequestor(id, name string) bool {
	return g.RequestorID == id && (id != "" || g.Requestor == name)
}

func (g Grant) newerThan(o Grant) bool {
	if c := g.Start.Compare(o.Start); c != 0 {
		return c > 0
	}
	return g.ID > o.ID
}

// Desired reports whether window w of g should be open at now: it is live, and no newer live window in others
// supersedes it.
func (g Grant) Desired(vm ID, w Window, now time.Time, others []Grant) bool {
	return g.Live(w, now) && !slices.ContainsFunc(others, func(o Grant) bool { return o.supersedes(g, vm, w, now) })
}

// Extend moves the end of every live window to the given end, or to duration from now; exactly one is set. The
// window's whole length, counted from the grant's start, must stay within the port's maximum. The policy and the
// options in force now (the stricter of the policy's and floor) must still allow the port, the sources and the
// justification. It is all or nothing: if one window may not be extended, it returns an [*Error] and the unchanged
// grant. [CodeRequestEnded] if no window is live, [CodeEndNotLater] if no window would end later.
func (g Grant) Extend(policy func(ID) (Policy, bool), floor Options, duration time.Duration, end, now time.Time) (Grant, error) {
	now = Instant(now)
	asked := RequestPort{Duration: duration, End: end}
	if bad := asked.checkEnd(); bad != nil {
		return g, bad
	}
	to, bad := asked.end(now)
	if bad != nil {
		return g, bad
	}
	to = to.Truncate(time.Millisecond)
	if !g.AnyLive(now) {
		return g, refuse(CodeRequestEnded, "id", "the request has ended; send a new one")
	}
	later := false
	var err *Error
	out := g.each(func(vm ID, w Window) Window {
		if err != nil || !g.Live(w, now) || !to.After(w.End) {
			return w
		}
		var end time.Time
		if end, err = g.extended(policy, floor, vm, w, to); err != nil || !end.After(w.End) { // cut to the maximum, which it lasts already
			return w
		}
		later = true
		w.End = end
		return w
	})
	switch {
	case err != nil:
		return g, err
	case !later:
		return g, refuse(CodeEndNotLater, "endTimeUtc", "the request already ends at %s", timeText(g.End()))
	}
	out.Generation++
	return out, nil
}

// extended returns the end that a window gets if it is extended to a time, within what its policy allows from the grant's start.
func (g Grant) extended(policy func(ID) (Policy, bool), floor Options, vm ID, w Window, to time.Time) (time.Time, *Error) {
	p, ok := policy(vm)
	if !ok {
		return to, refuse(CodePolicyNotFound, "id", "%s has no just-in-time policy any more", vm.Name)
	}
	options := p.InForce(floor)
	if options.allowJustification(g.Justification) != nil {
		return to, refuse(CodeJustificationRequired, "justification", "the request does not say why access is needed, which is required now; send a new one that does")
	}
	out, err := decidePort(p, options, RequestPort{Number: w.Number, End: to, Sources: w.Sources}, g.Start)
	if err != nil {
		return to, err.At(fmt.Sprintf("%s:%d", vm.Name, w.Number))
	}
	return out.End, nil
}
