package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatModel checks that every test named in the threat model exists.
func TestThreatModel(t *testing.T) {
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")
	count := 0
	for _, doc := range []string{"SECURITY.md", "docs/threat-model.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			count++
			dir, name := m[1], m[2]
			if dir == "main" {
				dir = "."
			}
			if !hasTest(t, dir, name) {
				t.Errorf("%s names %s, which is not a test of %s", doc, name, m[1])
			}
		}
	}
	if count < 50 {
		t.Errorf("%d tests are named; the form in which they are named has changed", count)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
