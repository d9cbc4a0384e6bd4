package portal_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// rects gives "class x y width" of every bar in the picture.
func rects(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`<rect class="(bar-[a-z]+)" x="([^"]+)" y="([^"]+)" width="([^"]+)" height`).FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Join(m[1:], " "))
	}
	return out
}

// TestPicture: windows stand where their times are, those that overlap in rows of their own.
func TestPicture(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.opened("alice", "first", 2*time.Hour, 22)
	s.clock.Set(noon.Add(time.Hour))
	s.opened("bob", "meanwhile", 2*time.Hour, 22)
	s.opened("alice", "again", 3*time.Hour, 22) // takes the place of the first
	s.clock.Set(noon.Add(12 * time.Hour))
	if _, err := s.app.Sweeper.SweepNow(t.Context(), caller("alice")); err != nil {
		t.Fatal(err)
	}
	p := s.get("windows")
	got := strings.Join(rects(p.text), ", ")
	// 24 hours end at midnight: noon is at 50 %, an hour is 4.17 %.
	if want := "bar-closed 50.00% 22 4.17%, bar-closed 54.17% 22 8.33%, bar-closed 54.17% 40 12.50%"; got != want {
		t.Errorf("bars %s, want %s", got, want)
	}
	p.holds(t, "3 windows on 1 port in the 24 hours before 24 Nov 2026, 00:00:00 UTC", "alice@example.com, bob@example.com", ">04:00<", "The same as a table", "meanwhile")
	week := s.get("windows?span=7d")
	week.holds(t, "in the 7 days before", ">Mon 23<")
	if n := len(rects(week.text)); n != 3 {
		t.Errorf("%d bars in a week", n)
	}
	s.clock.Set(noon.Add(40 * time.Hour))
	s.get("windows").holds(t, "Nothing was open")
	s.get("windows?vm="+app1+"&span=7d").holds(t, "Nothing was open")
}

// TestPictureOfAPart: where more was asked for than is looked through, nobody is told that nothing was open, who may see none of what was looked at least of all.
func TestPictureOfAPart(t *testing.T) {
	s := newSite(t)
	s.enable()
	for i := range 4100 {
		g := jit.Grant{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", i), RequestorID: "tid/mallory", Requestor: "mallory@example.com", Start: noon.Add(time.Duration(i) * time.Millisecond),
			VMs: []jit.GrantVM{{VM: vm(t, app1), Ports: []jit.Window{{Number: 22, End: noon.Add(time.Hour), Sources: jit.AnySource(), Status: jit.Initiated}}}}}
		if _, err := s.store.InsertGrant(t.Context(), store.GrantRecord{Grant: g}, nil, noon); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Set(noon.Add(time.Minute))
	s.may = func(_ jit.Caller, scope, _ string) bool { return strings.EqualFold(scope, web) }
	for page, never := range map[string]string{"windows": "Nothing was open", "report": "No window was asked for"} {
		p := s.getAs("carol", page)
		p.holds(t, "Not every request was looked at")
		p.lacks(t, never, "mallory")
	}
}
