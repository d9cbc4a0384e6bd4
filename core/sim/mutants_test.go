//go:build mutation

package sim_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var violates = regexp.MustCompile(`seed (\d+) violates (I\d+)`)

// TestMutants breaks the product in each of the ways of [mutations] and demands that
// the simulation notices.
func TestMutants(t *testing.T) {
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			broken, err := m.mutate()
			if err != nil {
				t.Fatal(err)
			}
			dir, replaced := t.TempDir(), map[string]string{}
			for file, text := range broken {
				at, err := filepath.Abs(file)
				if err != nil {
					t.Fatal(err)
				}
				replaced[at] = filepath.Join(dir, filepath.Base(file))
				if err := os.WriteFile(replaced[at], []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			overlay, err := json.Marshal(map[string]any{"Replace": replaced})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-count=1", "-run", "^TestSim$", "./core/sim", "-seeds", fmt.Sprint(mutantSeeds))
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			found := violates.FindStringSubmatch(string(out))
			switch {
			case err == nil:
				t.Fatalf("%d seeds notice nothing", mutantSeeds)
			case found == nil:
				t.Fatalf("the simulation did not run:\n%s", out)
			case !strings.Contains(m.noticed, found[2]):
				t.Errorf("seed %s notices it by %s, not by %s", found[1], found[2], m.noticed)
			}
			t.Logf("seed %s notices it by %s", found[1], found[2])
		})
	}
}
