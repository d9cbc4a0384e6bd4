package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

const day = 24 * time.Hour

// Chart is windows over time. Places are in percent of the width and in pixels of
// the height, so that the picture takes any width without its text changing size.
type Chart struct {
	From, To time.Time
	Height   int
	Lanes    []lane
	Ticks    []tick
	Bars     []bar // of all lanes: the same in words
	Cut      bool  // there were more than are drawn
	Words    string
}

type lane struct {
	Name   string
	Who    string
	Text   int // y of its name
	Top    int // y of its first row
	Height int
	Bars   []bar
}

type bar struct {
	X, Width   string
	Y          int
	Class      string
	Machine    string
	VMID       string
	Port       string
	Requestor  string
	Why        string
	Sources    string
	Start, End time.Time
	State      string
	Grant      string
	Badge      string // of a request that skipped the approval; "" for any other
}

type tick struct{ X, Label, Anchor string }

const (
	rowHeight  = 14
	rowGap     = 4
	nameHeight = 22
	axisHeight = 24
)

// Draw makes the picture of grants in [from, to).
func Draw(grants []jit.Grant, vm jit.ID, from, to time.Time) Chart {
	out := Chart{From: from, To: to}
	byLane := map[string][]bar{}
	for _, g := range grants {
		for _, part := range g.VMs {
			if !vm.IsZero() && !part.VM.Equal(vm) {
				continue
			}
			for _, w := range part.Ports {
				b, ok := barOf(g, part.VM, w, grants, from, to)
				if ok {
					byLane[fmt.Sprintf("%s\x00%05d", part.VM.Key(), w.Number)] = append(byLane[fmt.Sprintf("%s\x00%05d", part.VM.Key(), w.Number)], b)
				}
			}
		}
	}
	keys := make([]string, 0, len(byLane))
	for k := range byLane {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	y := 0
	for _, k := range keys {
		l := layLane(byLane[k], y)
		y = l.Top + l.Height + 10
		out.Lanes = append(out.Lanes, l)
		out.Bars = append(out.Bars, l.Bars...)
	}
	slices.SortStableFunc(out.Bars, func(a, b bar) int { return b.Start.Compare(a.Start) })
	out.Height = y + axisHeight
	out.Ticks = ticks(from, to)
	out.Words = fmt.Sprintf("%s on %s in the %s before %s. The table below says the same.", words.Counted(len(out.Bars), "window", "windows"),
		words.Counted(len(out.Lanes), "port", "ports"), map[bool]string{true: "24 hours", false: "7 days"}[to.Sub(from) <= day], words.When(to))
	return out
}

// barOf places one window, if some of it lies in [from, to). What waits to be opened, or has ended before it was, has none.
func barOf(g jit.Grant, vm jit.ID, w jit.Window, grants []jit.Grant, from, to time.Time) (bar, bool) {
	b := bar{Machine: vm.Name, VMID: vm.String(), Port: strings.TrimSpace(fmt.Sprint(w.Number, " ", words.Service(w.Number))), Requestor: g.Requestor, Why: g.Justification,
		Sources: words.Sources(w.Sources), Start: g.Begins(), End: w.End, State: words.State(g, w, to), Grant: g.ID, Badge: words.BreakGlass(g.BreakGlass)}
	if w.Reason == jit.NewerRequestInitiated {
		b.End = replaced(g, vm, w, grants)
	}
	if w.Waits() || g.Unreleased() || !b.End.After(from) || !b.Start.Before(to) {
		return b, false
	}
	b.Class = map[string]string{"closed": "bar-closed", "failed": "bar-failed"}[b.State]
	if b.Class == "" {
		b.Class = "bar-open"
	}
	start, end := percent(b.Start, from, to), percent(b.End, from, to)
	end = max(end, start+0.5) // one that was short is still seen
	b.X, b.Width = fmt.Sprintf("%.2f%%", min(start, 99.5)), fmt.Sprintf("%.2f%%", end-start)
	return b, true
}

// replaced gives when a newer grant took a window's place: its end is kept as it was asked for.
func replaced(g jit.Grant, vm jit.ID, w jit.Window, grants []jit.Grant) time.Time {
	end := w.End
	for _, o := range grants {
		if o.ID == g.ID || !o.SameRequestor(g.RequestorID, g.Requestor) || !o.Start.After(g.Start) || !o.Start.Before(end) {
			continue
		}
		for _, part := range o.VMs {
			if part.VM.Equal(vm) && slices.ContainsFunc(part.Ports, func(n jit.Window) bool { return n.Number == w.Number && n.Sources.Equal(w.Sources) }) {
				end = o.Start
			}
		}
	}
	return end
}

func percent(t, from, to time.Time) float64 {
	p := 100 * float64(t.Sub(from)) / float64(to.Sub(from))
	return min(max(p, 0), 100)
}

// layLane puts bars that overlap into rows of their own.
func layLane(bars []bar, y int) lane {
	slices.SortStableFunc(bars, func(a, b bar) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Grant, b.Grant)) })
	l := lane{Name: bars[0].Machine + ", port " + bars[0].Port, Text: y + 15, Top: y + nameHeight}
	var ends []time.Time
	var who []string
	for i := range bars {
		row := slices.IndexFunc(ends, func(end time.Time) bool { return !end.After(bars[i].Start) })
		if row < 0 {
			row = len(ends)
			ends = append(ends, time.Time{})
		}
		ends[row] = bars[i].End
		bars[i].Y = l.Top + row*(rowHeight+rowGap)
		if !slices.Contains(who, bars[i].Requestor) {
			who = append(who, bars[i].Requestor)
		}
	}
	l.Bars, l.Height = bars, len(ends)*(rowHeight+rowGap)-rowGap
	l.Who = strings.Join(who, ", ")
	return l
}

// ticks gives the marks of the axis: every four hours of a day, every day of a week.
func ticks(from, to time.Time) []tick {
	step, form := 4*time.Hour, "15:04"
	if to.Sub(from) > day {
		step, form = day, "Mon 2"
	}
	var out []tick
	for t := from.Truncate(step).Add(step); t.Before(to); t = t.Add(step) {
		p := percent(t, from, to)
		anchor := "middle"
		switch {
		case p < 5:
			anchor = "start"
		case p > 95:
			anchor = "end"
		}
		out = append(out, tick{fmt.Sprintf("%.2f%%", p), t.UTC().Format(form), anchor})
	}
	return out
}
