package tell

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Card is how a message reads: plain text on single lines, without anything invisible. A channel escapes it for itself and cuts it to its limits.
type Card struct {
	Message store.Message
	Title   string
	Tone    Tone
	Lines   []string // sentences
	Facts   []Fact
	Links   []Link // to the page, where people sign in; none does anything by itself
}

// Fact is a named value.
type Fact struct{ Name, Value string }

// Link leads to the page.
type Link struct{ Text, URL string }

// Tone says how a message is meant.
type Tone string

// The tones.
const (
	Plain     Tone = "plain"
	Good      Tone = "good"
	Attention Tone = "attention"
	Bad       Tone = "bad"
)

// wording is what a kind of message says by itself. In the texts %s is the machines and ports.
type wording struct {
	title string
	tone  Tone
	line  string
	link  string
}

func wordings() map[store.EventKind]wording {
	return map[store.EventKind]wording{
		store.EventWaiting:       {"Waiting for approval: %s", Attention, "Somebody who may approve has to decide. Nothing is open.", "Look at it and decide"},
		store.EventApproved:      {"Approved: %s", Good, "It opens now, or when it was asked for.", "Look at the request"},
		store.EventDenied:        {"Denied: %s", Attention, "Nothing was opened.", "Look at the request"},
		store.EventOpen:          {"Open: %s", Good, "", "Look at the request, or close it"},
		store.EventReminder:      {"Ends soon: %s", Attention, "It closes by itself. Extend it if it is still needed, or close it now.", "Extend or close"},
		store.EventEnded:         {"Ended: %s", Plain, "Nothing of it is open; that was confirmed.", "Look at the request"},
		store.EventCouldNotClose: {"NOT CLOSED: %s", Bad, "It should be closed, and several tries have failed. Every sweep tries again. Look whether a lock or a missing permission keeps the rule.", "Look at the request"},
		store.EventBreakGlass:    {"BREAK-GLASS: %s", Bad, "It opens now, without approval. Somebody else has to write what happened.", "Look at the request"},
		store.EventDrill:         {"DRILL of break-glass: %s", Attention, "This is a drill: nothing opens. Somebody else has to write what happened all the same.", "Look at the request"},
		store.EventRepaired:      {"Repaired: rules were changed by others", Attention, "They have been put right.", "Look at the findings"},
		store.EventLockdown:      {"LOCKED DOWN", Bad, "What was open there is closed.", "Look at what is held"},
	}
}

// The bounds of what a card holds, so that every channel has the same to cut.
const (
	maxFacts = 12
	maxText  = 1000 // bytes of a value
)

// CardOf returns the card of a message, with links to the page.
func CardOf(m store.Message, page string) Card {
	w, ok := wordings()[m.Kind]
	if !ok { // of a newer version
		w = wording{string(m.Kind) + ": %s", Plain, "", "Look at the request"}
	}
	c := Card{Message: m, Title: w.title, Tone: w.tone}
	if strings.Contains(w.title, "%s") {
		c.Title = fmt.Sprintf(w.title, printable(machinesOf(m)))
	}
	for _, line := range []string{w.line, printable(m.Text)} {
		if line != "" {
			c.Lines = append(c.Lines, line)
		}
	}
	fact := func(name, value string) {
		if value != "" && len(c.Facts) < maxFacts {
			c.Facts = append(c.Facts, Fact{name, printable(value)})
		}
	}
	fact("For", m.Requestor)
	fact("Why", m.Justification)
	fact("By", m.By)
	fact("Reason", m.Reason)
	for _, window := range m.Windows {
		fact(fmt.Sprintf("%s, port %d", window.VM.Name, window.Port), windowText(m.Kind, window))
	}
	if left := len(m.Windows) + m.More - windowFacts(c.Facts, m); left > 0 && len(m.Windows) > 0 {
		c.Lines = append(c.Lines, fmt.Sprintf("And %d more ports.", left))
	}
	if page != "" {
		to := page + "/findings"
		switch {
		case m.Grant != "":
			to = page + "/requests/" + url.PathEscape(m.Grant)
		case m.Kind == store.EventLockdown:
			to = page + "/lockdown"
		}
		c.Links = []Link{{w.link, to}}
	}
	return c
}

// windowFacts returns how many of the facts are about windows.
func windowFacts(facts []Fact, m store.Message) int {
	n := len(facts)
	for _, v := range []string{m.Requestor, m.Justification, m.By, m.Reason} {
		if v != "" {
			n--
		}
	}
	return n
}

// windowText tells of a window what matters for the kind of message.
func windowText(kind store.EventKind, w store.ToldWindow) string {
	end := w.End.UTC().Format("2 Jan 2006 15:04 UTC")
	switch {
	case kind == store.EventEnded || kind == store.EventCouldNotClose:
		return "was to end " + end
	case kind == store.EventDrill || kind == store.EventDenied:
		return "from " + strings.Join(w.Sources, ", ")
	case kind == store.EventWaiting || kind == store.EventApproved: // nothing can be dialled yet, and the time counts from the opening
		return fmt.Sprintf("from %s, until %s at the latest", strings.Join(w.Sources, ", "), end)
	case len(w.Dial) > 0:
		return fmt.Sprintf("dial %s, from %s, until %s", strings.Join(w.Dial, " or "), strings.Join(w.Sources, ", "), end)
	}
	return fmt.Sprintf("from %s, until %s", strings.Join(w.Sources, ", "), end)
}

// machinesOf names the machines and ports of a message, as far as a title has room.
func machinesOf(m store.Message) string {
	var parts []string
	var last jit.ID
	for _, w := range m.Windows {
		if w.VM.Equal(last) {
			parts[len(parts)-1] += fmt.Sprintf(", %d", w.Port)
			continue
		}
		last = w.VM
		parts = append(parts, fmt.Sprintf("%s port %d", w.VM.Name, w.Port))
	}
	if more := len(parts) - 3; more > 0 {
		parts = append(slices.Clone(parts[:3]), fmt.Sprintf("%d more machines", more))
	}
	return strings.Join(parts, "; ")
}

// printable returns text on one line, without characters that cannot be seen or that change how others are shown.
func printable(s string) string {
	if text, err := jit.Text(s); err == nil {
		return store.Cut(text, maxText)
	}
	return store.Cut(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")), maxText)
}

// Stamp returns the time of a message as channels write it.
func (c Card) Stamp() string { return c.Message.At.UTC().Format(time.RFC3339) }
