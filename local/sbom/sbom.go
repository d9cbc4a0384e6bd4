// Package sbom writes what a built program is made of, as CycloneDX's JSON: the tool of CycloneDX lists the linked modules, and what that
// cannot know is added. The same program gives the same bytes.
package sbom

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"

	"portcullis/local/thirdparty"
)

// Write has cyclonedx-gomod list what a program says that it was made of, and adds what that cannot know: the licences, what
// the page brings along, and when and by which commit it came to be. source is the folder of the sources that it was built from. What the program
// says of neither is left out: a build from changed files has no time.
func Write(ctx context.Context, source, program, out string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	text, err := run(ctx, source, "go", "-C", filepath.Join("local", "release", "tools"), "tool", "cyclonedx-gomod",
		"bin", "-json", "-std", "-noserial", "-notimestamp", "-output-version", specVersion.String(), program)
	if err != nil {
		return err
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return err
	}
	parts, err := thirdparty.Of(ctx, source, program)
	if err != nil {
		return err
	}
	if err := complete(&bom, parts); err != nil {
		return err
	}
	// Nothing of the machine or the moment: the commit's time, and a number that follows from what it is about.
	bom.Metadata.Timestamp = setting(info, "vcs.time")
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(bom.Metadata.Component.PackageURL+"#"+setting(info, "vcs.revision"))).URN()
	if tools := bom.Metadata.Tools; tools != nil && tools.Tools != nil {
		for i := range *tools.Tools {
			(*tools.Tools)[i].Hashes = nil // of the build on this machine
		}
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(f, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(&bom, specVersion); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// setting returns what the Go command stamped under a key, or nothing.
func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, args[0], err, failed.Stderr)
	}
	return out, err
}

// specVersion is the version of CycloneDX that is written.
const specVersion = cdx.SpecVersion1_6

// complete gives each component its licences, and adds those of the page. Both lists have to be of the same parts.
func complete(bom *cdx.BOM, parts []thirdparty.Part) error {
	if bom.Metadata == nil || bom.Metadata.Component == nil || bom.Components == nil || bom.Dependencies == nil {
		return fmt.Errorf("cyclonedx-gomod gave no component, no parts or no dependencies")
	}
	components := *bom.Components
	for _, p := range parts {
		i := slices.IndexFunc(components, func(c cdx.Component) bool { return c.Name == p.Name && c.Version == p.Version })
		switch {
		case i < 0 && !p.NPM:
			return fmt.Errorf("cyclonedx-gomod does not name %s %s, which is linked", p.Name, p.Version)
		case i < 0:
			url := "pkg:npm/" + p.Name + "@" + p.Version
			i = len(components)
			components = append(components, cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, Scope: cdx.ScopeRequired, PackageURL: url})
			dependOn(bom, url)
		}
		var licences cdx.Licenses
		for _, id := range p.Licences {
			licences = append(licences, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
		components[i].Licenses = &licences
	}
	for _, c := range components {
		if c.Licenses == nil {
			return fmt.Errorf("cyclonedx-gomod names %s %s, which is not linked", c.Name, c.Version)
		}
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	bom.Components = &components
	return nil
}

// dependOn says that the program has a part which depends on nothing.
func dependOn(bom *cdx.BOM, ref string) {
	dependencies := *bom.Dependencies
	for i := range dependencies {
		if d := &dependencies[i]; d.Ref == bom.Metadata.Component.BOMRef && d.Dependencies != nil {
			all := append(slices.Clone(*d.Dependencies), ref)
			d.Dependencies = &all
		}
	}
	dependencies = append(dependencies, cdx.Dependency{Ref: ref})
	bom.Dependencies = &dependencies
}
