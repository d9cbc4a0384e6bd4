package network

import (
	"context"
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// Machine is one virtual machine as seen in the network.
type Machine struct {
	VM         jit.ID
	Interfaces []string          // permanent ids of its network interfaces, sorted; a new interface under an old name has another id
	Location   string            // such as westeurope
	Placements []store.Placement // sorted by target; empty if no security group guards it
	Private    []netip.Addr      // every private address, the primary first
	Public     []netip.Addr      // every public address, the primary configuration's first
	Unguarded  []string          // ARM ids of its network interfaces without a security group
	// VirtualNetwork is the ARM id, in lower case, of the network of all its interfaces; "" if they are in several or
	// it is not known.
	VirtualNetwork string
	// Twins is the other machines of the subscription that have an address of this one behind the same security group, in
	// another network: a rule cannot tell them apart.
	Twins []Twin
}

// Twin is another machine with the same address behind the same security group.
type Twin struct {
	VM, Target jit.ID
	Address    netip.Addr
}

// Network locates machines. A machine is known if a network interface names it.
type Network interface {
	// Machines returns every machine of a subscription, sorted by id. It is complete or an error: with a partial
	// answer the sweep would take machines for deleted.
	Machines(ctx context.Context, subscription string) ([]Machine, error)
	// Locate returns the named machines by jit.ID.Key, without those that do not exist. It reads from Azure, never
	// from a cache.
	Locate(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// Recaller is implemented by a Network that can find a machine it has seen before with less than a full listing.
type Recaller interface {
	// Recall is Locate for callers that are about to open something. It reads from Azure whether the machine still has
	// the interfaces it was last seen with, and their addresses: an address that now belongs to another machine is
	// never returned. Additional interfaces, and what guards a subnet or stands in front of it, may be up to ten
	// minutes old.
	Recall(ctx context.Context, vms []jit.ID) (map[string]Machine, error)
}

// AdminRules is implemented by a [Network] that can report which security admin rules of Azure Virtual Network
// Manager are in effect. They are evaluated before any security group, and the app cannot override them; it reads
// them to tell people.
type AdminRules interface {
	// AdminRules returns the inbound rules in effect on a virtual network, given its ARM id, in any order.
	// ErrForbidden if the app lacks the permission, ErrNotFound, *Unavailable.
	AdminRules(ctx context.Context, network string) ([]reach.AdminRule, error)
}

// Groups is implemented by a [Network] that can tell whether a resource group is there.
type Groups interface {
	// HasGroup reports whether a subscription has a resource group, as Azure says now. ErrForbidden if the app lacks the
	// permission, *Unavailable.
	HasGroup(ctx context.Context, subscription, group string) (bool, error)
}

// Survey is the machines of one subscription, protected or not.
type Survey struct {
	Machines []Machine
	Classic  []jit.ID        // machines of the classic deployment model
	Behind   map[string]bool // by jit.ID.Key, machines behind an Azure Firewall: true if Firewall Manager runs it
	// Tags are those of machines, by jit.ID.Key. A machine that is missing has tags that are not known.
	Tags map[string]map[string]string
}

// Surveyor is a [Network] that can describe a whole subscription for display. Nothing is opened or closed because
// of it.
type Surveyor interface {
	// Survey returns a complete survey or an error.
	Survey(ctx context.Context, subscription string) (Survey, error)
}

func (m Machine) Dial() []netip.Addr {
	if len(m.Public) > 0 {
		return m.Public
	}
	return m.Private
}
