package network

import (
	"context"
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// Standing is the rules of one target as they stood at one moment. It is for who only looks: nothing can
// be written from it.
type Standing struct {
	Target jit.ID
	Rules  []jit.Rule // all but the default rules, in both directions
	// Addresses are those at which the target takes connections that it sends on: a firewall's
	// public IPv4 addresses, sorted. None where the target only lets through, as a security group does.
	Addresses []netip.Addr
	// Unconfirmed says that the last write, whosever it was, is under way or has
	// failed: what the target shows may not be what it does.
	Unconfirmed bool
}

// Snapshot is a [Standing] that may be written from: a write is made on condition that nobody has written since.
type Snapshot struct {
	Standing
	Version string // changes with every write by anybody
	Region  string // where it stands, such as westeurope; "" where it is not known
	Body    []byte // the adapter's own: what it needs to write back what is not ours, byte for byte
}

// RuleStore is one kind of place where rules stand.
type RuleStore interface {
	// Rules reads one target, once no write to it is under way any more. ErrNotFound
	// where it does not exist.
	Rules(ctx context.Context, target jit.ID) (Snapshot, error)
	// All reads every target of a subscription as they are shown at the moment,
	// without waiting for writes under way. It is complete or an error.
	All(ctx context.Context, subscription string) ([]Snapshot, error)
	// Apply makes the changes to what the snapshot shows, all or none, and gives the rules as
	// confirmed by the firewall after it has finished. Rules that are not in changes, tags and every other
	// property stay as they were. ErrConflict where the target has changed since the
	// snapshot, also where it is not known whether the write took effect. No changes are no
	// write, but for an Unconfirmed snapshot: what it shows is then written again. ErrNotFound
	// where the target is gone; ErrLocked, ErrForbidden, *Unavailable.
	Apply(ctx context.Context, s Snapshot, c plan.Changes) (Snapshot, error)
}

// Turns is what a RuleStore implements whose writes have to wait for their turn.
type Turns interface {
	// Turn waits until a write to the snapshot's target may be sent, in the order that the context's
	// [Priority] gives, and keeps the place for the Apply that gets the context that it gives. waited
	// reports whether there was a wait. The place is given back when ctx ends unused.
	Turn(ctx context.Context, s Snapshot) (held context.Context, waited bool, err error)
}
