// Package terminal is what a person sees: answers on stdout, everything else on stderr, questions only where somebody is there to answer.
//
// What comes from elsewhere (names, justifications) is shown without control characters, so that nobody else's text moves the cursor.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"portcullis/cmd/portcullis/exit"
)

// Terminal is where a verb reads and writes. JSON and Yes are the person's flags.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool // answers in the API's own shapes
	Yes      bool // no question: yes to all
	Quiet    bool // nothing on stderr but errors

	mu   sync.Mutex
	last string // what Progress said
}

// Asks reports whether somebody is there to answer a question.
func (t *Terminal) Asks() bool {
	in, ok := t.In.(*os.File)
	out, okay := t.Err.(*os.File)
	return ok && okay && !t.JSON && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))
}

// Say writes a line for people, on stderr.
func (t *Terminal) Say(format string, args ...any) {
	if !t.Quiet {
		fmt.Fprintln(t.Err, Plain(fmt.Sprintf(format, args...)))
	}
}

// Warn writes a line that people should read, on stderr, also where it is quiet.
func (t *Terminal) Warn(format string, args ...any) {
	fmt.Fprintln(t.Err, "warning: "+Plain(fmt.Sprintf(format, args...)))
}

// Progress says how far something is, where that differs from what it said before.
func (t *Terminal) Progress(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if text != t.last {
		t.last = text
		t.Say("%s", text)
	}
}

// Print writes an answer on stdout: as JSON where that was asked for, and otherwise by show.
func (t *Terminal) Print(answer any, show func(io.Writer)) error {
	if !t.JSON {
		show(t.Out)
		return nil
	}
	if err := json.MarshalWrite(t.Out, answer, jsontext.WithIndent("  "), json.Deterministic(true)); err != nil {
		return err
	}
	_, err := io.WriteString(t.Out, "\n")
	return err
}

// Table writes rows below a header, without lines, so that it can be cut and searched.
func Table(w io.Writer, header []string, rows [][]string) {
	out := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	out.SetStyle(style)
	out.SuppressTrailingSpaces()
	out.AppendHeader(cells(header))
	for _, r := range rows {
		out.AppendRow(cells(r))
	}
	fmt.Fprintln(w, out.Render())
}

// Pairs writes names and values, one pair a line.
func Pairs(w io.Writer, rows [][]string) {
	widest := 0
	for _, r := range rows {
		widest = max(widest, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%-*s  %s\n", widest, Plain(r[0]), strings.ReplaceAll(Plain(r[1]), "\n", " "))
	}
}

func cells(texts []string) table.Row {
	row := make(table.Row, len(texts))
	for i, s := range texts {
		row[i] = strings.ReplaceAll(Plain(s), "\n", " ")
	}
	return row
}

// Plain gives a text without what a terminal would obey, and without what would turn its direction. Line breaks stay.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Confirm asks whether to go on. Without somebody to answer, only --yes goes on.
func (t *Terminal) Confirm(question string) error {
	if t.Yes {
		return nil
	}
	if !t.Asks() {
		return exit.Usagef("%s Nobody is there to say so; --yes says it", question)
	}
	answer, err := t.Ask(question+" [y/N]", "")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return exit.With(exit.Usage, errors.New("nothing was done"))
	}
	return nil
}

// Ask asks for a line, which is usual where nothing is typed. It must not be called where nobody is there: see Asks.
func (t *Terminal) Ask(question, usual string) (string, error) {
	in, ok := t.In.(*os.File)
	if !ok {
		return "", errors.New("nobody is there to ask")
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return "", err
	}
	defer term.Restore(int(in.Fd()), before)
	if usual != "" {
		question += " [" + usual + "]"
	}
	line, err := term.NewTerminal(both{t.In, t.Err}, Plain(question)+" ").ReadLine()
	if errors.Is(err, io.EOF) { // Ctrl-C and Ctrl-D
		return "", exit.With(exit.Interrupted, errors.New("interrupted"))
	}
	if line = strings.TrimSpace(line); line == "" {
		line = usual
	}
	return line, err
}

type both struct {
	io.Reader
	io.Writer
}

// Local gives a time as the person's clock has it.
func Local(rfc3339 string) string {
	at, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		return rfc3339
	}
	return at.Local().Format("2006-01-02 15:04:05")
}
