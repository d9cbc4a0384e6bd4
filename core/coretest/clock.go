package coretest

import (
	"sync/atomic"
	"time"
)

// Clock is a clock that only a test moves, while the verbs under test read it from
// whatever they still do behind an answer. Its zero value stands at the zero time.
type Clock struct{ at atomic.Pointer[time.Time] }

// NewClock gives a clock that stands at t.
func NewClock(t time.Time) *Clock {
	c := &Clock{}
	c.Set(t)
	return c
}

// Now gives the time at which it stands.
func (c *Clock) Now() time.Time {
	if t := c.at.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Set moves it to t.
func (c *Clock) Set(t time.Time) { c.at.Store(&t) }

// Advance moves it on by d.
func (c *Clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }
