// Package round brings one target at a time to what is stored, and closes what is due: for an opening, a revoke, a wake-up, a
// sweep and a storm alike.
//
// A round reads the rules, computes what they should be (package plan), waits for its turn, writes, and looks at what is stored
// again. All who ask for a target while it is being written share the next round. What a round has seen gone is then stored as
// closed. The package decides nothing of who may ask, and does not log (it writes the activity log, which is part of the product).
package round

import (
	"context"
	"time"

	"portcullis/core/jit"
	"portcullis/core/move"
	"portcullis/core/network"
	"portcullis/core/seen"
	"portcullis/core/store"
)

// Rounds brings targets to what is stored. Every field but Panicked and LeaveRemoved must be set; its methods are safe for concurrent use.
type Rounds struct {
	*seen.Rules
	Kinds    network.Kinds
	Targets  store.Targets
	Grants   store.Grants
	Alarm    store.Alarm
	Activity store.Activity
	Now      func() time.Time

	Panicked func(of string, stack []byte) // is called for a panic, with what the work was for; may be nil

	// LeaveRemoved says that an allow which others have removed is not put back, not even once.
	LeaveRemoved bool

	// Pending goes on with a grant that waits to be opened, or whose opening began after a wait (see [jit.Grant.Pending]); must be set where any does.
	Pending func(ctx context.Context, rec store.GrantRecord) error

	queues   queues
	closings closings
	Moves    move.Moves // windows that a sweep follows
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Rounds) now() time.Time { return jit.Instant(s.Now()) }
