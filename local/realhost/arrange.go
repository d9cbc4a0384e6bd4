package realhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// hostProgram is the host's assembly.
const hostProgram = "Microsoft.Azure.WebJobs.Script.WebHost"

// arrange makes a runnable host of what was unpacked: host/ with a launcher, dotnet/ with
// the shared frameworks, bundles/ with the empty extension bundle.
func arrange(root string) error {
	if err := launcher(filepath.Join(root, "host")); err != nil {
		return fmt.Errorf("make the launcher: %w", err)
	}
	if err := frameworks(filepath.Join(root, "program"), filepath.Join(root, "dotnet")); err != nil {
		return fmt.Errorf("lay out the .NET runtime: %w", err)
	}
	bundle := filepath.Join(root, "bundles", "4.26.0")
	return errors.Join(
		os.RemoveAll(filepath.Join(root, "program")),
		writeJSON(filepath.Join(bundle, "bundle.json"), map[string]string{"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "4.26.0"}),
		writeJSON(filepath.Join(bundle, "bin", "extensions.json"), map[string][]string{"extensions": {}}),
	)
}

// launcher makes an executable of the host's assembly. The tools' own is a small program that has the name of
// an assembly written into it, in a field of 1,024 bytes; a copy with another name starts the host without the
// tools around it, which listen on every address and ask for no key.
func launcher(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "func"))
	if err != nil {
		return err
	}
	field := func(name string) []byte { return append([]byte(name), make([]byte, 1024-len(name))...) }
	if bytes.Count(text, field("func.dll")) != 1 {
		return errors.New("func does not hold its assembly's name as expected")
	}
	text = bytes.Replace(text, field("func.dll"), field(hostProgram+".dll"), 1)
	if err := os.WriteFile(filepath.Join(dir, "webhost"), text, 0o755); err != nil {
		return err
	}
	for _, kind := range []string{".runtimeconfig.json", ".deps.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "func"+kind))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, hostProgram+kind), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// assets are the files of a library, by their paths, as deps.json has them.
type assets struct {
	Runtime map[string]json.RawMessage `json:"runtime,omitempty"`
	Native  map[string]json.RawMessage `json:"native,omitempty"`
}

// frameworks moves the shared frameworks that a self-contained program carries to where an installed
// runtime has them. The program's deps.json tells which file is of which framework.
func frameworks(program, to string) error {
	deps, err := filepath.Glob(filepath.Join(program, "*.deps.json"))
	if err != nil || len(deps) != 1 {
		return fmt.Errorf("the program has %d deps.json", len(deps))
	}
	text, err := os.ReadFile(deps[0])
	if err != nil {
		return err
	}
	var doc struct {
		Targets map[string]map[string]assets `json:"targets"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	found := 0
	for target, libraries := range doc.Targets {
		if !strings.HasSuffix(target, "/linux-x64") {
			continue
		}
		for name, files := range libraries {
			pack, version, _ := strings.Cut(name, "/")
			if framework, ok := strings.CutPrefix(pack, "runtimepack."); ok {
				found++
				if err := layOut(program, to, strings.TrimSuffix(framework, ".Runtime.linux-x64"), version, files); err != nil {
					return err
				}
			}
		}
	}
	if found != 2 {
		return fmt.Errorf("the program carries %d frameworks, want .NET and ASP.NET Core", found)
	}
	return nil
}

// layOut lays out one framework: its files, and the two that tell what it is of.
func layOut(program, to, framework, version string, files assets) error {
	folder := filepath.Join(to, "shared", framework, version)
	resolver := filepath.Join(to, "host", "fxr", version)
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.MkdirAll(resolver, 0o755)); err != nil {
		return err
	}
	all := maps.Clone(files.Runtime)
	maps.Copy(all, files.Native)
	for path := range all {
		name, into := filepath.Base(path), folder
		if name == "libhostfxr.so" {
			into = resolver
			delete(files.Native, path)
		}
		if err := os.Rename(filepath.Join(program, name), filepath.Join(into, name)); err != nil {
			return err
		}
	}
	minor := version[:strings.LastIndexByte(version, '.')]
	target, library := ".NETCoreApp,Version=v"+minor, framework+".Runtime.linux-x64/"+version
	options := map[string]any{"tfm": "net" + minor}
	if framework != "Microsoft.NETCore.App" {
		options["framework"] = map[string]string{"name": "Microsoft.NETCore.App", "version": version}
	}
	return errors.Join(
		writeJSON(filepath.Join(folder, framework+".runtimeconfig.json"), map[string]any{"runtimeOptions": options}),
		writeJSON(filepath.Join(folder, framework+".deps.json"), map[string]any{
			"runtimeTarget":      map[string]string{"name": target + "/linux-x64", "signature": ""},
			"compilationOptions": map[string]any{},
			"targets":            map[string]any{target: map[string]any{}, target + "/linux-x64": map[string]any{library: files}},
			"libraries":          map[string]any{library: map[string]any{"type": "package", "serviceable": true, "sha512": ""}},
		}),
	)
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
