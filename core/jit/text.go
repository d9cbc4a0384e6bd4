package jit

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns a text that a person wrote in the form in which it is kept: on one line. Line breaks, tabs and
// every kind of space become a space each, a CR LF one. What cannot be seen, or changes how the rest is seen,
// is refused with [CodeTextNotPrintable]: control characters, the marks that turn the direction of
// writing, other invisible characters, private and unassigned ones, bytes that are not UTF-8. The two joiners without width stay
// beside letters and signs, since Persian, the scripts of India and emoji are written with them.
//
// Text of its own result is that result. It does NOT bound the length, and says nothing of look-alike letters.
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

// Justification returns why somebody asks, as [Text] has it and without spaces around it. It refuses, with the target justification,
// what is longer than [MaxJustification] characters and what [Text] refuses.
func Justification(s string) (string, error) {
	// A character takes at most four bytes: what is far too long is not looked through.
	if len(s) > utf8.UTFMax*MaxJustification || utf8.RuneCountInString(s) > MaxJustification {
		return "", refuse(CodeJustificationTooLong, "justification", "the justification is longer than %d characters", MaxJustification)
	}
	text, err := Text(s)
	if err != nil {
		return "", Below(err, "justification")
	}
	return strings.TrimSpace(text), nil
}
