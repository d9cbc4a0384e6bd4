package jit_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"portcullis/core/jit"
)

// TestTextRefuses: what cannot be seen, or changes how the rest is seen, is refused wherever it stands.
func TestTextRefuses(t *testing.T) {
	bad := map[string]string{
		"NUL": "\x00", "bell": "\a", "backspace": "\b", "escape": "\x1b", "a terminal's colours": "\x1b[31m", "delete": "\x7f", "C1 control": "\u009b",
		"left to right embedding": "\u202a", "right to left embedding": "\u202b", "end of direction": "\u202c", "left to right override": "\u202d", "right to left override": "\u202e",
		"left to right isolate": "\u2066", "right to left isolate": "\u2067", "first strong isolate": "\u2068", "end of isolate": "\u2069",
		"left to right mark": "\u200e", "right to left mark": "\u200f", "Arabic letter mark": "\u061c",
		"space without width": "\u200b", "word joiner": "\u2060", "byte order mark": "\ufeff", "soft hyphen": "\u00ad", "invisible times": "\u2062", "a tag": "\U000e0041", "interlinear anchor": "\ufff9",
		"private": "\ue000", "unassigned": "\u0378", "not a character": "\uffff", "replacement": "\ufffd", "a broken byte": "\xff", "half a letter": "\xc3", "a surrogate": "\xed\xa0\x80",
		"two joiners": "e\u200d\u200d", "a joiner after a space": " \u200d",
	}
	for name, s := range bad {
		for _, text := range []string{s, "look at " + s, s + " logs", "a" + s + "b"} {
			got, err := jit.Text(text)
			refused, ok := errors.AsType[*jit.Error](err)
			if !ok || refused.Code != jit.CodeTextNotPrintable || got != "" {
				t.Errorf("%s: %q is taken as %q (%v)", name, text, got, err)
			}
			if ok && strings.ContainsFunc(refused.Message, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("%s: the refusal holds it: %q", name, refused.Message)
			}
		}
	}
	if _, err := jit.Text("\u200dx"); err == nil {
		t.Error("a joiner that joins nothing is taken")
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"look at the logs":          "look at the logs",
		"two\nlines":                "two lines",
		"of\r\nWindows":             "of Windows",
		"of old\rMacs":              "of old Macs",
		"a\vb\fc\td":                "a b c d",
		"next\u0085line":            "next line",
		"line\u2028paragraph\u2029": "line paragraph ",
		"non\u00a0breaking":         "non breaking",
		"広い\u3000間":                 "広い 間",
		"two  spaces":               "two  spaces",
		"=1+1":                      "=1+1", // of a spreadsheet's business: see the export
		"čeština, עברית, العربية":   "čeština, עברית, العربية",
		"می\u200cخواهم":             "می\u200cخواهم",
		"👩\u200d💻":                  "👩\u200d💻",
		"e\u0301":                   "e\u0301",
	} {
		if got, err := jit.Text(in); got != want || err != nil {
			t.Errorf("%q is taken as %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestJustification(t *testing.T) {
	for _, tc := range []struct {
		name, in, want string
		code           jit.Code
	}{
		{"as long as may be", strings.Repeat("ž", jit.MaxJustification), strings.Repeat("ž", jit.MaxJustification), ""},
		{"one more", strings.Repeat("ž", jit.MaxJustification+1), "", jit.CodeJustificationTooLong},
		{"a megabyte of nothing", strings.Repeat("\x00", 1<<20), "", jit.CodeJustificationTooLong},
		{"spaces and lines around it", "\r\n logs \n", "logs", ""},
		{"turned around", "logs \u202exe", "", jit.CodeTextNotPrintable},
	} {
		got, err := jit.Justification(tc.in)
		refused, _ := errors.AsType[*jit.Error](err)
		if got != tc.want || (refused == nil) != (tc.code == "") || refused != nil && (refused.Code != tc.code || refused.Target != "justification") {
			t.Errorf("%s: %.40q, %v", tc.name, got, err)
		}
	}
}

// FuzzText holds that what is taken is one line of what can be seen, is the same when it is taken again, and loses no letter.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a\r\nb", "\u202e", "👩\u200d💻", "\xff", "a\u2028", "می\u200cخواهم", "\u00ad"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := jit.Text(s)
		if err != nil {
			if refused, ok := errors.AsType[*jit.Error](err); !ok || refused.Code != jit.CodeTextNotPrintable || got != "" {
				t.Errorf("%q: %q, %v", s, got, err)
			}
			return
		}
		for _, c := range got {
			if !unicode.IsPrint(c) && c != '\u200c' && c != '\u200d' {
				t.Errorf("%q is taken with %U", s, c)
			}
		}
		if again, err := jit.Text(got); again != got || err != nil {
			t.Errorf("%q, taken as %q, is taken again as %q (%v)", s, got, again, err)
		}
		if !utf8.ValidString(got) || strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(s), "") {
			t.Errorf("%q is taken as %q", s, got)
		}
	})
}

// TestLength: nothing is rounded away, so that a refusal never calls a length longer than itself.
func TestLength(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", -time.Hour: "0 s", 3 * time.Hour: "3 h", 90 * time.Minute: "1 h 30 min", 20 * time.Second: "20 s", 3*time.Hour + time.Second: "3 h 1 s",
		3*time.Hour + 400*time.Millisecond: "3 h 0.4 s", 5*time.Minute - time.Millisecond: "4 min 59.999 s", time.Nanosecond: "0.000000001 s",
	} {
		if got := jit.Length(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}

// TestLocation folds the names of regions as Resource Manager does.
func TestLocation(t *testing.T) {
	for _, name := range []string{"westeurope", "West Europe", "WestEurope", "WEST EUROPE"} {
		if got := jit.Location(name); got != "westeurope" {
			t.Errorf("%q: %q", name, got)
		}
	}
}
