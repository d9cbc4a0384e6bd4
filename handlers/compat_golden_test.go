package handlers_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the answers in testdata/compat-*.txtar anew")

// TestW08 sends what real clients send and compares the answers. Each
// testdata/compat-*.txtar is a conversation at noon of 2026-11-23: "METHOD path" names a
// request with its body, the file after it holds the answer's status and body.
// {sub} is the subscription.
func TestW08(t *testing.T) {
	files, err := filepath.Glob("testdata/compat-*.txtar")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d conversations, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			talk, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(talk.Files) == 0 || len(talk.Files)%2 != 0 {
				t.Fatalf("%d parts, want pairs of request and answer", len(talk.Files))
			}
			a := newCompat(t)
			for i := 0; i < len(talk.Files); i += 2 {
				method, path, _ := strings.Cut(talk.Files[i].Name, " ")
				body := strings.ReplaceAll(string(talk.Files[i].Data), "{sub}", sub)
				r := a.call(method, strings.ReplaceAll(path, "{sub}", sub), strings.TrimSpace(body))
				got := strings.ReplaceAll(printed(t, r), sub, "{sub}")
				if *update {
					talk.Files[i+1].Data = []byte(got)
					continue
				}
				if diff := cmp.Diff(string(talk.Files[i+1].Data), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", talk.Files[i].Name, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(talk), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// printed writes an answer for people to read.
func printed(t *testing.T, r answer) string {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintln(&out, r.status)
	if r.text != "" {
		if err := json.Indent(&out, []byte(r.text), "", "  "); err != nil {
			t.Fatal(err)
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
