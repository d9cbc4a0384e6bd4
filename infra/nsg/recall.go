package nsg

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/infra/arm"
	"portcullis/infra/nsg/topology"
)

var _ network.Recaller = (*Client)(nil)

// What is remembered of listings: for how long, and of how many machines.
const (
	recallLife = 10 * time.Minute
	mostHomes  = 50_000
)

// homes remembers which interfaces machines had when they were listed last, and what was listed with them.
type homes struct {
	mu   sync.Mutex
	byVM map[string]home // by jit.ID.Key
}

type home struct {
	at         time.Time
	interfaces []string       // ARM ids
	inv        topology.Lists // without interfaces
	reads      int            // pages that the listing took
}

// learn remembers what a listing that began at a time says of the wanted machines. What stands before each of them is known.
func (h *homes) learn(inv topology.Lists, pages int, began time.Time, wanted func(string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byVM == nil || len(h.byVM) > mostHomes {
		h.byVM = map[string]home{}
	}
	slim := inv
	slim.Interfaces = nil
	fresh := map[string]home{}
	for _, nic := range inv.Interfaces {
		if vm, ok := topology.MachineOf(nic); ok && wanted(vm.Key()) {
			m := fresh[vm.Key()]
			m.at, m.inv, m.reads, m.interfaces = began, slim, pages, append(m.interfaces, arm.Value(nic.ID))
			fresh[vm.Key()] = m
		}
	}
	for key, m := range fresh {
		h.byVM[key] = m
	}
}

// of gives the homes of machines, if all are known and looking at each of their interfaces is less than
// listing them again.
func (h *homes) of(vms []jit.ID) (map[string]home, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out, looks, reads := map[string]home{}, 0, 0
	for _, vm := range vms {
		m, ok := h.byVM[vm.Key()]
		if !ok || time.Since(m.at) > recallLife {
			return nil, false
		}
		if _, twice := out[vm.Key()]; !twice {
			looks, reads = looks+len(m.interfaces), max(reads, m.reads)
		}
		out[vm.Key()] = m
	}
	return out, looks < reads
}

// Recall implements [network.Recaller]: one GET for each interface that the machines had when they were listed
// last. Where one of them is gone, is another machine's, or stands where nothing is known of, and where listing
// is less, it is [Client.Locate].
func (c *Client) Recall(ctx context.Context, vms []jit.ID) (map[string]network.Machine, error) {
	known, ok := c.homes.of(vms)
	if !ok {
		return c.Locate(ctx, vms)
	}
	var mu sync.Mutex
	nics := map[string][]*armnetwork.Interface{}
	g, gctx := arm.NewGroup(ctx)
	g.SetLimit(surveyWide)
	for _, vm := range vms {
		for _, id := range known[vm.Key()].interfaces {
			g.Go(func() error {
				nic, err := c.nic(gctx, vm, id)
				mu.Lock()
				defer mu.Unlock()
				nics[vm.Key()] = append(nics[vm.Key()], nic)
				return err
			})
		}
	}
	if g.Wait() != nil {
		return c.Locate(ctx, vms)
	}
	out := map[string]network.Machine{}
	for key, list := range nics {
		inv := known[key].inv
		inv.Interfaces = list
		if !inv.Complete() {
			return c.Locate(ctx, vms)
		}
		inv.Sort()
		found, err := inv.Machines(func(k string) bool { return k == key })
		if err != nil {
			return c.Locate(ctx, vms)
		}
		out[key] = found[key]
	}
	return out, nil
}

// nic reads one interface, which has to be the machine's.
func (c *Client) nic(ctx context.Context, vm jit.ID, id string) (*armnetwork.Interface, error) {
	s, err := c.subscription(vm.Subscription)
	if err != nil {
		return nil, err
	}
	at, err := jit.ParseID(id)
	if err != nil {
		return nil, err
	}
	resp, err := s.interfaces.Get(ctx, at.ResourceGroup, at.Name, nil)
	if err != nil {
		return nil, err
	}
	if owner, ok := topology.MachineOf(&resp.Interface); !ok || !owner.Equal(vm) {
		return nil, fmt.Errorf("%s is not of %s any more", id, vm.Name)
	}
	return &resp.Interface, nil
}
