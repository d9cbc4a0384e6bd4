package network

import (
	"context"
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// Standing is the rules of one target at one moment. It is for readers: nothing can be written from it.
type Standing struct {
	Target jit.ID
	Rules  []jit.Rule // all but the default rules, in both directions
	// Addresses are those at which the target accepts connections and forwards them: a firewall's public IPv4
	// addresses, sorted. Empty for a target that only filters, such as a security group.
	Addresses []netip.Addr
	// Unconfirmed says that the last write, by anybody, is in progress or has failed: the rules shown may not be the
	// rules in effect.
	Unconfirmed bool
}

// Snapshot is a [Standing] that can be written from: a write succeeds only if nobody has written since.
type Snapshot struct {
	Standing
	Version string // changes with every write by anybody
	Region  string // the target's region, such as westeurope; "" if it is not known
	Body    []byte // private to the adapter: what it needs to write back foreign content byte for byte
}

// RuleStore reads and writes the rules of one kind of target. Where its calls have to wait, they go in the order of their [Priority].
type RuleStore interface {
	// Rules reads one target once no write to it is in progress. ErrNotFound if it does not exist.
	Rules(ctx context.Context, p Priority, target jit.ID) (Snapshot, error)
	// All reads every target of a subscription as shown now, without waiting for writes in progress. It is complete or
	// an error.
	All(ctx context.Context, p Priority, subscription string) ([]Snapshot, error)
	// Apply makes the changes to the snapshot's rules, all or none, and returns the rules as confirmed by the firewall
	// once the write has finished. Rules outside the changes, tags and every other property stay as they were.
	// ErrConflict if the target has changed since the snapshot, or if it is unknown whether the write took effect.
	// Without changes it writes nothing, except for an Unconfirmed snapshot, which it writes again as shown.
	// ErrNotFound if the target is gone; ErrLocked, ErrForbidden, *Unavailable.
	Apply(ctx context.Context, p Priority, s Snapshot, c plan.Changes) (Snapshot, error)
}

// Turns is implemented by a RuleStore whose writes have to wait for their turn.
type Turns interface {
	// Turn waits until a write to the snapshot's target may be sent, in the order of their [Priority]. The
	// returned context holds the place for one Apply. waited reports whether Turn had to wait. An unused place is
	// released when ctx ends.
	Turn(ctx context.Context, p Priority, s Snapshot) (held context.Context, waited bool, err error)
}
