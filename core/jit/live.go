package jit

import (
	"slices"
	"time"
)

// Live reports whether window w of grant g is open at now according to its record. The end is exclusive: at its
// end a port is closed.
func (g Grant) Live(w Window, now time.Time) bool {
	switch w.Status {
	case Initiating:
		return now.Before(w.End) && now.Before(g.OpenBy)
	case Initiated:
		return now.Before(w.End)
	}
	return false
}

// AnyLive reports whether any window is live at now.
func (g Grant) AnyLive(now time.Time) bool {
	return g.any(func(w Window) bool { return g.Live(w, now) })
}

// AnyOpen reports whether any window is live at now and confirmed open.
func (g Grant) AnyOpen(now time.Time) bool {
	return g.any(func(w Window) bool { return w.Status == Initiated && g.Live(w, now) })
}

// LiveAt reports whether any window of a machine is live at now.
func (g Grant) LiveAt(vm ID, now time.Time) bool {
	return slices.ContainsFunc(g.VMs, func(v GrantVM) bool {
		return v.VM.Equal(vm) && slices.ContainsFunc(v.Ports, func(w Window) bool { return g.Live(w, now) })
	})
}

// Lasts reports whether every window that is live at from is still live at to.
func (g Grant) Lasts(from, to time.Time) bool {
	return !g.any(func(w Window) bool { return g.Live(w, from) && !g.Live(w, to) })
}

// Closed reports whether every window is confirmed closed.
func (g Grant) Closed() bool { return !g.any(func(w Window) bool { return w.Status != Revoked }) }

// Overdue reports whether a window should be closed at now but is not confirmed closed; one that waits to be opened is due at the end of its
// wait alone.
func (g Grant) Overdue(now time.Time) bool {
	return g.any(func(w Window) bool { return w.Status != Revoked && !g.Live(w, now) && !g.waits(w, now) })
}

// DueSince returns the earliest time since which a window should have been closed, and whether there is one: see
// [Grant.Overdue].
func (g Grant) DueSince(now time.Time) (since time.Time, due bool) {
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if w.Status == Revoked || g.Live(w, now) || g.waits(w, now) {
				continue
			}
			end := w.End
			if w.unopened() && g.OpenBy.Before(end) {
				end = g.OpenBy
			}
			if !due || end.Before(since) {
				since = end
			}
			due = true
		}
	}
	return since, due
}
