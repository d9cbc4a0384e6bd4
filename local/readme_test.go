package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// step is a command of README's session, and what it prints there.
type step struct{ command, prints string }

// readme returns the steps of README's blocks of a console, in their order: commands stand after "$ " and go on after "> ".
func readme(t *testing.T) []step {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []step
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if command, is := strings.CutPrefix(line, "$ "); is {
				out = append(out, step{command: command})
				continue
			}
			if len(out) == 0 {
				t.Fatalf("README prints %q before the first command", line)
			}
			last := &out[len(out)-1]
			if more, is := strings.CutPrefix(line, "> "); is && last.prints == "" {
				last.command += more
			} else {
				last.prints += line
			}
		}
	}
	return out
}

// varies are what another run prints otherwise: ids, times, and what is made of them.
var varies = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|portcullis-allow-[0-9a-f]{32}-[0-9a-f]{8}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|\d+Dec\d{4}\d\d:\d\dUTC|…`)

// looks returns what a text of README matches: itself, but for what varies, and with anything for "…". Spaces do not count.
func looks(text string) *regexp.Regexp {
	text = strings.Join(strings.Fields(text), "")
	out, from := "^", 0
	for _, at := range varies.FindAllStringIndex(text, -1) {
		out += regexp.QuoteMeta(text[from:at[0]])
		if is := text[at[0]:at[1]]; is == "…" {
			out += ".*?"
		} else {
			out += "(" + varies.String() + ")"
		}
		from = at[1]
	}
	return regexp.MustCompile("(?s)" + out + regexp.QuoteMeta(text[from:]) + "$")
}

// shell is a shell that is given one command after the other.
type shell struct {
	in  *os.File
	out *bufio.Reader
}

func newShell(t *testing.T, preamble string) *shell {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	bash := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stdin = theirs
	out, err := bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stderr = bash.Stdout
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		ours.Close()
		theirs.Close()
		_ = bash.Wait() // it was ended
	})
	s := &shell{ours, bufio.NewReader(out)}
	s.run(t, preamble)
	return s
}

// run returns what a command prints.
func (s *shell) run(t *testing.T, command string) string {
	t.Helper()
	const end = "--that was it--"
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n%s\\n'\n", command, end); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%s\n%s%s: %v", command, out.String(), line, err)
		}
		if line == end+"\n" {
			return out.String()
		}
		out.WriteString(line)
	}
}

// looksOnly are commands that change nothing: what they print may come a moment later, and nobody sleeps for it.
var looksOnly = regexp.MustCompile(`^((sleep \d+; )?rules\b|curl [^|]*(/activity\b|/local/inbox\?))`)

// TestReadmeSession runs the session of README in a shell, on what make run starts, and holds that each command prints what stands there.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, *onHost == "real", t.TempDir(), nil, told)
	here := strings.NewReplacer(url(7071), url(r.ports.Host), url(7072), url(r.ports.ARM))
	bash := newShell(t, "sleep() { :; }")
	steps := readme(t)
	for _, s := range steps {
		want := looks(here.Replace(s.prints))
		command, got := here.Replace(s.command), ""
		printed := func() bool {
			got = bash.run(t, command)
			return want.MatchString(strings.Join(strings.Fields(got), ""))
		}
		if is := printed(); !is && (!looksOnly.MatchString(s.command) || !comes(printed)) {
			t.Errorf("$ %s\nprints\n%s\nand not, as README says,\n%s", s.command, got, s.prints)
		}
	}
	if len(steps) < 25 {
		t.Errorf("README's session has %d commands", len(steps))
	}
}
