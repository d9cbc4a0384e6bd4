// Package thirdparty says what of others is in a built program, with the texts of its licences: the modules that are linked, Go's own library,
// and, where the page is in it, what that brings along in web/assets.
//
// What is linked is read from the program itself, and the texts from the sources that it was built from: those beside a package that is
// in the program, and those above it up to its module. A part without a licence, or under one that nobody knows by name,
// is an error that names it: somebody has to look before it is given to others.
//
// It does not judge licences, and does not see what somebody copied into a source file.
package thirdparty

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"portcullis/web"
)

// Part is something of others.
type Part struct {
	// Name is the module's path, "std" for Go's own library, or a package's name at npm.
	Name string
	// Version is the module's, Go's own as in go1.26.0, or npm's without a v.
	Version string
	// NPM is set for what the page brings along.
	NPM bool
	// Licences are names of the SPDX list, sorted, at least one.
	Licences []string
	// Texts are licences, notices and grants of patents, by name.
	Texts []Text
}

// Text is one file of a Part, with its name from the top of the part's sources.
type Text struct{ Name, Text string }

// Of returns the parts of a program, sorted by name, that was built from the sources in dir with the Go command of now. The program says for which
// system it was built, and has to have been built with modules.
func Of(ctx context.Context, dir, program string) ([]Part, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	linked, err := foldersOf(ctx, dir, info)
	if err != nil {
		return nil, err
	}
	root, err := run(ctx, dir, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var out []Part
	var faults []error
	if slices.Contains(linked[info.Main.Path].folders, "web") { // the page is in it
		out, err = onPage(web.Assets)
		faults = append(faults, err)
	}
	add := func(name, version, root string, folders []string) {
		p := Part{Name: name, Version: version}
		err := p.read(os.DirFS(root), folders)
		faults = append(faults, err)
		out = append(out, p)
	}
	add("std", info.GoVersion, strings.TrimSpace(string(root)), []string{"."})
	for _, m := range info.Deps {
		name, version := m.Path, m.Version
		if m.Replace != nil {
			version = m.Replace.Version
		}
		l, ok := linked[name]
		if !ok {
			faults = append(faults, fmt.Errorf("%s is linked, and is not in the sources", name))
			continue
		}
		add(name, version, l.root, l.folders)
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	return out, errors.Join(faults...)
}

// folders are those of a module's packages that are in the program, below its root.
type folders struct {
	root    string
	folders []string
}

// foldersOf asks the Go command for the modules that the program's packages are from.
func foldersOf(ctx context.Context, dir string, info *debug.BuildInfo) (map[string]folders, error) {
	var env []string
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED":
			env = append(env, s.Key+"="+s.Value)
		}
	}
	text, err := run(ctx, dir, env, "go", "list", "-deps", "-json=Dir,Module", info.Path)
	if err != nil {
		return nil, err
	}
	out := map[string]folders{}
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p struct {
			Dir    string
			Module *struct {
				Path, Dir string
			}
		}
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case p.Module == nil: // Go's own
			continue
		}
		below, err := filepath.Rel(p.Module.Dir, p.Dir)
		if err != nil || !filepath.IsLocal(below) {
			return nil, fmt.Errorf("%s has a package outside of itself, in %s", p.Module.Path, p.Dir)
		}
		f := out[p.Module.Path]
		f.root, f.folders = p.Module.Dir, append(f.folders, filepath.ToSlash(below))
		out[p.Module.Path] = f
	}
}

// onPage returns the parts in assets: each folder is one, and has to be known here.
func onPage(assets fs.FS) ([]Part, error) {
	known := map[string]Part{"htmx": {Name: "htmx.org", Version: web.HTMXVersion, NPM: true}}
	entries, err := fs.ReadDir(assets, "assets")
	if err != nil {
		return nil, err
	}
	var out []Part
	var faults []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		p, ok := known[e.Name()]
		if !ok {
			faults = append(faults, fmt.Errorf("web/assets/%s: nobody says what it is and of which version", e.Name()))
			continue
		}
		below, err := fs.Sub(assets, "assets/"+e.Name())
		if err != nil {
			return nil, err
		}
		faults = append(faults, p.read(below, []string{"."}))
		out = append(out, p)
	}
	return out, errors.Join(faults...)
}

var (
	isText    = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notices?|patents|third-?party-?notices?)([-._][^/]*)?$`)
	isLicence = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)`)
	isSource  = regexp.MustCompile(`(?i)\.(go|s|c|h|js|json|html|tmpl|ya?ml)$`)
)

// enough is how much of a licence's text has to be known words, in percent; pkg.go.dev asks for the same.
const enough = 75

// read fills the part with the texts beside the folders of its packages, and above them.
func (p *Part) read(sources fs.FS, folders []string) error {
	texts := map[string]string{}
	for _, folder := range folders {
		if err := gather(texts, sources, folder); err != nil {
			return fmt.Errorf("%s %s: %w", p.Name, p.Version, err)
		}
	}
	for name, text := range texts {
		p.Texts = append(p.Texts, Text{name, text})
		if !isLicence.MatchString(path.Base(name)) {
			continue
		}
		seen := licensecheck.Scan([]byte(text))
		if seen.Percent < enough || len(seen.Match) == 0 {
			return fmt.Errorf("%s %s: %s is no licence that is known by name: somebody has to read it", p.Name, p.Version, name)
		}
		for _, m := range seen.Match {
			p.Licences = append(p.Licences, m.ID)
		}
	}
	slices.SortFunc(p.Texts, func(a, b Text) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(p.Licences)
	p.Licences = slices.Compact(p.Licences)
	return nil
}

// gather adds the texts in a folder and in those above it. A licence has to be among them.
func gather(texts map[string]string, sources fs.FS, folder string) error {
	licensed := false
	for at := folder; ; at = path.Dir(at) {
		entries, err := fs.ReadDir(sources, at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || !isText.MatchString(e.Name()) || isSource.MatchString(e.Name()) {
				continue
			}
			text, err := fs.ReadFile(sources, path.Join(at, e.Name()))
			if err != nil {
				return err
			}
			texts[path.Join(at, e.Name())] = string(text)
			licensed = licensed || isLicence.MatchString(e.Name())
		}
		if at == "." {
			break
		}
	}
	if !licensed {
		return fmt.Errorf("no licence file for its folder %q: it may not be given to others", folder)
	}
	return nil
}

// run returns what a command says on standard output.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, failed.Stderr)
	}
	return out, err
}
