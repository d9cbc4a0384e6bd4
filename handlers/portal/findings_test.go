package portal_test

import (
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestFindingsDoubts: the page says that nothing needs anybody only where everything was looked at lately and without an error; who may
// read less learns of the doubt, and neither the error nor a count.
func TestFindingsDoubts(t *testing.T) {
	calm := []string{"Nothing to do", "No findings"}
	for _, row := range []struct {
		name        string
		rec         *store.SweepRecord
		stranger    bool
		list, front []string // what the findings and the machines say
		never       []string
	}{
		{"before any sweep", nil, false, []string{"No check has run yet", "No sweep has come to every security group and firewall yet"}, []string{"The first check of every rule has not run yet"}, calm},
		{"in the middle of the first", &store.SweepRecord{Started: noon}, false, []string{"Nothing was found", "Not all checked yet", "The last sweep still runs, or was broken off"}, []string{"Not everything could be checked", "not all checked yet"}, calm},
		{"too long ago", &store.SweepRecord{Started: noon, Ended: noon, Completed: noon.Add(-11 * time.Minute)}, false, []string{"Nothing was found", "ended 11 minutes ago"}, []string{"Not everything could be checked", "all checked 11 min ago"}, calm},
		{"with an error", &store.SweepRecord{Started: noon, Ended: noon, Completed: noon, Error: "zz cannot be read"}, false, []string{"Nothing was found", "could not do everything", "zz cannot be read", "0 network security groups"}, []string{"Not everything could be checked"}, calm},
		{"with an error, to who may not read it all", &store.SweepRecord{Started: noon, Ended: noon, Completed: noon, Error: "zz cannot be read", Targets: 7}, true, []string{"Nothing was found", "could not do everything"}, []string{"Not everything could be checked"},
			append(calm, "cannot be read", "7 network", "0 network")},
		{"whole and lately", &store.SweepRecord{Started: noon, Ended: noon, Completed: noon}, false, []string{"Nothing to do", "All checked just now"}, []string{"No findings", "all checked just now"}, []string{"Nothing was found", "Not everything"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t)
			if row.stranger {
				s.may = func(jit.Caller, string, string) bool { return false }
			}
			if row.rec != nil {
				if err := s.store.PutSweep(t.Context(), *row.rec); err != nil {
					t.Fatal(err)
				}
			}
			list, front := s.get("findings"), s.get("")
			list.holds(t, row.list...)
			front.holds(t, row.front...)
			list.lacks(t, row.never...)
			front.lacks(t, row.never...)
		})
	}
}
