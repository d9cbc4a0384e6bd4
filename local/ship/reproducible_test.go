package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReproducible: two builds of the committed sources, in folders of different names, give the same checksums: the program of this machine's system, its
// SBOM and its notices. make cli does the same for six.
func TestReproducible(t *testing.T) {
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skip("NOT RUN: these sources are in no checkout of git")
	}
	here := target{runtime.GOOS, runtime.GOARCH}
	root, sums := string(top[:len(top)-1]), [2]string{}
	for i, name := range []string{"one", "another/folder"} {
		source, out := filepath.Join(t.TempDir(), name), t.TempDir()
		if text, err := exec.Command("git", "clone", "--quiet", "--local", root, source).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		t.Chdir(source)
		if err := here.build(t.Context(), out); err != nil {
			t.Fatal(err)
		}
		if sums[i], err = sumsOf(os.DirFS(out)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" || sums[0] == "" {
		t.Errorf("two builds differ (-one +another):\n%s", diff)
	}
}
