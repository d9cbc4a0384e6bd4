package words

import (
	"fmt"

	"portcullis/core/lockdown"
)

// HeldUnknown says that nobody knows whether openings are held.
const HeldUnknown = "It cannot be read whether openings are held. Until it can, nothing new opens; what is open can be closed."

// Held says what is locked down, a text for each hold.
func Held(list []lockdown.Standing) []string {
	var out []string
	for _, h := range list {
		text := fmt.Sprintf("Nothing new may open for %s since %s. What is open can be closed.", h.Scope, When(h.At))
		if h.MayLift {
			text += fmt.Sprintf(" By %s: %s", h.By, Sentence(h.Reason))
		}
		out = append(out, text)
	}
	return out
}
