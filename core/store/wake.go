package store

import (
	"context"
	"time"

	"portcullis/core/jit"
)

// Wake is a message to deliver not before At: check whether something of the grant has to close.
type Wake struct {
	Grant      string
	Generation int
	At         time.Time
	Attempt    int  // incremented when the same wake-up has to be sent again
	Remind     bool // somebody is to be reminded that an end is near, and nothing has to close
}

// WakesOf returns a wake-up for each time that is still to come at now and at which something of a grant is due: see [jit.Grant.Wakes].
func WakesOf(g jit.Grant, now time.Time) []Wake {
	var wakes []Wake
	for _, at := range g.Wakes() {
		if at.After(now) {
			wakes = append(wakes, Wake{Grant: g.ID, Generation: g.Generation, At: at})
		}
	}
	return wakes
}

// Alarm delivers wake-ups. It is a hint: it may be early, late, twice or lost.
type Alarm interface {
	// Schedule stores the wake-ups durably before it returns.
	Schedule(ctx context.Context, wakes ...Wake) error
}
