package portal_test

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
)

// TestPagesOfTheList: a page says which machines of how many it shows, leads forth and back, and keeps its size and filter; the larger one holds as many as one
// call takes, so that all of it can be ticked at once.
func TestPagesOfTheList(t *testing.T) {
	s := newSite(t)
	for i := range 448 {
		s.place(fmt.Sprintf("%sm%03d", group, i), "farm-nsg", fmt.Sprintf("10.1.%d.%d", i/200, i%200+4), "")
	}
	link := func(p page, text string) string {
		t.Helper()
		m := regexp.MustCompile(`href="/api/portal/([^"]*)">` + text + `</a>`).FindStringSubmatch(p.text)
		if m == nil {
			t.Fatalf("no link %q: %s", text, p.text)
		}
		return html.UnescapeString(m[1])
	}
	first := s.get("?tab=notConfigured&group=demo")
	first.holds(t, "1–50 of 450", `name="size" value="50"`)
	first.lacks(t, ">Previous</a>")
	second := s.get(link(first, "Next"))
	second.holds(t, "51–100 of 450")
	third := s.get(link(second, "Next"))
	third.holds(t, "101–150 of 450", "group=demo")
	back := s.get(link(third, "Previous"))
	back.holds(t, "51–100 of 450")
	s.get(link(back, "Previous")).holds(t, "1–50 of 450")
	large := s.get(link(third, "200 on a page"))
	large.holds(t, "1–200 of 450", "50 on a page", `name="size" value="200"`)
	if n := strings.Count(large.text, `name="vm" id="pick-`); n != 200 {
		t.Errorf("%d ticks", n)
	}
	last := s.get(link(s.get(link(large, "Next")), "Next"))
	last.holds(t, "401–450 of 450")
	last.lacks(t, ">Next</a>")
	s.get("?tab=notConfigured&text=m00").lacks(t, "on a page", ">Next</a>")
}
