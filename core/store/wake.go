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

// WakesOf returns a wake-up for each end of a grant's windows that is still to come at now.
func WakesOf(g jit.Grant, now time.Time) []Wake {
	var wakes []Wake
	for _, end := range g.Ends() {
		if end.After(now) {
			wakes = append(wakes, Wake{Grant: g.ID, Generation: g.Generation, At: end})
		}
	}
	return wakes
}

// Alarm delivers wake-ups. It is a hint: it may be early, late, twice or lost.
type Alarm interface {
	// Schedule stores the wake-ups durably before it returns.
	Schedule(ctx context.Context, wakes ...Wake) error
}
