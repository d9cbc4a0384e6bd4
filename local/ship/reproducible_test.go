package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// quick checks that a program says what it does within 30 ms. The least of 20 counts, for this machine does other things too.
func quick(t *testing.T, program string) {
	t.Helper()
	least := time.Hour
	for range 20 {
		began := time.Now()
		if err := exec.CommandContext(t.Context(), program, "--help").Run(); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	t.Logf("portcullis --help: %s", least.Round(time.Millisecond/10))
	if least > 30*time.Millisecond {
		t.Error("that is over 30 ms: what does it begin with?")
	}
}

// TestReproducible: two builds of the committed sources, in folders of different names, give the same checksums: the program of this machine's system, its
// SBOM and its notices. make cli does the same for six. And the program is quick to begin.
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
		if i == 0 {
			quick(t, filepath.Join(out, here.file()))
		}
		if sums[i], err = sumsOf(os.DirFS(out)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" || sums[0] == "" {
		t.Errorf("two builds differ (-one +another):\n%s", diff)
	}
}
