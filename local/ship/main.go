// Command ship builds the command line client for those who use it:
//
//	go run ./local/ship -out dist/cli
//
// Run it in the sources that it is built from. The folder then has a program for each system and processor, an SBOM in CycloneDX's JSON and the
// licences of everything of others in each, the manual pages in man/, and SHA256SUMS of all of them. Programs are built without cgo, paths and
// symbols, and with nothing of the machine or the moment: the same commit and the same Go give the same bytes.
//
// It refuses a program that is larger than 20 MiB. It signs and publishes nothing.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"portcullis/local/sbom"
)

// target is a system and a processor, as Go names them.
type target struct{ system, processor string }

var targets = []target{{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}

// program is what is built.
const program = "./cmd/portcullis"

// largest is how many bytes a program may have: 20 MiB.
const largest = 20 << 20

func main() {
	out := flag.String("out", "", "folder to write, which is emptied first")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := ship(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "ship:", err)
		os.Exit(1)
	}
}

// ship makes the folder, or leaves none.
func ship(ctx context.Context, out string) error {
	partial := out + ".partial"
	for _, dir := range []string{out, partial} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	defer os.RemoveAll(partial)
	if err := os.MkdirAll(filepath.Join(partial, "man"), 0o755); err != nil {
		return err
	}
	for _, t := range targets {
		if err := t.build(ctx, partial); err != nil {
			return fmt.Errorf("%s/%s: %w", t.system, t.processor, err)
		}
	}
	here := target{runtime.GOOS, runtime.GOARCH}
	if !slices.Contains(targets, here) {
		return fmt.Errorf("no program for %s/%s is built, which would write the manual", here.system, here.processor)
	}
	if err := run(ctx, nil, filepath.Join(partial, here.file()), "man", filepath.Join(partial, "man")); err != nil {
		return err
	}
	sums, err := sumsOf(os.DirFS(partial))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(partial, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return err
	}
	return os.Rename(partial, out)
}

// name gives what is built for a target, without an ending.
func (t target) name() string { return "portcullis-" + t.system + "-" + t.processor }

func (t target) file() string {
	if t.system == "windows" {
		return t.name() + ".exe"
	}
	return t.name()
}

// build makes the program of a target with its SBOM and notices.
func (t target) build(ctx context.Context, into string) error {
	file := filepath.Join(into, t.file())
	env := []string{"CGO_ENABLED=0", "GOOS=" + t.system, "GOARCH=" + t.processor}
	if err := run(ctx, env, "go", "build", "-buildvcs=auto", "-trimpath", "-ldflags", "-s -w", "-o", file, program); err != nil {
		return err
	}
	size, err := fits(file, largest)
	if err != nil {
		return err
	}
	if err := sbom.Write(ctx, ".", file, filepath.Join(into, t.name()+".cdx.json")); err != nil {
		return err
	}
	if err := run(ctx, nil, "go", "run", "-trimpath", "./local/notices", "-program", file, "-out", filepath.Join(into, t.name()+".THIRD-PARTY-NOTICES.txt")); err != nil {
		return err
	}
	fmt.Printf("%-32s %5.1f MiB\n", t.file(), float64(size)/(1<<20))
	return nil
}

// fits gives the size of a file, and refuses one that is larger than so many bytes.
func fits(file string, most int64) (int64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	if info.Size() > most {
		return 0, fmt.Errorf("%s has %d bytes, over %d: what brought them in?", filepath.Base(file), info.Size(), most)
	}
	return info.Size(), nil
}

// sumsOf returns the SHA-256 of each file below a folder, as sha256sum writes and checks them.
func sumsOf(dir fs.FS) (string, error) {
	var b strings.Builder
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error { // sorted
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(dir, name)
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), name)
		return err
	})
	return b.String(), err
}

// run runs a program to its end; what it prints is only of interest where it fails.
func run(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s %s: %w", filepath.Base(name), args[0], err), errors.New(string(out)))
	}
	return nil
}
