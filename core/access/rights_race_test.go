package access_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"portcullis/core/jit"
)

// TestRightLostOfWhatOthersHaveClosed: a window that its owner closes while a sweep asks for rights is closed for the owner's reason, once, and is
// no failure of the sweep.
func TestRightLostOfWhatOthersHaveClosed(t *testing.T) {
	w, a, ann1, _, _, _ := newLost(t, true)
	a.lost[ann.ID+" app1"] = true
	other := w.instance()
	var once sync.Once
	a.during = func() {
		once.Do(func() {
			if _, err := other.Revoke(t.Context(), ann, ann1); err != nil {
				t.Error(err)
			}
		})
	}
	rec := w.sweep()
	if g := w.grant(ann1); !g.Closed() || g.Reason() != jit.UserRequested {
		t.Errorf("closed %t for %s", g.Closed(), g.Reason())
	}
	if rec.Closed != 0 {
		t.Errorf("the sweep says that it closed %d grants", rec.Closed)
	}
	lines := slices.DeleteFunc(w.log(), func(l string) bool { return !strings.HasPrefix(l, "Close ") })
	if len(lines) != 2 { // ann's own, and the part of her other grant
		t.Errorf("the log: %v", lines)
	}
}
