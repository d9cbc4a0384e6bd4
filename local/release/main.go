// Command release prepares a release of the commit that is checked out:
//
//	go run ./local/release -version 0.1.0
//
// It refuses where anything differs from that commit, where CHANGELOG.md has no whole section for the version, and where the tag is there
// already. What it makes is in dist/release: the packages of `make package`, an SBOM in CycloneDX's JSON for each, the notes, which are that section,
// and SHA256SUMS of all of them. The same commit, version and person give the same bytes.
//
// Last comes the annotated tag, with the notes and the sums in its message: signed where git has a signing key, and said to be
// unsigned where it has none. It is made when everything else is there, so that a tag without a release is left by nothing.
//
// It pushes nothing, publishes nothing, and knows only the tags that are in this clone. Whoever releases runs the tests before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	version := flag.String("version", "", "version to release, such as 0.1.0")
	arches := flag.String("arches", "amd64 arm64", "processors to build for, separated by spaces")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "release: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := prepare(ctx, *version, strings.Fields(*arches)); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// prepare makes dist/release and the tag, or neither.
func prepare(ctx context.Context, version string, arches []string) error {
	r, err := check(ctx, version)
	if err != nil {
		return err
	}
	out := filepath.Join(r.root, "dist", "release")
	partial, source := out+".partial", filepath.Join(r.root, "dist", "release-source")
	for _, dir := range []string{out, partial, source} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	defer os.RemoveAll(partial)
	defer os.RemoveAll(source)
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return err
	}
	if err := r.build(ctx, source, arches); err != nil {
		return err
	}
	for _, arch := range arches {
		if err := r.collect(ctx, source, partial, arch); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
	}
	sums, signed, err := r.finish(ctx, partial, out)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s of commit %s is in dist/release:\n%s", r.tag, r.commit, sums)
	if signed {
		fmt.Printf("The tag %s is signed.\n", r.tag)
	} else {
		fmt.Printf("The tag %s is NOT signed: git has no signing key (user.signingkey).\n", r.tag)
	}
	fmt.Printf("Nothing was pushed. To publish: git push origin %s. To take it back: git tag -d %s\n", r.tag, r.tag)
	return nil
}

// finish adds the notes and the sums to what was built, and makes it the release, with the tag last: both or neither.
func (r *release) finish(ctx context.Context, built, out string) (sums string, signed bool, err error) {
	if err := os.WriteFile(filepath.Join(built, "NOTES.md"), []byte(r.notes+"\n"+r.signOff+"\n"), 0o644); err != nil {
		return "", false, err
	}
	if sums, err = sumsOf(built); err != nil {
		return "", false, err
	}
	if err := os.WriteFile(filepath.Join(built, "SHA256SUMS"), []byte(sums), 0o644); err != nil {
		return "", false, err
	}
	if err := os.Rename(built, out); err != nil {
		return "", false, err
	}
	if signed, err = r.tagIt(ctx, sums); err != nil {
		return "", false, errors.Join(err, os.RemoveAll(out))
	}
	return sums, signed, nil
}
