package words

import (
	"fmt"
	"strings"
	"time"

	"portcullis/core/jit"
)

// Waits says what a request waits for, as of its status; "" for one that does not wait.
func Waits(g jit.Grant) string {
	switch g.Status() {
	case jit.Scheduled:
		return "It opens by itself at " + When(g.Wait.Opens) + ", and is decided again then."
	case jit.AwaitingApproval:
	default:
		return ""
	}
	text := fmt.Sprintf("%s must approve until %s.", Counted(max(g.Wait.Approvers, 1), "other person", "other people"), When(g.OpenBy))
	if by := approvedBy(g); by != "" {
		text += " Approved so far by " + by + "."
	}
	if !g.Wait.Opens.IsZero() {
		text += " It opens at " + When(g.Wait.Opens) + "."
	}
	return text
}

func approvedBy(g jit.Grant) string {
	var names []string
	for _, a := range g.Wait.Approvals {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

// Unopened says why a request was never opened.
func Unopened(g jit.Grant) string {
	switch {
	case g.Reason() == jit.Denied && g.Wait.Denied.Name != "":
		return fmt.Sprintf("%s denied it: %s", g.Wait.Denied.Name, Sentence(g.Wait.Denied.Reason))
	case g.Reason() == jit.UserRequested && g.Unreleased():
		return "It was cancelled before it was opened."
	}
	return Because(Reason(string(g.Reason())), "")
}

// Asked says what was asked for of a port of a machine, and for how long.
func Asked(vm jit.ID, w jit.Window) string {
	return strings.TrimRight(fmt.Sprintf("port %d %s", w.Number, Service(w.Number)), " ") + " of " + vm.Name + " for " + jit.Length(w.Length)
}

// Days says how far ahead something may be: in days, where these are whole.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	if d < day || d%day != 0 {
		return jit.Length(d)
	}
	return Counted(int(d/day), "day", "days")
}

// Lasts says how long a window is asked for that waits to be opened: its length counts from then, an end that was asked for as a time stays.
func Lasts(w jit.Window) string {
	if w.Fixed || w.Length == 0 {
		return "until " + When(w.End)
	}
	return "for " + jit.Length(w.Length)
}
