package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// section is what CHANGELOG.md has of a version. Its headings are what git takes for comments.
const section = "What is new.\n\n### New permissions and settings\n\n- None.\n\n### Going back\n\n- Any time.\n"

// checkout is a repository of a test's own.
type checkout struct {
	t   *testing.T
	dir string
}

// newCheckout begins an empty one, of somebody who signs nothing.
func newCheckout(t *testing.T) checkout {
	t.Helper()
	c := checkout{t, t.TempDir()}
	c.must("git", "init", "--quiet")
	for key, value := range map[string]string{"user.name": "Ada", "user.email": "ada@example.com", "commit.gpgsign": "false"} {
		c.must("git", "config", key, value)
	}
	return c
}

// run runs a command at the top, with no configuration of git but the checkout's own and no version of this machine's.
func (c checkout) run(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), args[0], args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "VERSION=", "ARCHES="+runtime.GOARCH, "MAKEFLAGS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c checkout) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return out
}

func (c checkout) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c checkout) commit() {
	c.t.Helper()
	c.must("git", "add", "--all")
	c.must("git", "commit", "--quiet", "--message=all")
}

// TestReleaseRefuses checks that what must not be released is refused, by name and before anything is made: neither files nor a tag are left.
func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "release")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", release, "portcullis/local/release")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	versions := "# Changes\n\n## 0.2.0\n\n" + section + "\n## 0.1.0\n\n" + section
	for _, tt := range []struct {
		name, version, changelog string
		before                   func(checkout)
		want                     string
	}{
		{"no version", "", versions, nil, "is no version"},
		{"with a v", "v0.2.0", versions, nil, "is no version"},
		{"two numbers", "0.2", versions, nil, "is no version"},
		{"a leading zero", "0.02.0", versions, nil, "is no version"},
		{"not yet a version", "0.2.0-rc.1", versions, nil, "is no version"},
		{"an option", "--help", versions, nil, "is no version"},
		{"a path", "../0.2.0", versions, nil, "is no version"},
		{"a second line", "0.2.0\n0.2.1", versions, nil, "is no version"},
		{"Unreleased", "Unreleased", versions, nil, "is no version"},
		{"no section", "0.3.0", versions, nil, "no section for 0.3.0, the newest is 0.2.0"},
		{"Unreleased alone", "0.2.0", "# Changes\n\n## Unreleased\n\n" + section, nil, "under Unreleased has to be moved"},
		{"an older one", "0.1.0", versions, nil, "0.2.0 comes before 0.1.0"},
		{"no CHANGELOG", "0.2.0", versions, func(c checkout) {
			c.must("git", "rm", "--quiet", "CHANGELOG.md")
			c.must("git", "commit", "--quiet", "--message=x")
		}, "CHANGELOG.md"},
		{"a changed file", "0.2.0", versions, func(c checkout) { c.write("CHANGELOG.md", versions+"\n") }, "the tree is dirty"},
		{"a staged file", "0.2.0", versions, func(c checkout) { c.write("new", ""); c.must("git", "add", "new") }, "the tree is dirty"},
		{"an untracked file", "0.2.0", versions, func(c checkout) { c.write("new.go", "") }, "new.go"},
		{"a tag", "0.2.0", versions, func(c checkout) { c.must("git", "tag", "v0.2.0") }, "v0.2.0 is there already"},
		{"a tag of an older commit", "0.2.0", versions, func(c checkout) { c.must("git", "tag", "v0.2.0"); c.write("new", ""); c.commit() }, "v0.2.0 is there already"},
		{"no repository", "0.2.0", versions, func(c checkout) {
			if err := os.RemoveAll(filepath.Join(c.dir, ".git")); err != nil {
				c.t.Fatal(err)
			}
		}, "a release is made of a commit"},
		{"a build that fails", "0.2.0", versions, nil, "make package"}, // there is no Makefile
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t)
			c.write(".gitignore", "/dist/\n")
			c.write("CHANGELOG.md", tt.changelog)
			c.commit()
			if tt.before != nil {
				tt.before(c)
			}
			tags, _ := c.run("git", "tag")
			out, err := c.run(release, "-version="+tt.version)
			if err == nil || !strings.Contains(out, tt.want) {
				t.Errorf("%v, want a refusal that says %q:\n%s", err, tt.want, out)
			}
			if after, _ := c.run("git", "tag"); after != tags {
				t.Errorf("the tags were\n%s\nand are\n%s", tags, after)
			}
			if left, _ := filepath.Glob(filepath.Join(c.dir, "dist", "*")); len(left) > 0 {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// TestRelease makes a release of these sources as they lie here, in a repository of its own and for this processor alone, twice.
// How the tag is signed: local/release.
func TestRelease(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	copySources(t, c.dir)
	if out, err := c.run("make", "release"); err == nil || !strings.Contains(out, "is no version") {
		t.Errorf("without VERSION: %v\n%s", err, out)
	}
	c.write("CHANGELOG.md", "# Changes\n\n## 0.99.0 - 2026-12-01\n\n"+section+"\n## 0.1.0\n\nOlder.\n")
	c.commit()
	commit := strings.TrimSpace(c.must("git", "rev-parse", "HEAD"))

	said := c.must("make", "release", "VERSION=0.99.0")
	for _, want := range []string{"v0.99.0 of commit " + commit, "The tag v0.99.0 is NOT signed", "Nothing was pushed"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	dir := filepath.Join(c.dir, "dist", "release")
	zip, list := "portcullis-linux-"+runtime.GOARCH+".zip", "portcullis-linux-"+runtime.GOARCH+".cdx.json"
	files := read(t, dir)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"NOTES.md", "SHA256SUMS", list, zip}, names); diff != "" {
		t.Fatalf("files (-want +got):\n%s", diff)
	}
	for _, name := range []string{"NOTES.md", list, zip} {
		if !strings.Contains(files["SHA256SUMS"], "  "+name+"\n") {
			t.Errorf("SHA256SUMS has no %s", name)
		}
	}
	if out := c.must("sh", "-c", "cd dist/release && sha256sum --check --strict SHA256SUMS"); strings.Count(out, ": OK\n") != 3 {
		t.Errorf("sha256sum: %s", out)
	}
	const signOff = "\nSigned-off-by: Ada <ada@example.com>\n"
	if diff := cmp.Diff(section+signOff, files["NOTES.md"]); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("Portcullis 0.99.0\n\n"+section+"\nSHA-256:\n\n"+files["SHA256SUMS"]+signOff+"\n", c.must("git", "for-each-ref", "--format=%(contents)", "refs/tags/v0.99.0")); diff != "" { // git ends it with a line
		t.Errorf("the tag (-want +got):\n%s", diff)
	}
	if at := strings.TrimSpace(c.must("git", "rev-parse", "v0.99.0^{commit}")); at != commit || strings.TrimSpace(c.must("git", "cat-file", "-t", "v0.99.0")) != "tag" {
		t.Errorf("the tag is not an annotated one of the commit")
	}

	app := t.TempDir()
	if err := unzip(filepath.Join(dir, zip), app); err != nil {
		t.Fatal(err)
	}
	holdParts(t, files[list], filepath.Join(app, "handlers"), read(t, app)["THIRD-PARTY-NOTICES.txt"])
	if runtime.GOOS == "linux" {
		holdVersion(t, filepath.Join(app, "handlers"), "v0.99.0 ("+commit+")", runtime.Version())
	}

	if out, err := c.run("make", "release", "VERSION=0.99.0"); err == nil || !strings.Contains(out, "is there already") {
		t.Errorf("a second time: %v\n%s", err, out)
	}
	if diff := cmp.Diff(files, read(t, dir)); diff != "" {
		t.Error("a refusal changed what was released")
	}
	c.must("git", "tag", "--delete", "v0.99.0")
	c.must("make", "release", "VERSION=0.99.0")
	again := read(t, dir)
	for name := range files {
		if again[name] != files[name] {
			t.Errorf("%s has other bytes the second time", name)
		}
	}
}

// holdParts checks that the SBOM lists what the handler says that it was made of, with Go's library and what the page brings along and nothing else,
// each with a licence, and that the notices name each.
func holdParts(t *testing.T, sbom, handler, notices string) {
	t.Helper()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(strings.NewReader(sbom), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(handler)
	if err != nil {
		t.Fatal(err)
	}
	htmx := strings.TrimSpace(string(must(exec.Command("sed", "-n", `s/^const HTMXVersion = "\(.*\)"$/\1/p`, "../web/embed.go").Output())(t)))
	want := []string{"std " + info.GoVersion, "htmx.org " + htmx}
	for _, m := range info.Deps {
		want = append(want, m.Path+" "+m.Version)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.Name+" "+c.Version)
		if c.Licenses == nil || len(*c.Licenses) == 0 || c.PackageURL == "" {
			t.Errorf("%s has no licence, or no URL", c.Name)
		}
		title := c.Name + " " + c.Version
		if c.Name == "std" {
			title = "Go's standard library " + c.Version
		}
		if strings.Count(notices, "\n    "+title) != 1 || !strings.Contains(notices, "\n"+title+": LICENSE") && !strings.Contains(notices, "\n"+title+", from npm: LICENSE") {
			t.Errorf("the notices do not name %s once, and give its licence", title)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || bom.SerialNumber == "" || bom.Metadata.Timestamp == "" || bom.Metadata.Component.Version != info.Main.Version {
		t.Errorf("CycloneDX %s, number %q, of %q, about %q", bom.SpecVersion, bom.SerialNumber, bom.Metadata.Timestamp, bom.Metadata.Component.Version)
	}
}

// copySources copies what git would commit here.
func copySources(t *testing.T, to string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := cmd.Output()
	if err != nil {
		t.Skip("NOT RUN: these sources are no checkout of git, and only such a one can be released")
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		from := filepath.Join("..", name)
		info, err := os.Lstat(from)
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%s is no file: %v", name, err)
		}
		at := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, must(os.ReadFile(from))(t), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the files of a folder.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			out[e.Name()] = string(must(os.ReadFile(filepath.Join(dir, e.Name())))(t))
		}
	}
	return out
}

// must returns what a call gave, and ends the test where it gave an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
