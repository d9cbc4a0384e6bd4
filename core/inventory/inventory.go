// Package inventory is what people and scripts look at: machines, requests, the activity log, findings. It gives everybody what
// they may read, and writes nothing: it must not know the rounds, which arch_test holds.
package inventory

import (
	"context"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// Inventory is what people and scripts look at. Every field must be set; its methods are safe for concurrent use.
type Inventory struct {
	Permit        *permit.Permit
	Network       network.Network
	Kinds         network.Kinds
	Rules         func(ctx context.Context, subscription string) ([]network.Standing, error) // every target of a subscription
	Policies      store.Policies
	Grants        store.Grants
	History       store.History
	Activity      store.Activity
	Sweeps        store.Sweeps
	Subscriptions network.Subscriptions
	Floor         jit.Options // what this installation demands of every request
	Now           func() time.Time

	surveys  memo.Memo[surveyed]
	standing memo.Memo[map[string]network.Standing] // by target
	past     memo.Memo[recent]
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Inventory) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }
