package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"portcullis/web"
)

// TestHTMX holds the vendored htmx to what npm published under its version.
func TestHTMX(t *testing.T) {
	const want = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
	text, err := fs.ReadFile(web.Assets, "assets/htmx/htmx.min.js")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("htmx.min.js has the SHA-256 %s, want %s", got, want)
	}
	if !strings.Contains(string(text), `version:"`+web.HTMXVersion+`"`) {
		t.Errorf("htmx.min.js does not say that it is %s", web.HTMXVersion)
	}
	licence, err := fs.ReadFile(web.Assets, "assets/htmx/LICENSE")
	if err != nil || !strings.Contains(string(licence), "Zero-Clause BSD") {
		t.Errorf("the licence beside it: %v %.60q", err, licence)
	}
}

// TestNothingInline: the Content-Security-Policy would keep such a thing from working, in silence.
func TestNothingInline(t *testing.T) {
	bad := map[string]*regexp.Regexp{
		"an inline style":      regexp.MustCompile(`(?i)\sstyle\s*=|<style`),
		"an inline script":     regexp.MustCompile(`(?i)<script(?:\s+[^>]*)?>[^<]`),
		"an event attribute":   regexp.MustCompile(`(?i)\son[a-z]+\s*=|hx-on|javascript:`),
		"a filter that evals":  regexp.MustCompile(`hx-trigger="[^"]*\[|hx-vals='js:|hx-vars`),
		"somebody else's host": regexp.MustCompile(`(?i)(src|href)="(https?:)?//`),
	}
	files, err := fs.Glob(web.Templates, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		text, err := fs.ReadFile(web.Templates, file)
		if err != nil {
			t.Fatal(err)
		}
		for what, pattern := range bad {
			if found := pattern.Find(text); found != nil {
				t.Errorf("%s has %s: %s", file, what, found)
			}
		}
	}
}
