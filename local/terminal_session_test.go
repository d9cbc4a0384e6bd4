package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateReadme = flag.Bool("update-readme", false, "write the session of the README anew")

// recorded is the README's session at a terminal: what is typed stands after a dollar sign, and what is printed below it.
var recorded = regexp.MustCompile("(?ms)^(```console test=session\n)(.*?)^(```)$")

// changing is what differs between two runs of a session: ids, times, and lengths that go by.
var changing = []struct {
	what *regexp.Regexp
	is   string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`(\d{4}-\d\d-\d\d )?\d\d:\d\d(:\d\d)?`), "TIME"},
	{regexp.MustCompile(`\d+m\d+s`), "LENGTH"},
	{regexp.MustCompile(` +`), " "},
}

func unchanging(text string) string {
	for _, c := range changing {
		text = c.what.ReplaceAllString(text, c.is)
	}
	return text
}

// TestSession: what the README shows of the command line client is what it prints, here as the requester against the demo.
func TestSession(t *testing.T) {
	t.Parallel()
	const file = "../README.md"
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block := recorded.FindStringSubmatch(string(readme))
	if block == nil {
		t.Fatalf("%s has no block console test=session", file)
	}
	dir := t.TempDir()
	u := newTerminal(t, dir, filepath.Join(dir, "ssh", "config"))
	if err := os.Symlink(".", filepath.Join(dir, ".local")); err != nil { // where make run has its files
		t.Fatal(err)
	}
	var now strings.Builder
	for _, line := range strings.SplitAfter(block[2], "\n") {
		typed, is := strings.CutPrefix(line, "$ ")
		if !is {
			continue
		}
		c := exec.CommandContext(t.Context(), "bash", "-c", typed)
		c.Env, c.Dir = append(u.env, "TZ=UTC"), dir
		out, _ := c.CombinedOutput() // one of them is refused
		now.WriteString(line + string(out))
	}
	if *updateReadme {
		text := recorded.ReplaceAllLiteralString(string(readme), block[1]+now.String()+block[3])
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(unchanging(block[2]), unchanging(now.String())); diff != "" {
		t.Errorf("the session of %s (-) is not what is printed (+); go test ./local -run '^TestSession$' -update-readme writes it anew:\n%s", file, diff)
	}
	if strings.Count(now.String(), "$ ") < 5 || u.open("web-nsg") {
		t.Errorf("after %s\nthe rules are %q", now.String(), u.rules("web-nsg"))
	}
}
