package jit

import (
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

// The statuses, in the order in which a window goes through them; not every window has the first two. On the wire Revoking reads
// as Initiated, since the port may still be open: no caller sees Revoked before the firewall has confirmed it.
const (
	AwaitingApproval Status = iota + 1 // stored, people have to approve it first: see [Wait]
	Scheduled                          // stored, and not before its start: see [Wait]
	Initiating                         // stored, not yet confirmed open
	Initiated                          // confirmed open
	Revoking                           // to be closed, not yet confirmed
	Revoked                            // confirmed closed
)

// String returns the wire contract's spelling.
func (s Status) String() string {
	switch s {
	case AwaitingApproval:
		return "AwaitingApproval"
	case Scheduled:
		return "Scheduled"
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
// ApprovalExpired and Denied end a wait for approval. RemovedByOthers is for a window whose rule others have removed for good, NotCertain for one whose rule is missing while nothing shows
// that nobody has ended it.
const (
	UserRequested         Reason = "UserRequested"
	Expired               Reason = "Expired"
	NewerRequestInitiated Reason = "NewerRequestInitiated"
	OpeningFailed         Reason = "OpeningFailed"
	ApprovalExpired       Reason = "ApprovalExpired" // too few have approved in time
	Denied                Reason = "Denied"
	PolicyRemoved         Reason = "PolicyRemoved"
	PolicyChanged         Reason = "PolicyChanged"
	MachineGone           Reason = "VirtualMachineGone"
	RightLost             Reason = "RightLost"
	RuleDisplaced         Reason = "RuleDisplaced" // others took the place of its rule
	RemovedByOthers       Reason = "RemovedByOthers"
	NotCertain            Reason = "NotCertain"
	LockedDown            Reason = "LockedDown" // somebody who may has locked it down
	DrillOnly             Reason = "Drill"      // a drill of break-glass, which opens nothing
)

// Window is one port of one machine, open to some sources in [Grant.Begins, End).
type Window struct {
	Number   uint16
	Protocol Protocol
	Sources  Sources
	End      time.Time     // while it waits to be opened: the latest that it can become
	Fixed    bool          // the end was asked for as a time, and stays when the window is opened later than it was asked for
	Length   time.Duration // for how long it was granted when it was decided, whatever became of it; 0: not stored
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
	BreakGlass    BreakGlass
	Start         time.Time
	OpenBy        time.Time // an opening that is not confirmed by then is undone; while the grant waits: when its wait ends
	Wait          Wait
	Generation    int // incremented when an end changes; wake-up messages name it
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

// Each returns the grant with each of its windows as f makes it.
func (g Grant) Each(f func(vm ID, w Window) Window) Grant {
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
	return g.Each(func(vm ID, w Window) Window {
		w.Mapped, w.Via = f(vm, w)
		return w
	})
}

// Opened marks the windows that are live at now as confirmed open.
func (g Grant) Opened(now time.Time) Grant {
	return g.Each(func(_ ID, w Window) Window {
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
	return g.Each(func(_ ID, w Window) Window { return w.Revoke(now, why) })
}

// RevokeVM is [Grant.Revoke] for the windows of one machine.
func (g Grant) RevokeVM(vm ID, now time.Time, why Reason) Grant {
	g.Generation++
	return g.Each(func(id ID, w Window) Window {
		if id.Equal(vm) {
			return w.Revoke(now, why)
		}
		return w
	})
}

// Revoke returns the window marked for closing at now, with the given reason; one that is over already stays as it is.
func (w Window) Revoke(now time.Time, why Reason) Window {
	now = Instant(now)
	if w.Status == Revoked || w.Status == Revoking || !now.Before(w.End) {
		return w // already over: it keeps its reason
	}
	w.Status, w.Reason, w.End, w.Unconfirmed = Revoking, why, now, w.unopened()
	return w
}

// unopened reports whether the window has not been confirmed open, and may come to be.
func (w Window) unopened() bool { return w.Waits() || w.Status == Initiating }

// Ending marks every window that is neither live nor waiting at now for closing, and reports whether it marked any. A window
// without a reason gets one from its state. A marked window stays marked, whatever the clock says later.
func (g Grant) Ending(now time.Time) (Grant, bool) {
	found := false
	out := g.Each(func(_ ID, w Window) Window {
		if w.Status == Revoked || w.Status == Revoking || g.Live(w, now) || g.waits(w, now) {
			return w
		}
		found = true
		if w.Reason == "" {
			w.Reason = Expired
			switch {
			case w.Status == AwaitingApproval:
				w.Reason = ApprovalExpired
			case w.Status == Scheduled, w.Status == Initiating && now.Before(w.End):
				w.Reason = OpeningFailed
			}
		}
		if w.Waits() && g.OpenBy.Before(w.End) {
			w.End = g.OpenBy
		}
		w.Status, w.Unconfirmed = Revoking, w.unopened()
		return w
	})
	return out, found
}

// Settled marks every window that is neither live nor waiting at now as confirmed closed, with the reason from [Grant.Ending].
func (g Grant) Settled(now time.Time) Grant {
	g, _ = g.Ending(now)
	return g.Each(func(_ ID, w Window) Window {
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
	out := g.Each(func(vm ID, w Window) Window {
		if newer.supersedes(g, vm, w, now) {
			found = true
			return w.Revoke(now, NewerRequestInitiated)
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
	if c := g.Begins().Compare(o.Begins()); c != 0 {
		return c > 0
	}
	return g.ID > o.ID
}

// Desired reports whether window w of g should be open at now: it is live, and no newer live window in others
// supersedes it.
func (g Grant) Desired(vm ID, w Window, now time.Time, others []Grant) bool {
	return g.Live(w, now) && !slices.ContainsFunc(others, func(o Grant) bool { return o.supersedes(g, vm, w, now) })
}
