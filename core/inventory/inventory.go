// Package inventory serves what people and scripts look at: machines, requests, the activity log, findings. It
// returns to each caller what they may read. It writes nothing and must not import rounds; arch_test holds this.
package inventory

import (
	"context"
	"sync/atomic"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// Inventory answers queries. Every field must be set; its methods are safe for concurrent use.
type Inventory struct {
	Permit        *permit.Permit
	Network       network.Network
	Kinds         network.Kinds
	Rules         func(ctx context.Context, subscription string) ([]network.Standing, error) // returns every target of a subscription
	Policies      store.Policies
	Grants        store.Grants
	History       store.History
	Activity      store.Activity
	Sweeps        store.Sweeps
	Subscriptions network.Subscriptions
	Floor         jit.Options // what the installation demands of every request
	Now           func() time.Time

	surveys  memo.Memo[surveyed]
	standing memo.Memo[map[string]network.Standing] // by target
	past     memo.Memo[recent]

	verifying atomic.Int32 // calls of Verify that read the log
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Inventory) now() time.Time { return jit.Instant(s.Now()) }
