package inventory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Swept is what a caller learns of the last sweep. No finding is good news only where Warnings is empty.
type Swept struct {
	store.SweepRecord
	// Ran is false where no sweep has left a record: nobody has looked.
	Ran bool
	// Counted is whether the counts and Error are for the caller, who then may read every managed subscription.
	Counted bool
	// Warnings say why there may be more to find than was found. They name nothing, and are for every caller.
	Warnings []string
}

// LastSweep gives the last sweep with the findings that the caller may read. The counts, and why the sweep
// was incomplete, are for callers who may read every managed subscription. When it ran, and that it was incomplete, is
// for every caller, as in the health report.
func (s *Inventory) LastSweep(ctx context.Context, who jit.Caller) (Swept, error) {
	rec, err := s.Sweeps.LastSweep(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Swept{}, err
	}
	out := Swept{Ran: err == nil, Warnings: doubts(rec, s.now())}
	var shown []store.Finding
	for _, f := range rec.Findings {
		ok, err := s.readsAbout(ctx, who, f.VM, f.Target)
		if err != nil {
			return Swept{}, err
		}
		if ok {
			shown = append(shown, f)
		}
	}
	if out.Counted, err = s.readsAbout(ctx, who, jit.ID{}, jit.ID{}); err != nil {
		return Swept{}, err
	}
	if !out.Counted {
		rec = store.SweepRecord{Started: rec.Started, Ended: rec.Ended, Completed: rec.Completed}
	}
	out.SweepRecord = rec
	out.Findings = shown
	return out, nil
}

// doubts gives the reasons why there may be more to find than a sweep has found. The record of none is the zero value.
func doubts(rec store.SweepRecord, now time.Time) []string {
	var out []string
	switch age := now.Sub(rec.Completed); {
	case rec.Completed.IsZero():
		out = append(out, "no sweep has come to every security group and firewall yet")
	case age > store.SweepLate:
		out = append(out, fmt.Sprintf("the last sweep that came to every security group and firewall ended %d minutes ago, and one runs every five", int(age.Minutes())))
	}
	if !rec.Started.IsZero() && rec.Ended.IsZero() {
		out = append(out, "the last sweep still runs, or was broken off")
	}
	if rec.Error != "" {
		out = append(out, "the last sweep could not do everything")
	}
	return out
}
