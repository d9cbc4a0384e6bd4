package tell_test

import (
	"strings"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/core/tell"
)

// TestDialsWhatIsOpen: a card says where to dial once something is open, and never of what waits, was denied, is a drill, or has ended.
func TestDialsWhatIsOpen(t *testing.T) {
	opens := map[store.EventKind]bool{store.EventOpen: true, store.EventReminder: true, store.EventBreakGlass: true, "OfANewerVersion": true}
	for _, m := range coretest.Messages() {
		dials := false
		for _, f := range tell.CardOf(m, "").Facts {
			dials = dials || strings.Contains(f.Value, "dial ")
		}
		if dials != opens[m.Kind] {
			t.Errorf("%s: says where to dial: %t", m.Kind, dials)
		}
	}
}

// TestCardsLeadToTheirPage: to the request, to what is held, or to the findings.
func TestCardsLeadToTheirPage(t *testing.T) {
	for _, m := range coretest.Messages() {
		want := "https://app.example/requests/" + m.Grant
		switch m.Kind {
		case store.EventLockdown:
			want = "https://app.example/lockdown"
		case store.EventRepaired:
			want = "https://app.example/findings"
		}
		if links := tell.CardOf(m, "https://app.example").Links; len(links) != 1 || links[0].URL != want {
			t.Errorf("%s leads to %v, want %s", m.Kind, links, want)
		}
	}
}
