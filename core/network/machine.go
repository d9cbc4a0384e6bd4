package network

import (
	"context"
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// Machine is one virtual machine as the network knows it.
type Machine struct {
	VM         jit.ID
	Interfaces []string          // what names its network interfaces for ever, sorted: a new one under an old name differs
	Location   string            // such as westeurope
	Placements []store.Placement // sorted by target; none where no security group guards it
	Private    []netip.Addr      // every private address, the primary first
	Public     []netip.Addr      // every public address, that of the primary configuration first
	Unguarded  []string          // ARM ids of its network interfaces that no security group guards
	// VirtualNetwork is the ARM id, in lower case, of the one network that all its interfaces are in; "" where it is not known.
	VirtualNetwork string
}

// Network knows where machines stand. A machine is known when a network
// interface names it.
type Network interface {
	// Machines gives every machine of a subscription, sorted by id. It is complete or
	// an error: a partial answer would let the sweep take machines for deleted.
	Machines(ctx context.Context, subscription string) ([]Machine, error)
	// Locate gives the named machines by jit.ID.Key; those that do not exist are left out.
	// The answer is read from Azure now, never from a cache.
	Locate(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// Recaller is what a Network implements that finds machines that it has seen before with less
// than a listing.
type Recaller interface {
	// Recall is Locate for who is about to open something. Whether the interfaces that a machine was last seen with
	// are still its own, and which addresses they have, is read from Azure now: an address that became another's is not given.
	// Further interfaces, and what guards a subnet or stands before it, may be ten minutes old.
	Recall(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// AdminRules is what a [Network] implements that can tell which security admin rules of Azure
// Virtual Network Manager are in effect. These decide before any security group, and nothing that
// this app writes can stand above them; they are looked at to tell people.
type AdminRules interface {
	// AdminRules gives the inbound rules that are in effect on a virtual network, by its ARM id, in any
	// order. ErrForbidden where the app lacks the permission, ErrNotFound, *Unavailable.
	AdminRules(ctx context.Context, network string) ([]reach.AdminRule, error)
}

// Survey is what stands in one subscription, protected or not.
type Survey struct {
	Machines []Machine
	Classic  []jit.ID        // machines of the classic deployment model
	Behind   map[string]bool // by jit.ID.Key, machines behind an Azure Firewall: true where Firewall Manager runs it
}

// Surveyor is a [Network] that knows more of a subscription, for people to see. What
// it says opens and closes nothing.
type Surveyor interface {
	// Survey gives all of it, complete or an error.
	Survey(ctx context.Context, subscription string) (Survey, error)
}

func (m Machine) Dial() []netip.Addr {
	if len(m.Public) > 0 {
		return m.Public
	}
	return m.Private
}
