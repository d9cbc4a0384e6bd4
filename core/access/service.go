package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// The refusals of this package, beside those of jit and plan.
const (
	CodeNotManaged      jit.Code = "SubscriptionNotManaged" // not among the subscriptions that the sweep looks at
	CodeRequestNotFound jit.Code = "RequestNotFound"
	CodeKeyReused       jit.Code = "IdempotencyKeyReused"  // the same key with another body
	CodeSourceFamily    jit.Code = "SourceFamilyMismatch"  // an IPv6 source for a machine with IPv4 only, or the reverse
	CodeTargetGone      jit.Code = "SecurityGroupNotFound" // it was deleted while the port was being opened
)

// Service holds the ports. Every field must be set, but for Floor; its methods are safe for
// concurrent use.
type Service struct {
	Network       network.Network
	Kinds         network.Kinds
	Policies      store.Policies
	Grants        store.Grants
	Keys          store.KeyStore
	History       store.History
	Targets       store.Targets
	Alarm         store.Alarm
	Activity      store.Activity
	Sweeps        store.Sweeps
	Subscriptions []string    // the subscriptions that the sweep looks at
	Floor         jit.Options // what this installation demands of every request, whatever the policies do
	Now           func() time.Time
	Admins        network.Admins // what was seen of security admin rules
	NewID         func() string  // a new UUID each time, in the order of time (version 7)

	rounds   rounds
	seen     snapshots // the rules of targets as they were last confirmed
	cold     cold
	closer   closer
	editing  editing
	surveys  memo[surveyed]
	standing memo[map[string]network.Snapshot] // by target, without what the adapter needs to write
	past     memo[recent]
}

// now gives the time as it is stored: UTC, in whole milliseconds.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// attempts bounds how often a verb starts again after somebody else wrote first.
const attempts = 8

// managed refuses machines of subscriptions that no sweep would look at: what it
// cannot guarantee to close is not opened.
func (s *Service) managed(vm jit.ID, at string) error {
	if slices.ContainsFunc(s.Subscriptions, func(sub string) bool { return strings.EqualFold(sub, vm.Subscription) }) {
		return nil
	}
	return &jit.Error{Code: CodeNotManaged, Target: at, Message: "subscription " + vm.Subscription + " is not one that this installation manages; add it to its settings first"}
}

// find gives the policies of machines, and the machines themselves.
func (s *Service) find(ctx context.Context, vms []jit.ID) (map[string]store.PolicyRecord, map[string]network.Machine, error) {
	machines, err := s.Network.Locate(ctx, vms)
	if err != nil {
		return nil, nil, fmt.Errorf("locate the virtual machines: %w", err)
	}
	policies, err := s.policiesOf(ctx, vms)
	return policies, machines, err
}

// recalled gives machines as [network.Recaller] has them, where nothing of them is missing.
func (s *Service) recalled(ctx context.Context, vms []jit.ID) (map[string]network.Machine, error) {
	r, ok := s.Network.(network.Recaller)
	if !ok {
		return s.Network.Locate(ctx, vms)
	}
	machines, err := r.Recall(ctx, vms)
	if err != nil || slices.ContainsFunc(vms, func(vm jit.ID) bool { return len(machines[vm.Key()].Placements) == 0 }) {
		return s.Network.Locate(ctx, vms) // nobody is refused for what is old
	}
	return machines, nil
}
