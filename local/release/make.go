package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"portcullis/local/sbom"
)

// build makes the packages in a clone that has the tag, from which the Go command takes the version that it stamps. Whoever
// runs `make package` at the tag later gets the same bytes.
func (r *release) build(ctx context.Context, source string, arches []string) error {
	if _, err := r.git(ctx, "clone", "--quiet", "--local", "--no-checkout", ".", source); err != nil {
		return err
	}
	for _, args := range [][]string{{"checkout", "--quiet", "--detach", r.commit}, {"tag", "--no-sign", r.tag}} {
		if _, err := run(ctx, source, "git", args...); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "make", "package", "ARCHES="+strings.Join(arches, " "))
	cmd.Dir, cmd.Stdout, cmd.Stderr = source, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	return nil
}

// collect takes one package over, once its handler has been seen to be what is released, and makes its SBOM.
func (r *release) collect(ctx context.Context, source, into, arch string) error {
	handler := filepath.Join(source, "dist", "linux-"+arch, "handlers")
	info, err := buildinfo.ReadFile(handler)
	if err != nil {
		return err
	}
	if err := r.checkStamp(info); err != nil {
		return err
	}
	name := "portcullis-linux-" + arch
	if err := os.Rename(filepath.Join(source, "dist", name+".zip"), filepath.Join(into, name+".zip")); err != nil {
		return err
	}
	return sbom.Write(ctx, source, handler, filepath.Join(into, name+".cdx.json"))
}

// checkStamp refuses a handler that would say another version or commit of itself than is released.
func (r *release) checkStamp(info *debug.BuildInfo) error {
	if info.Main.Version != r.tag {
		return fmt.Errorf("the handler says that it is %q, not %s: from 2.0.0 on the path in go.mod has to end with the major version", info.Main.Version, r.tag)
	}
	if commit := setting(info, "vcs.revision"); commit != r.commit {
		return fmt.Errorf("the handler says that it is of commit %q, not %s", commit, r.commit)
	}
	if setting(info, "vcs.modified") != "false" {
		return fmt.Errorf("the handler does not say that it is of commit %s alone", r.commit)
	}
	return nil
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

// sumsOf returns the SHA-256 of each file of a folder, as sha256sum writes and checks them.
func sumsOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(text), e.Name())
	}
	return b.String(), nil
}

// tagIt makes the annotated tag, and says whether it is signed. A key that does not work is an error and no reason for a tag without.
func (r *release) tagIt(ctx context.Context, sums string) (bool, error) {
	key, _ := r.git(ctx, "config", "--get", "user.signingkey") // it fails where there is none
	always, _ := r.git(ctx, "config", "--type=bool", "--get", "tag.gpgSign")
	signed := key != "" || always == "true"
	how := "--no-sign"
	if signed {
		how = "--sign"
	}
	message := filepath.Join(r.root, "dist", "release-tag")
	text := "Portcullis " + r.version + "\n\n" + r.notes + "\nSHA-256:\n\n" + sums + "\n" + r.signOff + "\n"
	if err := os.WriteFile(message, []byte(text), 0o644); err != nil {
		return false, err
	}
	defer os.Remove(message)
	// As it stands: git would take the headings of the notes for comments.
	if _, err := r.git(ctx, "tag", "--annotate", how, "--cleanup=verbatim", "--file="+message, r.tag, r.commit); err != nil || !signed {
		return false, err
	}
	// Seen with git 2.39: a key for SSH that is not there gives a tag without a signature, and no error.
	signature, err := r.git(ctx, "for-each-ref", "--format=%(contents:signature)", "refs/tags/"+r.tag)
	if err == nil && signature == "" {
		err = errors.New("git made a tag without a signature: does the key in user.signingkey work?")
	}
	if err != nil {
		_, undone := r.git(ctx, "tag", "--delete", r.tag)
		return false, errors.Join(err, undone)
	}
	return true, nil
}
