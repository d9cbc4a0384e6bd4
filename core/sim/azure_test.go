package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// azure is the state of Azure Resource Manager and the data plane. A write of a security group is not finished
// when it is accepted: the model and the etag change at once, the data plane and the etag again at its end.
type azure struct {
	mu      sync.Mutex
	etags   int
	groups  map[string]*group
	vms     map[string]*machine
	evicted map[string]bool // grants of which a foreign writer has changed or removed a rule
}

// group is one network security group.
type group struct {
	id      jit.ID
	model   []jit.Rule // what a GET shows
	packets []jit.Rule // what the data plane does
	etag    string
	tags    string
	public  []netip.Addr // of a firewall
	write   *write       // in progress
	failed  bool         // the last write failed: the data plane may differ from the model
	hurt    time.Time    // when that happened

	// Known to the run and to no adapter:
	foreign []jit.Rule // what foreign writers left, in their order
	labels  string
	locked  bool
	barred  bool
	wiped   time.Time // when one last took or changed a deny of ours: with it goes what shows that nobody ended a window
	dirty   time.Time // when a foreign writer last touched it or its machines; zero if clean
	sweeps  int       // clean sweeps that began since

	made map[string]maker    // our rules by the writes that made them
	sure map[string]jit.Rule // denies of ours that somebody was told are in effect, as they were, and nobody asked to change since

	handmade map[string]bool     // rules with our prefix that a foreign writer wrote
	harmed   map[string]jit.Rule // rules with our prefix that a foreign writer removed, changed or made, as they were
}

// maker is who made a rule, and after how many steps.
type maker struct {
	app  *app
	turn int
}

// write is one accepted PUT.
type write struct {
	done   chan struct{}
	ready  time.Time // it does not end earlier
	err    error
	answer network.Snapshot
}

// machine is one virtual machine and its interfaces.
type machine struct {
	id     jit.ID
	nics   []nic
	front  string // the firewall in front of it
	gone   bool
	lives  int       // how often it was recreated under its name
	reborn time.Time // earlier grants are another machine's
}

type nic struct {
	addrs  []netip.Addr
	groups []string // of the interface and of the subnet
	asgs   []string // the application security groups that it is in
}

func (z *azure) next() string {
	z.etags++
	return fmt.Sprint("etag-", z.etags)
}

func (z *azure) add(name string, rules ...jit.Rule) *group {
	g := &group{id: nsgID(name), model: clone(rules), packets: clone(rules), foreign: clone(rules), tags: "team=" + name, labels: "team=" + name, etag: z.next(), handmade: map[string]bool{}, made: map[string]maker{}, sure: map[string]jit.Rule{}, harmed: map[string]jit.Rule{}}
	z.groups[g.id.Name] = g
	return g
}

func clone(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules))
	for _, r := range rules {
		out = append(out, r.Clone())
	}
	return out
}

func (g *group) shown() network.Snapshot {
	return network.Snapshot{Standing: network.Standing{Target: g.id, Rules: clone(g.model), Addresses: g.public, Unconfirmed: g.write != nil || g.failed}, Version: g.etag, Body: []byte(g.tags)}
}

// sorted returns the groups in the order of their names.
func (z *azure) sorted() []*group {
	var out []*group
	for _, g := range z.groups {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *group) int { return cmp.Compare(a.id.Name, b.id.Name) })
	return out
}

func (z *azure) machines() []*machine {
	var out []*machine
	for _, m := range z.vms {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *machine) int { return cmp.Compare(a.id.Name, b.id.Name) })
	return out
}

// settled waits until no write is in progress on the group.
func (z *azure) settled(ctx context.Context, a *app, key string) error {
	for {
		z.mu.Lock()
		g := z.groups[key]
		if g == nil || g.write == nil {
			z.mu.Unlock()
			return nil
		}
		done := g.write.done
		z.mu.Unlock()
		if err := a.await(ctx, done); err != nil {
			return err
		}
	}
}

func (z *azure) read(target jit.ID) (network.Snapshot, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	g := z.groups[target.Name]
	if g == nil {
		return network.Snapshot{}, fmt.Errorf("read %s: %w", target.Name, store.ErrNotFound)
	}
	return g.shown(), nil
}

func (z *azure) list(subscription string) []network.Snapshot {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []network.Snapshot
	for _, g := range z.sorted() {
		if strings.EqualFold(g.id.Subscription, subscription) {
			out = append(out, g.shown())
		}
	}
	return out
}

// errInvalid is ARM's refusal of an invalid body, which the product must never send.
var errInvalid = errors.New("ARM refuses the body")

// accept begins a PUT of the whole group: the snapshot's body with the changes made replaces what is there.
func (z *azure) accept(s network.Snapshot, c plan.Changes, supersede bool) (*write, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	g := z.groups[s.Target.Name]
	switch {
	case g == nil:
		return nil, fmt.Errorf("PUT %s: %w", s.Target.Name, store.ErrNotFound)
	case g.locked:
		return nil, fmt.Errorf("PUT %s: ScopeLocked: %w", s.Target.Name, store.ErrLocked)
	case g.barred:
		return nil, fmt.Errorf("PUT %s: AuthorizationFailed: %w", s.Target.Name, store.ErrForbidden)
	case g.etag != s.Version:
		return nil, fmt.Errorf("PUT %s: PreconditionFailed: %w", s.Target.Name, store.ErrConflict)
	case g.write != nil && !supersede:
		return nil, &store.Unavailable{Dependency: "Azure Resource Manager", RetryAfter: time.Second, Err: errors.New("AnotherOperationInProgress")}
	}
	rules := changed(s.Rules, c)
	if err := valid(rules, g.public); err != nil {
		return nil, err
	}
	if g.write != nil {
		g.end(fmt.Errorf("operation superseded: %w", store.ErrConflict))
	}
	g.model, g.tags, g.etag = rules, string(s.Body), z.next()
	g.write = &write{done: make(chan struct{})}
	if g.gates() { // the time depends on the number of writes so far
		g.write.ready = time.Now().Add(gateLeast + time.Duration(z.etags*37%100)*(gateMost-gateLeast)/100)
	}
	return g.write, nil
}

// end ends the write in progress.
func (g *group) end(err error) {
	w := g.write
	g.write = nil
	w.err = err
	w.answer = g.shown()
	close(w.done)
}

// finish ends the write in progress: it takes effect or, if failed is set, its response reports a failure; half of
// the failed writes take effect all the same.
func (z *azure) finish(g *group, failed, effect bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	g.etag = z.next()
	if g.failed = failed; failed {
		g.hurt = time.Now()
	}
	if !failed || effect {
		g.packets = clone(g.model)
	}
	if failed {
		g.end(fmt.Errorf("operation failed: %w", store.ErrConflict))
		return
	}
	g.end(nil)
}

// changed applies the changes naively.
func changed(rules []jit.Rule, c plan.Changes) []jit.Rule {
	drop := map[string]bool{}
	for _, r := range slices.Concat(c.Update, c.Delete) {
		drop[strings.ToLower(r.Name)] = true
	}
	var out []jit.Rule
	for _, r := range rules {
		if !drop[strings.ToLower(r.Name)] {
			out = append(out, r.Clone())
		}
	}
	return append(out, clone(slices.Concat(c.Update, c.Create))...)
}

// valid is what ARM checks of a body.
func valid(rules []jit.Rule, public []netip.Addr) error {
	names, places := map[string]bool{}, map[string]string{}
	for _, r := range rules {
		name := strings.ToLower(r.Name)
		place := fmt.Sprint(r.Direction, r.Priority)
		switch {
		case names[name]:
			return fmt.Errorf("%w: two rules named %s", errInvalid, r.Name)
		case len(public) > 0:
			if !r.Translated.IsValid() || r.Priority != 0 || len(r.Destination.Prefixes) != 1 || len(r.DestinationPorts) != 1 || !slices.Contains(public, r.Destination.Prefixes[0].Addr()) {
				return fmt.Errorf("%w: %s is no NAT rule", errInvalid, r.Name)
			}
			names[name] = true
			continue
		case places[place] != "":
			return fmt.Errorf("%w: SecurityRuleConflict: %s and %s at priority %d", errInvalid, places[place], r.Name, r.Priority)
		case r.Priority < 100 || r.Priority > 4096, len(r.Name) > 80, len(r.Description) > 140:
			return fmt.Errorf("%w: rule %s at %d", errInvalid, r.Name, r.Priority)
		}
		names[name], places[place] = true, r.Name
	}
	return nil
}

// hand is a write by somebody else. It replaces model and data plane at once, if no write is in progress; edit may
// also change our rules.
func (z *azure) hand(g *group, at time.Time, edit func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule)) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	if g.write != nil || g.locked {
		return false // busy, or locked for everybody
	}
	var ours []jit.Rule
	for _, r := range g.model {
		if own(r) {
			ours = append(ours, r.Clone())
		}
	}
	before := clone(ours)
	ours, foreign := edit(ours, clone(g.foreign))
	rules := slices.Concat(foreign, ours)
	if valid(rules, g.public) != nil {
		return false
	}
	g.model, g.packets, g.foreign, g.etag, g.failed = clone(rules), clone(rules), clone(foreign), z.next(), false
	for _, x := range slices.Concat(before, ours) {
		if !holdsRule(before, x) || !holdsRule(ours, x) {
			z.evicted[grantIn(x.Name)] = true
			if x.Access == jit.Deny {
				g.wiped = at
			}
			if _, known := g.harmed[strings.ToLower(x.Name)]; !known {
				g.harmed[strings.ToLower(x.Name)] = x
			}
		}
	}
	g.touch(at)
	return true
}

func holdsRule(rules []jit.Rule, x jit.Rule) bool { return slices.ContainsFunc(rules, x.Equal) }

func (g *group) touch(at time.Time) { g.dirty, g.sweeps = at, 0 }

// own recognises our rules without package plan.
func own(r jit.Rule) bool { return strings.HasPrefix(strings.ToLower(r.Name), "portcullis-") }

// known returns the machine as the network adapter would.
func (m *machine) known(z *azure) network.Machine {
	out := network.Machine{VM: m.id, Location: "westeurope", Interfaces: []string{fmt.Sprint(m.id.Name, "-", m.lives)}}
	at := map[string][]netip.Addr{}
	site := reach.Site{Network: reach.Network{Inside: m.estate(netip.Addr{}).network, Whole: m.id.Subscription == other}, Groups: map[netip.Addr][]string{}}
	for _, n := range m.nics {
		for _, a := range n.addrs {
			site.Groups[a] = n.asgs
		}
		out.Private = append(out.Private, n.addrs...)
		guarded := false
		for _, name := range n.groups {
			if g := z.groups[name]; g != nil {
				guarded = true
				at[name] = append(at[name], n.addrs...)
			}
		}
		if !guarded {
			out.Unguarded = append(out.Unguarded, m.id.String()+"-nic")
		}
	}
	for name, addrs := range at {
		slices.SortFunc(addrs, netip.Addr.Compare)
		out.Placements = append(out.Placements, store.Placement{Target: nsgID(name), Addresses: slices.Compact(addrs), Site: site})
	}
	out.Placements = append(out.Placements, z.placement(m)...)
	slices.SortFunc(out.Placements, func(a, b store.Placement) int { return cmp.Compare(a.Target.Name, b.Target.Name) })
	return out
}

// places returns the addresses of the machine by the group that guards them.
func (z *azure) places(m *machine) map[*group][]netip.Addr {
	out := map[*group][]netip.Addr{}
	if m == nil || m.gone {
		return out
	}
	for _, n := range m.nics {
		for _, name := range n.groups {
			if g := z.groups[name]; g != nil {
				out[g] = append(out[g], n.addrs...)
			}
		}
	}
	return out
}

// The machine db and its groups are in another subscription than everything else.
const (
	sub   = "00000000-0000-0000-0000-00000000d3e0"
	other = "00000000-0000-0000-0000-00000000d3e1"
)

func subscriptionOf(name string) string {
	if name == "db" || strings.HasPrefix(name, "db-") {
		return other
	}
	return sub
}

func vmID(name string) jit.ID {
	return jit.ID{Subscription: subscriptionOf(name), ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

func nsgID(name string) jit.ID {
	return jit.ID{Subscription: subscriptionOf(name), ResourceGroup: "demo", Type: jit.TypeNSG, Name: name}
}
