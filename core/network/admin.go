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

// One sweep looks up at most adminNetworks virtual networks, with one call each, for at most adminBudget: a caller
// of enable waits for it, and a sweep has other work to do. A request relies on what a sweep or an enable has seen
// for at most adminLife, since a rule may be gone by then.
const (
	adminNetworks = 200
	adminBudget   = 30 * time.Second
	adminLife     = 10 * time.Minute
)

// Admins remembers the security admin rules last seen on each virtual network, so that a request costs no call. It
// is safe for concurrent use; its zero value is empty.
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

// Seen returns the remembered rules of a network; nil if it was never looked up, or too long ago.
func (a *Admins) Seen(network string, now time.Time) []reach.AdminRule {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seen[network]; now.Sub(s.at) < adminLife {
		return s.rules
	}
	return nil
}

// Look fetches the security admin rules of the machines' virtual networks, each once, and returns them by network.
// The text says for how many networks the rules are unknown, and why; this is not an error.
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

// Ruled is the effect of a security admin rule on a protected port.
type Ruled struct {
	plan.Foreign
	Title string
	Opens bool // false: it keeps out everybody whom the policy allows
	Sure  bool
}

// RuledBy returns the effects of security admin rules on the ports that a policy protects, each rule once per
// port.
func RuledBy(m Machine, p jit.Policy, rules []reach.AdminRule) []Ruled {
	var out []Ruled
	note := func(port uint16, list []reach.AdminRule, opens, sure bool) {
		for _, r := range list {
			n := Ruled{plan.Foreign{Rule: r.Rule, VM: p.VM, Port: port}, r.Title(), opens, sure}
			n.Rule.Name = n.Title // distinguishes it from a rule of a security group
			if !slices.ContainsFunc(out, func(o Ruled) bool { return o.Title == n.Title && o.Port == port && o.Opens == opens }) {
				out = append(out, n)
			}
		}
	}
	for _, port := range p.Ports {
		for _, addr := range m.Private {
			note(port.Number, assumed(m).Admin(rules, addr, port.Protocol, port.Number, jit.AnySource()).Opened, true, true)
			if kept := assumed(m).Admin(rules, addr, port.Protocol, port.Number, port.Sources); kept.Whole != reach.No {
				note(port.Number, kept.Denied, false, kept.Whole == reach.Yes)
			}
		}
	}
	return out
}

// Barred returns what security admin rules keep out of a window, for the machine's address where they keep out
// most.
func Barred(m Machine, w jit.Window, rules []reach.AdminRule) reach.AdminEffect {
	worst := reach.AdminEffect{Whole: reach.No}
	sources := w.Sources
	for _, p := range m.Placements {
		if len(p.Inside) > 0 { // a firewall lets the traffic in, from its own subnet
			sources = jit.SourcesOf(p.Inside...)
		}
	}
	for _, addr := range m.Private {
		if sameAddressFamily(sources, addr) {
			if e := assumed(m).Admin(rules, addr, w.Protocol, w.Number, sources); len(worst.Denied) == 0 || e.Whole == reach.Yes {
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
