package verbs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/verbs"
)

// TestEveryVerb: what the manual says of each verb. One that has the app write something has a dry run, and each that answers does so in JSON too.
func TestEveryVerb(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code := verbs.Run(t.Context(), []string{"man", dir}, verbs.System()); code != exit.Done {
		t.Fatalf("man ends with %d", code)
	}
	reads := []string{"machines", "requests", "activity", "findings", "status", "doctor", "open", "ssh-config"}
	own := []string{"login", "man", "completion"} // nothing of the app's
	byProgram := []string{"proxy"}                // which ssh starts, and nobody looks at
	pages, err := filepath.Glob(filepath.Join(dir, "portcullis-*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, file := range pages {
		verb := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "portcullis-"), ".1")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.ReplaceAll(string(text), `\-`, "-")
		first, _, _ := strings.Cut(verb, "-")
		writes := !slices.Contains(reads, verb) && !slices.Contains(own, first) && !slices.Contains(byProgram, verb)
		if dry := strings.Contains(page, "--dry-run"); dry != writes {
			t.Errorf("%s: it writes: %v, it has a dry run: %v", verb, writes, dry)
		}
		if !strings.Contains(page, "--json") {
			t.Errorf("%s has no --json", verb)
		}
	}
}
