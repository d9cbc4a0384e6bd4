package access_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/preview"
)

// TestChangesShowNoHiddenMachine: what a verb did or would do to a group that machines share tells who may read one of them nothing of the
// windows and rules of the others: not from where, not until when, not that they are there by name; only how many changes more there are. Who may
// read all sees all, and both see what is about the machines that they name.
func TestChangesShowNoHiddenMachine(t *testing.T) {
	ctx := t.Context()
	for name, verb := range map[string]struct {
		shows string // to who may read app2 alone; "" for no rule
		do    func(w *world, mine string) ([]preview.Change, error)
	}{
		"request, dry": {"to app2", func(w *world, _ string) ([]preview.Change, error) {
			_, c, err := w.doors.Preview(ctx, ann, asked(ann, 3389, "203.0.113.7", "app2"))
			return c, err
		}},
		"enable, dry": {"deny to app2", func(w *world, _ string) ([]preview.Change, error) {
			_, c, err := w.doors.Enable(ctx, ann, []jit.Policy{policyOf("app2", 22, 8022)}, true)
			return c, err
		}},
		"enable": {"deny to app2", func(w *world, _ string) ([]preview.Change, error) {
			_, c, err := w.doors.Enable(ctx, ann, []jit.Policy{policyOf("app2", 22, 8022)}, false)
			return c, err
		}},
		"disable, dry": {"", func(w *world, _ string) ([]preview.Change, error) {
			_, c, err := w.doors.PreviewDisable(ctx, ann, []jit.ID{vmID("app2")})
			return c, err
		}},
		"revoke, dry": {"", func(w *world, mine string) ([]preview.Change, error) {
			_, c, err := w.doors.PreviewRevoke(ctx, ann, mine)
			return c, err
		}},
		"extend, dry": {"203.0.113.7", func(w *world, mine string) ([]preview.Change, error) {
			_, c, err := w.doors.PreviewExtend(ctx, ann, mine, 2*time.Hour, time.Time{})
			return c, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			told := func(hidden bool) (string, int) {
				w := newWorld(t)
				w.enable("app1", "app2")
				mine := w.mustAskAs(ann, 22, "203.0.113.7", "app2")
				w.mustAskAs(bob, 22, "198.51.100.99", "app1")
				var edited []jit.Rule // somebody deleted the allows and narrowed the deny: every rule is to be written again
				for _, r := range w.cloud.Standing(nsgID("apps-nsg")) {
					if r.Access == jit.Deny {
						r.Destination = jit.PeersOf(netip.MustParseAddr("10.0.1.4"))
						edited = append(edited, r)
					}
				}
				w.cloud.SetRules(nsgID("apps-nsg"), edited...)
				if hidden {
					w.permitted(mayAt("app2"))
				} else {
					w.permitted(everybody{})
				}
				changes, err := verb.do(w, mine)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, c := range changes {
					n += c.Hidden
				}
				return fmt.Sprintf("%+v", rulesIn(changes)), n
			}
			all, none := told(false)
			part, hidden := told(true)
			if none != 0 || !strings.Contains(all, "198.51.100.99") || !strings.Contains(all, "app1") {
				t.Errorf("who may read all is shown, with %d hidden: %s", none, all)
			}
			if hidden == 0 || strings.Contains(part, "198.51.100.99") || strings.Contains(part, "app1") || strings.Contains(part, "10.0.1.4") {
				t.Errorf("who may read app2 is shown, with %d hidden: %s", hidden, part)
			}
			if verb.shows == "" && part != "[]" || !strings.Contains(part, verb.shows) {
				t.Errorf("who may read app2 is shown %s, want %q", part, verb.shows)
			}
		})
	}
}

// rulesIn gives the rules in changes.
func rulesIn(changes []preview.Change) []jit.Rule {
	var out []jit.Rule
	for _, c := range changes {
		out = append(append(append(out, c.Changes.Create...), c.Changes.Update...), c.Changes.Delete...)
	}
	return out
}
