package portal_test

import (
	"compress/gzip"
	"io"
	"strings"
	"testing"
)

// TestSmaller: who takes gzip gets it, and reads the same; who does not gets the text, and what is short is left alone.
func TestSmaller(t *testing.T) {
	s := newSite(t)
	s.enable()
	plain := s.get("")
	if plain.header.Get("Content-Encoding") != "" || !strings.Contains(plain.header.Get("Vary"), "Accept-Encoding") {
		t.Errorf("plain: %v", plain.header)
	}
	for _, path := range []string{"", "assets/portal.css", "activity"} {
		whole, sent := s.get(path), s.get(path, "Accept-Encoding", "gzip")
		r, err := gzip.NewReader(strings.NewReader(sent.text))
		if err != nil || sent.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("%q: %v %v", path, err, sent.header)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != whole.text || len(sent.text) > len(whole.text)/2 {
			t.Errorf("%q: %v, %d bytes of %d", path, err, len(sent.text), len(whole.text))
		}
		if sent.header.Get("Content-Security-Policy") == "" || sent.header.Get("Content-Type") != whole.header.Get("Content-Type") {
			t.Errorf("%q: %v", path, sent.header)
		}
		t.Logf("%q: %d bytes of %d", path, len(sent.text), len(whole.text))
	}
	_, stamp, _ := strings.Cut(plain.text, `{"shown":"`)
	short := s.get("open?shown="+stamp[:16], "Accept-Encoding", "gzip", "HX-Request", "true")
	if short.header.Get("Content-Encoding") != "" || short.header.Get("HX-Reswap") != "none" {
		t.Errorf("where nothing has changed: %v", short.header)
	}
}
