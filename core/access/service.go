package access

import (
	"context"
	"slices"
	"time"

	"portcullis/core/glass"
	"portcullis/core/hold"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/network"
	"portcullis/core/refusal"
	"portcullis/core/round"
	"portcullis/core/store"
)

// The refusals of this package, beside those of jit and plan.
const (
	CodeRequestNotFound jit.Code = "RequestNotFound"
	CodeKeyReused       jit.Code = "IdempotencyKeyReused"   // the same key with another body
	CodePolicyChanged   jit.Code = "PolicyChanged"          // the policy was changed meanwhile, and does not allow it any more
	CodeSourceFamily    jit.Code = "SourceFamilyMismatch"   // an IPv6 source for a machine with IPv4 only, or the reverse
	CodeMachineReplaced jit.Code = "VirtualMachineReplaced" // another machine stands where the one was that was asked for
	CodeTooManyWaiting  jit.Code = "TooManyWaiting"         // over MaxWaiting requests of one requestor wait to be opened
)

// Service holds the ports. Every field must be set, but for Floor, Glass and Quota; its methods are safe for
// concurrent use.
type Service struct {
	Rounds        *round.Rounds
	Network       network.Network
	Kinds         network.Kinds
	Policies      store.Policies
	Grants        store.Grants
	Keys          store.KeyStore
	Targets       store.Targets
	Alarm         store.Alarm
	Activity      store.Activity
	Holds         *hold.Asker
	Refusals      *refusal.Log
	Subscriptions network.Subscriptions
	Floor         jit.Options   // what this installation demands of every request, whatever the policies do
	Glass         glass.Rule    // break-glass; the zero value lets nobody
	Quota         limit.Quota   // what one requestor may have of one target; the zero value is no bound
	Wait          time.Duration // how long a grant waits for approval; zero: such a request has expired when it is stored
	Ahead         time.Duration // how far ahead a request may begin; zero: at once alone
	Now           func() time.Time
	Admins        *network.Admins // what was seen of security admin rules
	NewID         func() string   // a new UUID each time, in the order of time (version 7)

	tries tries
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Service) now() time.Time { return jit.Instant(s.Now()) }

// recalled returns machines as [network.Recaller] has them, where nothing of them is missing.
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
