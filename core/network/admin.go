package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// How many virtual networks one sweep asks for at most (one call each), and for how long a
// request believes what a sweep or an enable has seen: a rule may be gone by then. Who waits for an
// enable, and what else a sweep's invocation has to do, bound how long they may ask.
const (
	adminNetworks = 200
	adminBudget   = 30 * time.Second
	adminLife     = 10 * time.Minute
)

// Admins remembers which security admin rules each virtual network had when last looked at,
// so that a request costs no call. It is safe for concurrent use; its zero value is empty.
type Admins struct {
	mu   sync.Mutex
	seen map[string]adminSeen // by ARM id, in lower case
}

type adminSeen struct {
	rules []reach.AdminRule
	at    time.Time
}

func (a *Admins) put(network string, rules []reach.AdminRule, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[string]adminSeen{}
	}
	a.seen[network] = adminSeen{rules, at}
}

// Seen returns what is known of a network; nothing where it was never looked at, or long ago.
func (a *Admins) Seen(network string, now time.Time) []reach.AdminRule {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seen[network]; now.Sub(s.at) < adminLife {
		return s.rules
	}
	return nil
}

// Look asks for the security admin rules of the machines' virtual networks, each once, and
// gives them by network. Of how many nothing is known, and why, is told; it is no reason to stop.
func (a *Admins) Look(ctx context.Context, from Network, now func() time.Time, machines []Machine) (map[string][]reach.AdminRule, string) {
	source, ok := from.(AdminRules)
	if !ok {
		return nil, ""
	}
	var networks []string
	for _, m := range machines {
		if m.VirtualNetwork != "" {
			networks = append(networks, m.VirtualNetwork)
		}
	}
	slices.Sort(networks)
	networks = slices.Compact(networks)
	asked := networks[:min(len(networks), adminNetworks)]
	ctx, cancel := context.WithTimeout(ctx, adminBudget)
	defer cancel()
	found := make([][]reach.AdminRule, len(asked))
	known := make([]bool, len(asked))
	err := parallel.Each(asked, func(i int, network string) (err error) {
		found[i], err = source.AdminRules(ctx, network)
		if known[i] = err == nil; known[i] {
			a.put(network, found[i], now())
		}
		return err
	})
	out := map[string][]reach.AdminRule{}
	for i, network := range asked {
		if known[i] {
			out[network] = found[i]
		}
	}
	switch {
	case ctx.Err() != nil:
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: they did not come in time", len(networks)-len(out), len(networks))
	case err != nil:
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: %s", len(networks)-len(out), len(networks), store.Publicly(err))
	case len(asked) < len(networks):
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: no more are asked for at once", len(networks)-len(out), len(networks))
	}
	return out, ""
}

// Ruled is what a security admin rule does to a protected port.
type Ruled struct {
	plan.Foreign
	Title string
	Opens bool // or keeps out everybody whom the policy allows
	Sure  bool
}

// RuledBy returns what security admin rules do to the ports that a policy protects, each rule once for
// each port.
func RuledBy(m Machine, p jit.Policy, rules []reach.AdminRule) []Ruled {
	var out []Ruled
	note := func(port uint16, list []reach.AdminRule, opens, sure bool) {
		for _, r := range list {
			n := Ruled{plan.Foreign{Rule: r.Rule, VM: p.VM, Port: port}, r.Title(), opens, sure}
			n.Rule.Name = n.Title // which tells it from a rule of a security group
			if !slices.ContainsFunc(out, func(o Ruled) bool { return o.Title == n.Title && o.Port == port && o.Opens == opens }) {
				out = append(out, n)
			}
		}
	}
	for _, port := range p.Ports {
		for _, addr := range m.Private {
			note(port.Number, usual().Admin(rules, addr, port.Protocol, port.Number, jit.AnySource()).Opened, true, true)
			if kept := usual().Admin(rules, addr, port.Protocol, port.Number, port.Sources); kept.Whole != reach.No {
				note(port.Number, kept.Denied, false, kept.Whole == reach.Yes)
			}
		}
	}
	return out
}

// Barred tells what security admin rules keep from a window, at the address of which they keep most.
func Barred(m Machine, w jit.Window, rules []reach.AdminRule) reach.AdminEffect {
	worst := reach.AdminEffect{Whole: reach.No}
	sources := w.Sources
	for _, p := range m.Placements {
		if len(p.Inside) > 0 { // a firewall lets them in, from its own subnet
			sources = jit.SourcesOf(p.Inside...)
		}
	}
	for _, addr := range m.Private {
		if sameAddressFamily(sources, addr) {
			if e := usual().Admin(rules, addr, w.Protocol, w.Number, sources); len(worst.Denied) == 0 || e.Whole == reach.Yes {
				worst = e
			}
		}
	}
	return worst
}

func sameAddressFamily(s jit.Sources, a netip.Addr) bool {
	for p := range s.All() {
		if p.Addr().Is4() == a.Is4() {
			return true
		}
	}
	return s.IsAny()
}
