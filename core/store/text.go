package store

import "strings"

// Cut returns a text that is no longer than most bytes, and else its beginning, to a whole letter, with "..." behind it.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// FoldName returns the form in which names are compared: case does not count.
func FoldName(name string) string { return strings.ToLower(name) }
