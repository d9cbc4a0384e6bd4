package jit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns free text in the form in which it is stored: on one line. Line breaks, tabs and all kinds of space
// become one space each; a CR LF becomes one space. Text refuses with [CodeTextNotPrintable] characters that are
// invisible or change how other text displays: control characters, bidirectional controls, other invisible
// characters, private-use and unassigned characters, and bytes that are not UTF-8. The two zero-width joiners are
// allowed next to letters and signs, since Persian, the scripts of India and emoji need them.
//
// Text is idempotent. It does NOT bound the length or detect look-alike letters.
func Text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", refuse(CodeTextNotPrintable, "", "the text is not valid UTF-8")
	}
	s = strings.ReplaceAll(s, "\r\n", " ")
	var b strings.Builder
	joinable := false
	for n, c := range []rune(s) {
		switch {
		case unicode.IsSpace(c) || unicode.Is(unicode.Z, c):
			c, joinable = ' ', false
		case c == zeroWidthJoiner || c == zeroWidthNonJoiner:
			if !joinable {
				return "", unprintable(c, n)
			}
			joinable = false
		case c == unicode.ReplacementChar || !unicode.IsPrint(c):
			return "", unprintable(c, n)
		default:
			joinable = true
		}
		b.WriteRune(c)
	}
	return b.String(), nil
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

func unprintable(c rune, n int) error {
	return refuse(CodeTextNotPrintable, "", "character %d, %U, cannot be seen; take it out", n+1, c)
}

// Justification returns the justification as [Text] normalizes it, without surrounding spaces. It refuses, with
// the target justification, text longer than [MaxJustification] characters and text that [Text] refuses.
func Justification(s string) (string, error) {
	return bounded(s, MaxJustification, CodeJustificationTooLong, "justification")
}

// bounded returns text of at most most characters as it is stored. It refuses a longer one with the given code.
func bounded(s string, most int, tooLong Code, target string) (string, error) {
	// A character takes at most four bytes, so text that is far too long is refused without counting.
	if len(s) > utf8.UTFMax*most || utf8.RuneCountInString(s) > most {
		return "", refuse(tooLong, target, "the %s is longer than %d characters", target, most)
	}
	text, err := Text(s)
	if err != nil {
		return "", Below(err, target)
	}
	return strings.TrimSpace(text), nil
}
