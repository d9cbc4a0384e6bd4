package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var named = regexp.MustCompile("`([a-z/0-9]+)\\.(Test[A-Za-z0-9]+|Fuzz[A-Za-z0-9]+)(?:/([a-z-]+))?`")

// TestHazards checks that every test named in docs/hazards.md exists, and that every row has one or says that it
// is open.
func TestHazards(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "hazards.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| #") || strings.HasPrefix(line, "| what went") {
			continue
		}
		rows++
		found := named.FindAllStringSubmatch(line, -1)
		if len(found) == 0 && !strings.Contains(line, "| open |") {
			t.Errorf("no test: %s", line)
		}
		for _, f := range found {
			if bad := exists(f[1], f[2], f[3]); bad != "" {
				t.Error(bad)
			}
		}
	}
	if rows != 100+17 {
		t.Errorf("%d rows, want 100 of the platform and 17 of others", rows)
	}
}

// exists returns what is wrong with a named test, "" if nothing is.
func exists(dir, test, row string) string {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		return err.Error()
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(string(text), "\nfunc "+test+"(") {
			continue
		}
		if row == "" {
			return ""
		}
		if _, err := os.Stat(filepath.Join(root, dir, "testdata", row+".txtar")); err != nil {
			return fmt.Sprintf("%s.%s has no file %s", dir, test, row)
		}
		return ""
	}
	return fmt.Sprintf("there is no %s in %s", test, dir)
}

// root is the module's directory, from this one.
const root = "../.."
