package terminal_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/terminal"
)

// TestPlain: what others wrote neither moves the cursor, nor colours anything, nor turns the direction of a line.
func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "",
		"look at the logs":       "look at the logs",
		"Zoë 🦊 日本":               "Zoë 🦊 日本",
		"two\nlines":             "two\nlines",
		"\x1b[2J\x1b[31mred":     "\ufffd[2J\ufffd[31mred",
		"\u009b2J":               "\ufffd2J",
		"back\b\b\rover":         "back\ufffd\ufffd\ufffdover",
		"a\u202eb\u2066c":        "a\ufffdb\ufffdc",
		"\x1b]0;title\x07\x00\t": "\ufffd]0;title\ufffd\ufffd\ufffd",
	} {
		if got := terminal.Plain(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	var out bytes.Buffer
	terminal.Table(&out, []string{"A", "B"}, [][]string{{"\x1b[31m", "two\nlines"}, {"", "x"}})
	if got, want := out.String(), "A      B\n\ufffd[31m  two lines\n       x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNobodyThere: without a terminal nothing is asked; only --yes goes on.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	term := &terminal.Terminal{In: strings.NewReader("y\n"), Out: io.Discard, Err: &errs}
	if err := term.Confirm("Go on?"); term.Asks() || exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("%v", err)
	}
	if _, err := term.Ask("Why?", "because"); err == nil {
		t.Error("it was answered by nobody")
	}
	term.Yes = true
	if err := term.Confirm("Go on?"); err != nil || errs.Len() > 0 {
		t.Errorf("%v, said %q", err, errs.String())
	}
}

// TestProgress says each thing once, and nothing where it is quiet.
func TestProgress(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	term := &terminal.Terminal{Err: &errs}
	for _, n := range []int{1, 1, 2, 2} {
		term.Progress("%d of 2", n)
	}
	term.Quiet = true
	term.Progress("done")
	term.Warn("%s", "late")
	if want := "1 of 2\n2 of 2\nwarning: late\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}
