package words

import (
	"regexp"
	"strings"
	"time"
)

// What messages hold for programs: instants and ids of resources.
var (
	instants = regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})`)
	ids      = regexp.MustCompile(`(?i)/subscriptions/[^\s,;:"'()]+/providers/[^\s,;:"'()]+`)
)

// plain writes a message's instants as the page does, and the names of resources instead of their ids.
func plain(s string) string {
	s = instants.ReplaceAllStringFunc(s, func(text string) string {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return text
		}
		return When(at)
	})
	return ids.ReplaceAllStringFunc(s, func(id string) string {
		bare := strings.TrimRight(id, "./")
		return bare[strings.LastIndex(bare, "/")+1:] + id[len(bare):]
	})
}
