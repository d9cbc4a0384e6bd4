package portal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	templates "portcullis/web"
)

// clocks finds layouts of the time of day.
var clocks = regexp.MustCompile("[\"`][^\"`\n]*(15:04|3:04PM)[^\"`\n]*[\"`]|time\\.(Kitchen|TimeOnly|Stamp\\w*|ANSIC)")

// TestTimesHaveDateAndZone: no text of the product shows a time of day without its date and its zone.
func TestTimesHaveDateAndZone(t *testing.T) {
	whole := func(layout string) bool {
		return (strings.Contains(layout, "2006") || strings.Contains(layout, "2026-01-02")) && // a layout, or an example of one
			(strings.Contains(layout, "UTC") || strings.Contains(layout, "Z"))
	}
	// These read what people type, or write what no person reads.
	apart := map[string]string{
		"../../handlers/portal/words/words.go": "reads the fields of the browser, which are labelled UTC",
		"../../handlers/portal/chart/chart.go": "marks the axis; its caption has date and zone",
	}
	check := func(path, text string) {
		for _, layout := range clocks.FindAllString(text, -1) {
			if apart[path] == "" && !whole(layout) {
				t.Errorf("%s writes a time as %s", path, layout)
			}
		}
	}
	seen := 0
	for _, root := range []string{"../../core", "../../handlers"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/coretest/") {
				return err
			}
			text, err := os.ReadFile(path)
			seen++
			check(path, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := fs.WalkDir(templates.Templates, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(templates.Templates, path)
		seen++
		if strings.Contains(string(text), ".Format") {
			t.Errorf("%s writes a time by itself; use when", path)
		}
		return err
	})
	if err != nil || seen < 100 {
		t.Errorf("%d files looked at, %v", seen, err)
	}
	if !clocks.MatchString(`const clock = "15:04:05"`) || whole(`"15:04:05"`) || whole(`"2006-01-02 15:04"`) {
		t.Error("the check finds nothing")
	}
}
