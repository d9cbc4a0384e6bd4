package coretest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

var (
	_ network.RuleStore = (*Cloud)(nil)
	_ network.Network   = (*Cloud)(nil)
	_ network.Groups    = (*Cloud)(nil)
)

// Step is one call of a port, at one of the two moments at which it can fail: before it takes effect, and after
// it, when only its response can be lost.
type Step struct {
	Op    string // the method's name
	Of    string // its subject: a target's key, a grant's id, a subscription
	After bool
}

// Cloud is an in-memory firewall and network: the reference for adapters, and the basis of the verbs' own tests
// and simulations. It is safe for concurrent use. It has no limits, validation or latency.
type Cloud struct {
	// Fault is called at every step of every call; the caller gets its error. It may also act as another writer,
	// through the methods of Cloud. Nil means no faults.
	Fault func(context.Context, Step) error

	mu       sync.Mutex
	writes   int // the source of versions
	targets  map[string]*guard
	machines map[string]network.Machine
}

type guard struct {
	id      jit.ID
	rules   []jit.Rule
	version string
	addrs   []netip.Addr // at which it accepts connections
}

// NewCloud returns an empty cloud.
func NewCloud() *Cloud {
	return &Cloud{targets: map[string]*guard{}, machines: map[string]network.Machine{}}
}

func (c *Cloud) fault(ctx context.Context, s Step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.Fault == nil {
		return nil
	}
	return c.Fault(ctx, s)
}

// SetRules creates a target, or replaces all of its rules, as another writer would.
func (c *Cloud) SetRules(target jit.ID, rules ...jit.Rule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &guard{id: target, rules: cloned(rules), version: c.next()}
	if was := c.targets[target.Key()]; was != nil {
		g.addrs = was.addrs
	}
	c.targets[target.Key()] = g
}

// Standing returns the rules of a target; none if it does not exist.
func (c *Cloud) Standing(target jit.ID) []jit.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.targets[target.Key()]; g != nil {
		return cloned(g.rules)
	}
	return nil
}

// RemoveTarget deletes a target.
func (c *Cloud) RemoveTarget(target jit.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.targets, target.Key())
}

// Place adds a machine to the network, or moves it.
func (c *Cloud) Place(m network.Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[m.VM.Key()] = m
}

// RemoveMachine deletes a machine.
func (c *Cloud) RemoveMachine(vm jit.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, vm.Key())
}

// next returns a new version. The caller holds the lock.
func (c *Cloud) next() string {
	c.writes++
	return strconv.Itoa(c.writes)
}

// Writes returns the number of writes so far, by anybody.
func (c *Cloud) Writes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes
}

func cloned(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules))
	for _, r := range rules {
		out = append(out, r.Clone())
	}
	return out
}

func (g *guard) snapshot() network.Snapshot {
	return network.Snapshot{Standing: network.Standing{Target: g.id, Rules: cloned(g.rules), Addresses: slices.Clone(g.addrs)}, Version: g.version}
}

// Rules implements [network.RuleStore].
func (c *Cloud) Rules(ctx context.Context, _ network.Priority, target jit.ID) (network.Snapshot, error) {
	if err := c.fault(ctx, Step{Op: "Rules", Of: target.Key()}); err != nil {
		return network.Snapshot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.targets[target.Key()]
	if g == nil {
		return network.Snapshot{}, fmt.Errorf("target %s: %w", target.Name, store.ErrNotFound)
	}
	return g.snapshot(), nil
}

// All implements [network.RuleStore].
func (c *Cloud) All(ctx context.Context, _ network.Priority, subscription string) ([]network.Snapshot, error) {
	if err := c.fault(ctx, Step{Op: "All", Of: subscription}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []network.Snapshot
	for _, g := range c.targets {
		if strings.EqualFold(g.id.Subscription, subscription) {
			out = append(out, g.snapshot())
		}
	}
	slices.SortFunc(out, func(a, b network.Snapshot) int { return strings.Compare(a.Target.Key(), b.Target.Key()) })
	return out, nil
}

// Apply implements [network.RuleStore].
func (c *Cloud) Apply(ctx context.Context, _ network.Priority, s network.Snapshot, changes plan.Changes) (network.Snapshot, error) {
	if changes.Empty() && !s.Unconfirmed {
		return s, nil
	}
	for _, r := range slices.Concat(changes.Create, changes.Update, changes.Delete) {
		if !label.Owned(r.Name) {
			return network.Snapshot{}, fmt.Errorf("rule %s is not ours to change", r.Name)
		}
	}
	if err := c.fault(ctx, Step{Op: "Apply", Of: s.Target.Key()}); err != nil {
		return network.Snapshot{}, err
	}
	done, err := c.apply(s, changes)
	if err != nil {
		return network.Snapshot{}, err
	}
	return done, c.fault(ctx, Step{Op: "Apply", Of: s.Target.Key(), After: true})
}

func (c *Cloud) apply(s network.Snapshot, changes plan.Changes) (network.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.targets[s.Target.Key()]
	if g == nil {
		return network.Snapshot{}, fmt.Errorf("target %s: %w", s.Target.Name, store.ErrNotFound)
	}
	if g.version != s.Version {
		return network.Snapshot{}, fmt.Errorf("target %s: %w", s.Target.Name, store.ErrConflict)
	}
	g.rules, g.version = changes.Apply(g.rules), c.next()
	return g.snapshot(), nil
}

// Kind returns the cloud restricted to the targets of one ARM type.
func (c *Cloud) Kind(armType string) network.RuleStore { return ofKind{c, armType} }

type ofKind struct {
	*Cloud
	armType string
}

// All implements [network.RuleStore].
func (k ofKind) All(ctx context.Context, p network.Priority, subscription string) ([]network.Snapshot, error) {
	list, err := k.Cloud.All(ctx, p, subscription)
	return slices.DeleteFunc(list, func(s network.Snapshot) bool { return !strings.EqualFold(s.Target.Type, k.armType) }), err
}

// SetAddresses sets the addresses at which a firewall target accepts connections.
func (c *Cloud) SetAddresses(target jit.ID, addrs ...netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets[target.Key()].addrs = addrs
}

// Machines implements [network.Network].
func (c *Cloud) Machines(ctx context.Context, subscription string) ([]network.Machine, error) {
	if err := c.fault(ctx, Step{Op: "Machines", Of: subscription}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []network.Machine
	for _, m := range c.machines {
		if strings.EqualFold(m.VM.Subscription, subscription) {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b network.Machine) int { return strings.Compare(a.VM.Key(), b.VM.Key()) })
	return out, nil
}

// HasGroup implements [network.Groups]: a group is there while a machine or a target is in it.
func (c *Cloud) HasGroup(ctx context.Context, subscription, group string) (bool, error) {
	if err := c.fault(ctx, Step{Op: "HasGroup", Of: group}); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	begin := strings.ToLower("/subscriptions/" + subscription + "/resourceGroups/" + group + "/")
	for key := range c.machines {
		if strings.HasPrefix(key, begin) {
			return true, nil
		}
	}
	for key := range c.targets {
		if strings.HasPrefix(key, begin) {
			return true, nil
		}
	}
	return false, nil
}

// Locate implements [network.Network].
func (c *Cloud) Locate(ctx context.Context, vms []jit.ID) (map[string]network.Machine, error) {
	if err := c.fault(ctx, Step{Op: "Locate"}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]network.Machine{}
	for _, vm := range vms {
		if m, ok := c.machines[vm.Key()]; ok {
			out[vm.Key()] = m
		}
	}
	return out, nil
}
