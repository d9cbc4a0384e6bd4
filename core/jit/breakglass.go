package jit

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// BreakGlass says whether a request skips the approval of others, in an emergency. It skips nothing else. The zero value skips nothing.
type BreakGlass string

// The kinds of break-glass.
const (
	NoBreakGlass    BreakGlass = ""
	BreakGlassOpens BreakGlass = "BreakGlass" // opens at once, and somebody else has to review it
	BreakGlassDrill BreakGlass = "Drill"      // the same, and opens nothing
)

// BreakGlassOf reads the two flags of a request. A drill of nothing is refused with [CodeDrillAlone]: somebody meant something by it.
func BreakGlassOf(breaks, drill bool) (BreakGlass, error) {
	switch {
	case drill && !breaks:
		return NoBreakGlass, refuse(CodeDrillAlone, "drill", "a drill is one of break-glass: send breakGlass too, or leave drill out")
	case drill:
		return BreakGlassDrill, nil
	case breaks:
		return BreakGlassOpens, nil
	}
	return NoBreakGlass, nil
}

// AtMost returns the policy with no port's maximum longer than most.
func (p Policy) AtMost(most time.Duration) Policy {
	p.Ports = slices.Clone(p.Ports)
	for i := range p.Ports {
		p.Ports[i].Maximum = min(p.Ports[i].Maximum, most)
	}
	return p
}

// Drilled returns the grant of a drill: none of its windows is ever live, and closing it needs no rule to go. Any other grant is returned as it is.
func (g Grant) Drilled() Grant {
	if g.BreakGlass != BreakGlassDrill {
		return g
	}
	g.OpenBy = g.Start
	return g.Each(func(_ ID, w Window) Window {
		w.End, w.Reason = g.Start, DrillOnly
		return w
	})
}

// NeverOpened reports whether every window was marked to close before it was confirmed open, and none is live at now.
func (g Grant) NeverOpened(now time.Time) bool {
	return !g.AnyLive(now) && !g.any(func(w Window) bool { return !w.Unconfirmed })
}

// Review returns what somebody writes about a break-glass as [Text] normalizes it, without surrounding spaces. It refuses, with the target
// review, text without a visible character, text longer than [MaxReview] characters, and text that [Text] refuses.
func Review(s string) (string, error) {
	text, err := bounded(s, MaxReview, CodeReviewTooLong, "review")
	if err == nil && !Says(text) {
		err = refuse(CodeReviewMissing, "review", "write what happened: why it was needed, and what was done")
	}
	return text, err
}

// Says reports whether a text has a visible character.
func Says(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) })
}
