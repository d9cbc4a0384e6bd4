package tell

import (
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Lead is how long before the end of a window people are reminded. slack is how much earlier a reminder may come: clocks differ.
const (
	Lead  = 10 * time.Minute
	slack = time.Minute
)

// stuckTries is after how many failed closings people are told: the first ones follow each other within seconds.
const stuckTries = 3

// The marks of [store.Told.Windows].
const (
	markNone  = '-'
	markOpen  = 'o'
	markEnded = 'e'
)

// Due returns a grant with the messages that a write of it as it is now has to tell, and notes them as told. What the record tells by itself comes
// first: of these messages the writer sets the kind and what only he knows.
func Due(rec store.GrantRecord, now time.Time) (store.GrantRecord, []store.Message) {
	var out []store.Message
	add := func(m store.Message, windows []store.ToldWindow) {
		rec.Told.Seq++
		m.At, m.Subject, m.Began, m.Seq, m.Grant = now, rec.Grant.ID, rec.Grant.Start, rec.Told.Seq, rec.Grant.ID
		m.Requestor, m.Justification = rec.Grant.Requestor, rec.Grant.Justification
		m.Windows = windows[:min(len(windows), store.MaxToldWindows)]
		m.More = len(windows) - len(m.Windows)
		out = append(out, m)
	}
	for _, l := range append(broken(rec), rec.Tell...) {
		windows := l.Windows
		if windows == nil {
			windows = windowsOf(rec, func(int, jit.Window) bool { return true })
		}
		add(l.Message, windows)
	}
	rec.Tell = nil
	marks := marksOf(rec)
	var reason jit.Reason
	opened := windowsOf(rec, func(n int, w jit.Window) bool { return w.Status == jit.Initiated && marks[n] == markNone })
	ended := windowsOf(rec, func(n int, w jit.Window) bool {
		is := w.Status == jit.Revoked && (marks[n] == markOpen || marks[n] == markNone && (!w.Unconfirmed || w.Reason != jit.Denied && rec.Grant.Unreleased()))
		if is && reason == "" {
			reason = w.Reason
		}
		return is
	})
	windowsOf(rec, func(n int, w jit.Window) bool {
		switch w.Status {
		case jit.Initiated:
			marks[n] = markOpen
		case jit.Revoked:
			marks[n] = markEnded
		}
		return false
	})
	rec.Told.Windows = string(marks)
	if len(opened) > 0 {
		add(store.Message{Kind: store.EventOpen}, opened)
	}
	if rec.Attempts >= stuckTries && !rec.Told.Stuck && !rec.Grant.Closed() {
		rec.Told.Stuck = true
		add(store.Message{Kind: store.EventCouldNotClose, Text: rec.LastError}, windowsOf(rec, func(_ int, w jit.Window) bool { return w.Status == jit.Revoking }))
	}
	if len(ended) > 0 {
		add(store.Message{Kind: store.EventEnded, Reason: string(reason), Text: rec.Failed}, ended)
	}
	return rec, out
}

// broken returns what the write that stores a break-glass tells: at once, and in the transaction that lets it open.
func broken(rec store.GrantRecord) []store.Letter {
	kind := store.EventBreakGlass
	if rec.Grant.BreakGlass == jit.BreakGlassDrill {
		kind = store.EventDrill
	}
	if rec.Version != "" || rec.Grant.BreakGlass == jit.NoBreakGlass {
		return nil
	}
	return []store.Letter{{Message: store.Message{Kind: kind}}}
}

// reminded returns a grant that is to remind people of the windows that are about to end, and whether there are any of which nobody was reminded yet.
func reminded(rec store.GrantRecord, now time.Time) (store.GrantRecord, bool) {
	latest := rec.Told.Reminded
	windows := windowsOf(rec, func(_ int, w jit.Window) bool {
		near := w.Status == jit.Initiated && now.Before(w.End) && !w.End.After(now.Add(Lead+slack)) && w.End.After(rec.Told.Reminded)
		if near && w.End.After(latest) {
			latest = w.End
		}
		return near
	})
	if len(windows) == 0 {
		return rec, false
	}
	rec.Told.Reminded = latest
	rec.Tell = append(rec.Tell[:len(rec.Tell):len(rec.Tell)], store.Letter{Message: store.Message{Kind: store.EventReminder, Windows: windows}})
	return rec, true
}

// marksOf returns what was told of each window. Windows of which a record knows nothing were never told.
func marksOf(rec store.GrantRecord) []byte {
	marks := []byte(rec.Told.Windows)
	n := 0
	for _, vm := range rec.Grant.VMs {
		n += len(vm.Ports)
	}
	for len(marks) < n {
		marks = append(marks, markNone)
	}
	return marks
}

// windowsOf returns the windows of a grant for which is holds, given their places.
func windowsOf(rec store.GrantRecord, is func(n int, w jit.Window) bool) []store.ToldWindow {
	out, n := []store.ToldWindow{}, 0
	for _, vm := range rec.Grant.VMs {
		for _, w := range vm.Ports {
			if is(n, w) {
				out = append(out, windowOf(rec, vm.VM, w))
			}
			n++
		}
	}
	return out
}

func windowOf(rec store.GrantRecord, vm jit.ID, w jit.Window) store.ToldWindow {
	t := store.ToldWindow{VM: vm, Port: w.Number, End: w.End, Sources: w.Sources.Strings()}
	t.Sources = t.Sources[:min(len(t.Sources), store.MaxToldSources)]
	if w.Status == jit.Initiated {
		for _, a := range rec.Dial(vm, w) {
			if len(t.Dial) < store.MaxToldSources {
				t.Dial = append(t.Dial, a.String())
			}
		}
	}
	return t
}
