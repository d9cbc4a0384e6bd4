package decide

import (
	"time"

	"portcullis/core/jit"
)

// Approvers returns how many people must approve a request for a port of a policy under options: the more of what the options demand, which
// are those in force, and of what the port does.
func Approvers(p jit.Policy, options jit.Options, port uint16) int {
	rule, _ := p.Port(port)
	return max(options.Approvers, rule.Approvers)
}

// Wait returns a grant that [Request] has allowed as it waits for what it demands, or as it is where it demands nothing: for approval at most
// for wait, and then for its start. A start that is later gives approvers time until then. No wait lasts beyond an end that was asked for as a time.
func Wait(g jit.Grant, wait time.Duration, now time.Time) jit.Grant {
	status := jit.Initiating
	switch {
	case g.Wait.Approvers > 0:
		status, g.OpenBy = jit.AwaitingApproval, later(now.Add(wait), g.Wait.Opens)
	case g.Wait.Opens.After(now):
		status, g.OpenBy = jit.Scheduled, g.Wait.Opens.Add(jit.StartGrace)
	default:
		return g
	}
	return waiting(g, status)
}

// Schedule returns a grant that was approved before its start as it waits for that.
func Schedule(g jit.Grant) jit.Grant {
	g.OpenBy = g.Wait.Opens.Add(jit.StartGrace)
	g.Generation++
	return waiting(g, jit.Scheduled)
}

// waiting returns a grant with windows that wait, each until the latest end that it may get.
func waiting(g jit.Grant, status jit.Status) jit.Grant {
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if w.Fixed && w.End.Before(g.OpenBy) {
				g.OpenBy = w.End
			}
		}
	}
	return g.Each(func(_ jit.ID, w jit.Window) jit.Window {
		w.Status = status
		if !w.Fixed {
			w.End = g.OpenBy.Add(w.Length)
		}
		return w
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Asked returns the request that a grant which waits stands for: what people approve, and what is decided again when it is opened. Ends that
// were asked for as times stay; others are lengths, which count from the opening. Windows that have ended while it waits, as those of a machine
// that was locked down, are no part of it any more.
func Asked(g jit.Grant) jit.Request {
	r := jit.Request{RequestorID: g.RequestorID, Requestor: g.Requestor, Justification: g.Justification, Opens: g.Wait.Opens}
	for _, vm := range g.VMs {
		asked := jit.RequestVM{VM: vm.VM}
		for _, w := range vm.Ports {
			if ended(w) {
				continue
			}
			p := jit.RequestPort{Number: w.Number, Duration: w.Length, Sources: w.Sources}
			if w.Fixed {
				p.Duration, p.End = 0, w.End
			}
			asked.Ports = append(asked.Ports, p)
		}
		if len(asked.Ports) > 0 {
			r.VMs = append(r.VMs, asked)
		}
	}
	return r
}

// ended reports whether a window is marked to close, or closed: it never comes back.
func ended(w jit.Window) bool { return w.Status == jit.Revoking || w.Status == jit.Revoked }

// Redecided returns a grant that waits with its windows as they were decided once more, from what [Asked] returns of it. Windows that have ended stay so.
func Redecided(g, decided jit.Grant) jit.Grant {
	var windows []jit.Window
	for _, vm := range decided.VMs {
		windows = append(windows, vm.Ports...)
	}
	decided.VMs = g.Each(func(_ jit.ID, w jit.Window) jit.Window {
		if ended(w) {
			return w
		}
		next := windows[0]
		windows = windows[1:]
		next.Fixed, next.Length = w.Fixed, w.Length
		return next
	}).VMs
	return decided
}
