package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// release is what has been checked and is to be made.
type release struct {
	root    string // the top of the checkout
	commit  string
	version string // as 0.1.0
	tag     string // as v0.1.0
	notes   string // the section of CHANGELOG.md without its heading, with one newline at its end
	signOff string // the line that says who stands for the notes
}

var form = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)

// check refuses whatever must not be released.
func check(ctx context.Context, version string) (*release, error) {
	if !form.MatchString(version) {
		return nil, fmt.Errorf("%q is no version: give VERSION=x.y.z, three numbers without a v", version)
	}
	root, err := run(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("a release is made of a commit: %w", err)
	}
	r := &release{root: root, version: version, tag: "v" + version}
	if r.commit, err = r.git(ctx, "rev-parse", "--verify", "HEAD"); err != nil {
		return nil, err
	}
	if changed, err := r.git(ctx, "status", "--porcelain", "--untracked-files=all"); err != nil || changed != "" {
		return nil, errors.Join(err, fmt.Errorf("the tree is dirty: commit or remove these first\n%s", changed))
	}
	if there, err := r.git(ctx, "tag", "--list", r.tag); err != nil || there != "" {
		return nil, errors.Join(err, fmt.Errorf("the tag %s is there already: a version that was given away is never made again", r.tag))
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	if r.notes, err = section(string(text), version); err != nil {
		return nil, fmt.Errorf("CHANGELOG.md: %w", err)
	}
	who, err := r.git(ctx, "var", "GIT_COMMITTER_IDENT")
	if err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(who, "> ") // then time and zone
	r.signOff = "Signed-off-by: " + name + ">"
	return r, nil
}

// wanted is what the head of CHANGELOG.md promises of each section.
var wanted = []string{"### New permissions and settings", "### Going back"}

// section returns the text below a version's heading, which is "## 0.1.0", with " - " and a date behind it or not. It has to be the newest
// version's, and whole; and nothing may wait under "## Unreleased", since what is there is in this commit too.
func section(changelog, version string) (string, error) {
	var headings []string
	texts := map[string]string{}
	for i, part := range strings.Split("\n"+changelog, "\n## ") {
		if i == 0 {
			continue
		}
		heading, text, _ := strings.Cut(part, "\n")
		heading, _, _ = strings.Cut(strings.TrimSpace(heading), " - ")
		if _, twice := texts[heading]; twice {
			return "", fmt.Errorf("there are two sections for %s", heading)
		}
		texts[heading] = strings.TrimSpace(text)
		if heading != "Unreleased" {
			headings = append(headings, heading)
		}
	}
	text, there := texts[version]
	switch {
	case !there && len(headings) == 0:
		return "", fmt.Errorf("there is no section for %s: what is under Unreleased has to be moved to one", version)
	case !there:
		return "", fmt.Errorf("there is no section for %s, the newest is %s", version, headings[0])
	case headings[0] != version:
		return "", fmt.Errorf("%s comes before %s: a section is for the commit that has it first", headings[0], version)
	case texts["Unreleased"] != "":
		return "", fmt.Errorf("what is under Unreleased is in this commit too: move it to %s", version)
	}
	for _, w := range wanted {
		_, below, found := strings.Cut(text+"\n", w+"\n")
		below, _, _ = strings.Cut(below, "\n### ")
		if !found || strings.TrimSpace(below) == "" {
			return "", fmt.Errorf("the section for %s says nothing under %q", version, w)
		}
	}
	return text + "\n", nil
}

// git runs git at the top of the checkout.
func (r *release) git(ctx context.Context, args ...string) (string, error) {
	return run(ctx, r.root, "git", args...)
}

// run returns what a command says on standard output, without the space around it.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("%s %s: %w\n%s", name, args[0], err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}
