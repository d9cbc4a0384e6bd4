package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a new folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list returns the paths and texts of the files below dir.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPackRefuses(t *testing.T) {
	stale := map[string]string{"old/function.json": "{}", "old/notes.txt": "mine"}
	tests := []struct {
		name     string
		src, out map[string]string
		want     string
	}{
		{"no functions", map[string]string{"host.json": "{}"}, nil, "no functions"},
		{"functions one level too deep", map[string]string{"host.json": "{}", "functions/a/b/function.json": "{}"}, nil, "no functions"},
		{"no host.json", map[string]string{"functions/a/function.json": "{}"}, nil, "host.json"},
		{"a declaration that is not JSON", map[string]string{"host.json": "{}", "functions/a/function.json": "{"}, nil, "is not JSON"},
		{"a function called like the binary", map[string]string{"host.json": "{}", "functions/handlers/function.json": "{}"}, nil, "handler's name"},
		{"a stale folder with someone's file", map[string]string{"host.json": "{}", "functions/a/function.json": "{}"}, stale, "by hand"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := tree(t, tt.out)
			before := list(t, out)
			err := pack(tree(t, tt.src), out, "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one that says %q", err, tt.want)
			}
			if diff := cmp.Diff(before, list(t, out)); diff != "" {
				t.Errorf("a refusal changed the folder (-before +after):\n%s", diff)
			}
		})
	}
}

func TestPack(t *testing.T) {
	src := tree(t, map[string]string{
		"host.json":                      `{"version":"2.0"}`,
		"local.settings.json":            `{"secret":1}`,
		"functions/functions.go":         `package functions`,
		"functions/enable/function.json": `{"new":1}`,
		"functions/enable/notes.txt":     `not for the host`,
		"functions/sweep/function.json":  `{}`,
		"built":                          `ELF`,
	})
	out := tree(t, map[string]string{
		"enable/function.json": `{"old":1}`,
		"gone/function.json":   `{}`,
		"handlers":             `an older build`,
		"app.zip":              `someone's`,
	})
	if err := pack(src, out, filepath.Join(src, "built")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"host.json":            `{"version":"2.0"}`,
		"enable/function.json": `{"new":1}`,
		"sweep/function.json":  `{}`,
		"handlers":             `ELF`,
		"app.zip":              `someone's`,
	}
	if diff := cmp.Diff(want, list(t, out)); diff != "" {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
	stat, err := os.Stat(filepath.Join(out, "handlers"))
	if err != nil || stat.Mode().Perm() != 0o755 {
		t.Errorf("handlers: %v, %v, want mode 0755", stat, err)
	}
	if _, err := os.Stat(filepath.Join(out, "gone")); err == nil {
		t.Error("the stale function's folder is still there")
	}
}

// TestPackTheApp packs the real sources: what the host will find is what
// functions/ declares.
func TestPackTheApp(t *testing.T) {
	out := filepath.Join(t.TempDir(), "dist")
	if err := pack("../..", out, ""); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(list(t, out)))
	want := []string{"host.json"}
	declared, err := filepath.Glob("../../functions/*/function.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range declared {
		want = append(want, filepath.Base(filepath.Dir(path))+"/function.json")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
}
