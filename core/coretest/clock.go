package coretest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that only a test advances, while verbs may still read it in the background. Its zero value
// shows the zero time.
type Clock struct{ at atomic.Pointer[time.Time] }

// NewClock returns a clock that shows t.
func NewClock(t time.Time) *Clock {
	c := &Clock{}
	c.Set(t)
	return c
}

// Now returns the time that it shows.
func (c *Clock) Now() time.Time {
	if t := c.at.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Set sets it to t.
func (c *Clock) Set(t time.Time) { c.at.Store(&t) }

// Advance advances it by d.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }
