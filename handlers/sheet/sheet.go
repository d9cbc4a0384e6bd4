// Package sheet writes tables that spreadsheets read: CSV of RFC 4180, in which no cell is taken for a formula and none
// goes over more than its line. What may stand in it, and who may have it, is decided before.
package sheet

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"unicode"
)

// ContentType is what such a table is sent as.
const ContentType = "text/csv; charset=utf-8; header=present"

// Writer writes a table row by row.
type Writer struct{ csv *csv.Writer }

// New returns a writer of a table.
func New(w io.Writer) *Writer {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	return &Writer{out}
}

// Write writes one row.
func (w *Writer) Write(cells ...string) error {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = safeCell(oneLine(cell))
	}
	return w.csv.Write(row)
}

// End writes what is left, and tells what went wrong with any row.
func (w *Writer) End() error {
	w.csv.Flush()
	return w.csv.Error()
}

// oneLine gives a cell that stays on its line for whatever reads by lines, and that holds nothing by which it looks
// like another: line breaks of every kind become spaces, and what cannot be seen becomes U+FFFD. What comes in now holds
// neither (see jit.Text); earlier entries, and messages of others, may. JSON lines hold them as they are, escaped.
func oneLine(s string) string {
	s = strings.ReplaceAll(s, "\r\n", " ")
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c) || unicode.Is(unicode.Z, c):
			return ' '
		case unicode.IsPrint(c) || c == '\u200c' || c == '\u200d':
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

// safeCell puts an apostrophe before what a spreadsheet could take for a formula
// (https://owasp.org/www-community/attacks/CSV_Injection): a text whose first character is one of
// = + - @, a tab or an end of line, their full-width forms included, also after blanks and quotes, which
// some strip.
func safeCell(s string) string {
	for _, c := range s {
		switch {
		case slices.Contains([]rune("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"), c):
			return "'" + s
		case !unicode.IsSpace(c) && !strings.ContainsRune("\"'`\ufeff\u200b\u201c\u201d\u2018\u2019", c):
			return s
		}
	}
	return s
}
