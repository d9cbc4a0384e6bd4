package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/store"
)

// How old the last complete sweep may be: the alert "heartbeat" checks after fifteen minutes.
const (
	sweepAttention = store.SweepLate
	sweepBroken    = 15 * time.Minute
)

// sweep reports the age of the last sweep that reached every target.
func (d *Doctor) sweep(ctx context.Context) Check {
	rec, err := d.Sweeps.LastSweep(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Check{State: Unknown, Reason: why(err), Err: err, Advice: "look at tableStorage first"}
	}
	if rec.Completed.IsZero() {
		return Check{State: Unknown, Reason: "no sweep has come to every target yet", Advice: "one runs every five minutes; POST /api/sweep runs one now. After ten minutes: docs/operations.md, alert heartbeat"}
	}
	age := max(d.Now().Sub(rec.Completed), 0)
	c := Check{State: OK, Seen: fmt.Sprintf("the last whole sweep ended %d s ago", int(age.Seconds())),
		Facts: []Fact{{Name: "endedAt", Value: rec.Completed.UTC().Format(time.RFC3339)}, {Name: "ageSeconds", Value: fmt.Sprint(int(age.Seconds()))}}}
	if age > sweepAttention {
		c.State, c.Advice = Attention, "docs/operations.md, alert heartbeat: does the timer run, and did sweeps fail? POST /api/sweep runs one now"
	}
	if age > sweepBroken {
		c.State = Broken
	}
	return c
}

// How long a window may be past its end: closing by a wake-up takes seconds, and if the wake-up is lost, the sweep
// closes the window within five minutes.
const (
	overdueAttention = time.Minute
	overdueBroken    = 5 * time.Minute
)

// closings reports the age of the oldest closing that is due but not confirmed.
func (d *Doctor) closings(ctx context.Context) Check {
	age, err := d.Overdue(ctx)
	if err != nil {
		return Check{State: Unknown, Reason: why(err), Err: err, Advice: "look at tableStorage first"}
	}
	c := Check{State: OK, Seen: "no window is past its end", Facts: []Fact{{Name: "oldestOverdueSeconds", Value: fmt.Sprint(int(age.Seconds()))}, d.lastClosing()}}
	if age > 0 {
		c.Seen = fmt.Sprintf("a window is past its end by %d s and not confirmed closed", int(age.Seconds()))
	}
	if age > overdueAttention {
		c.State, c.Advice = Attention, "docs/operations.md, alert overdue: GET /api/compliance names machine and reason"
	}
	if age > overdueBroken {
		c.State = Broken
	}
	return c
}

// settings reports settings that this version does not know, and its version.
func (d *Doctor) settings(context.Context) Check {
	limit := map[bool]string{true: "on", false: "off"}[d.About.WriteLimit]
	c := Check{State: OK, Seen: "every setting is known", Facts: []Fact{{Name: "PORTCULLIS_NETWORK_WRITE_LIMIT", Value: limit}, {Name: "version", Value: d.About.Version}, {Name: "go", Value: d.About.Go}}}
	if len(d.About.UnknownSettings) > 0 {
		c.State, c.Seen = Attention, "settings that this version does not know have no effect: "+strings.Join(d.About.UnknownSettings, ", ")
		c.Advice = "they are misspelt, or those of a newer version: docs/operations.md, Going back"
	}
	return c
}
