package protect

import (
	"context"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/refusal"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Protection holds the ports. Every field must be set, but for Floor; its methods are safe for concurrent use.
type Protection struct {
	Rounds        *round.Rounds
	Network       network.Network
	Kinds         network.Kinds
	Policies      store.Policies
	Grants        store.Grants
	Alarm         store.Alarm
	Activity      store.Activity
	Refusals      *refusal.Log
	Subscriptions network.Subscriptions
	Floor         jit.Options // what this installation demands of every request, whatever the policies do
	Now           func() time.Time
	Admins        *network.Admins // what was seen of security admin rules
	NewID         func() string   // a new UUID each time, in the order of time (version 7)
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Protection) now() time.Time { return jit.Instant(s.Now()) }

// find returns the policies of machines, and the machines themselves.
func (s *Protection) find(ctx context.Context, vms []jit.ID) (map[string]store.PolicyRecord, map[string]network.Machine, error) {
	machines, err := s.Network.Locate(ctx, vms)
	if err != nil {
		return nil, nil, fmt.Errorf("locate the virtual machines: %w", err)
	}
	policies, err := store.PolicyRecords(ctx, s.Policies, vms)
	return policies, machines, err
}
