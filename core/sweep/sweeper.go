// Package sweep backs up the wake-ups: it lists everything, updates where machines are, closes what is due,
// repairs what differs, and reports findings. It changes targets through core/round, as every verb does.
package sweep

import (
	"context"
	"time"

	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/refusal"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Sweeper sweeps. Every field but CloseLost, Floor, Teller, Streamer and Glass must be set.
type Sweeper struct {
	Permit        *permit.Permit
	Rounds        *round.Rounds
	Network       network.Network
	Kinds         network.Kinds
	Policies      store.Policies
	Grants        store.Grants
	Keys          store.KeyStore
	Targets       store.Targets
	Alarm         store.Alarm
	Activity      store.Activity
	Refusals      *refusal.Log
	Sweeps        store.Sweeps
	Holds         store.Holds
	Subscriptions network.Subscriptions
	Floor         jit.Options     // what this installation demands of every request; it may be empty
	Admins        *network.Admins // what was seen of security admin rules
	CloseLost     bool            // windows whose owner could not ask for them any more are closed, and not only found
	Now           func() time.Time
	NewID         func() string
	Teller        Teller   // nil where nobody is told
	Streamer      Streamer // nil where the activity log stays where it is
	Pending       Pending
	Glass         glass.Rule
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Sweeper) now() time.Time { return jit.Instant(s.Now()) }

// SweepNow is [Sweeper.Sweep] for callers who may write policies in every managed subscription. It logs a refusal.
func (s *Sweeper) SweepNow(ctx context.Context, who jit.Caller) (store.SweepRecord, error) {
	err := s.maySweep(ctx, who)
	if jit.Refused(err) != nil {
		return store.SweepRecord{}, s.Refusals.Tell(ctx, store.EntryBy(who, store.OpSweep), nil, err)
	}
	if err != nil {
		return store.SweepRecord{}, err
	}
	return s.Sweep(ctx, who)
}

func (s *Sweeper) maySweep(ctx context.Context, who jit.Caller) error {
	var scopes []string
	for _, sub := range s.Subscriptions {
		scopes = append(scopes, "/subscriptions/"+sub)
	}
	return s.Permit.May(ctx, who, permit.VerbSweep, scopes...)
}
