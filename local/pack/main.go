// Command pack assembles the folder that the Azure Functions host runs the app
// from:
//
//	go run ./local/pack -out dist [-src .] [-binary PATH]
//
// The host looks for function.json exactly one level below host.json, and the
// sources keep theirs together under functions/. So pack copies
// functions/<name>/function.json to <out>/<name>/function.json and host.json to
// <out>/host.json, and nothing else: no settings, no sources. The Makefile
// builds the handler straight into <out>/handlers; -binary copies one that was
// built elsewhere to that name.
//
// It is faithful to where the host looks, and leaves out zipping and
// publishing. A folder in <out> that holds nothing but a function.json and is
// no longer declared is one that an earlier run made, and is removed; any other
// file there is left alone.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// binaryName is customHandler.description.defaultExecutablePath of host.json.
const binaryName = "handlers"

func main() {
	src := flag.String("src", ".", "folder that holds host.json and functions/")
	out := flag.String("out", "dist", "folder to assemble the app in")
	binary := flag.String("binary", "", "handler to copy to OUT/"+binaryName+" (default: leave what is there)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "pack: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := pack(*src, *out, *binary); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack assembles out from src. Everything is read and checked before anything
// is written, so that a refusal leaves out as it was.
func pack(src, out, binary string) error {
	files := map[string][]byte{} // by path below out
	declared, err := filepath.Glob(filepath.Join(src, "functions", "*", "function.json"))
	if err != nil {
		return err
	}
	if len(declared) == 0 {
		return fmt.Errorf("no functions/*/function.json in %s", src)
	}
	for _, path := range append(declared, filepath.Join(src, "host.json")) {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !json.Valid(text) {
			return fmt.Errorf("%s is not JSON", path)
		}
		name := "host.json"
		if filepath.Base(path) == "function.json" {
			function := filepath.Base(filepath.Dir(path))
			if function == binaryName {
				return fmt.Errorf("%s: a function cannot have the handler's name", path)
			}
			name = filepath.Join(function, "function.json")
		}
		files[name] = text
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := removeStale(out, files); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	if binary == "" {
		return nil
	}
	return copyExecutable(binary, filepath.Join(out, binaryName))
}

// removeStale removes the folders of out that hold a function.json alone and
// have no place in files.
func removeStale(out string, files map[string][]byte) error {
	found, err := filepath.Glob(filepath.Join(out, "*", "function.json"))
	if err != nil {
		return err
	}
	var stale []string
	for _, path := range found {
		dir := filepath.Dir(path)
		if _, ok := files[filepath.Join(filepath.Base(dir), "function.json")]; ok {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if len(entries) != 1 {
			return fmt.Errorf("%s is not declared any more, but holds other files: remove it by hand", dir)
		}
		stale = append(stale, dir)
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// copyExecutable copies the file from to the executable to, which it replaces
// whole: a handler that is running keeps its old file.
func copyExecutable(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, err := io.Copy(w, in); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
