package access

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// AdminRules is what a [Network] implements that can tell which security admin rules of Azure
// Virtual Network Manager are in effect. These decide before any security group, and nothing that
// this app writes can stand above them; they are looked at to tell people.
type AdminRules interface {
	// AdminRules gives the inbound rules that are in effect on a virtual network, by its ARM id, in any
	// order. ErrForbidden where the app lacks the permission, ErrNotFound, *Unavailable.
	AdminRules(ctx context.Context, network string) ([]plan.AdminRule, error)
}

// How many virtual networks one sweep asks for at most (one call each), and for how long a
// request believes what a sweep or an enable has seen: a rule may be gone by then. Who waits for an
// enable, and what else a sweep's invocation has to do, bound how long they may ask.
const (
	adminNetworks = 200
	adminBudget   = 30 * time.Second
	adminLife     = 10 * time.Minute
)

// admins remembers which security admin rules each virtual network had when last looked at,
// so that a request costs no call. It is safe for concurrent use; its zero value is empty.
type admins struct {
	mu   sync.Mutex
	seen map[string]adminSeen // by ARM id, in lower case
}

type adminSeen struct {
	rules []plan.AdminRule
	at    time.Time
}

func (a *admins) put(network string, rules []plan.AdminRule, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[string]adminSeen{}
	}
	a.seen[network] = adminSeen{rules, at}
}

// get gives what is known of a network; nothing where it was never looked at, or long ago.
func (a *admins) get(network string, now time.Time) []plan.AdminRule {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seen[network]; now.Sub(s.at) < adminLife {
		return s.rules
	}
	return nil
}

// lookAtAdmin asks for the security admin rules of the machines' virtual networks, each once, and
// gives them by network. Of how many nothing is known, and why, is told; it is no reason to stop.
func (s *Service) lookAtAdmin(ctx context.Context, machines []Machine) (map[string][]plan.AdminRule, string) {
	source, ok := s.Network.(AdminRules)
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
	found := make([][]plan.AdminRule, len(asked))
	known := make([]bool, len(asked))
	err := each(asked, func(i int, network string) (err error) {
		found[i], err = source.AdminRules(ctx, network)
		if known[i] = err == nil; known[i] {
			s.admins.put(network, found[i], s.now())
		}
		return err
	})
	out := map[string][]plan.AdminRule{}
	for i, network := range asked {
		if known[i] {
			out[network] = found[i]
		}
	}
	switch {
	case ctx.Err() != nil:
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: they did not come in time", len(networks)-len(out), len(networks))
	case err != nil:
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: %s", len(networks)-len(out), len(networks), publicly(err))
	case len(asked) < len(networks):
		return out, fmt.Sprintf("the security admin rules of %d of %d virtual networks, which decide before any security group: no more are asked for at once", len(networks)-len(out), len(networks))
	}
	return out, ""
}

// ruled is what a security admin rule does to a protected port.
type ruled struct {
	plan.Foreign
	title string
	opens bool // or keeps out everybody whom the policy allows
	sure  bool
}

// ruledBy gives what security admin rules do to the ports that a policy protects, each rule once for
// each port.
func ruledBy(m Machine, p jit.Policy, rules []plan.AdminRule) []ruled {
	var out []ruled
	note := func(port uint16, list []plan.AdminRule, opens, sure bool) {
		for _, r := range list {
			n := ruled{plan.Foreign{Rule: r.Rule, VM: p.VM, Port: port}, r.Title(), opens, sure}
			n.Rule.Name = n.title // which tells it from a rule of a security group
			if !slices.ContainsFunc(out, func(o ruled) bool { return o.title == n.title && o.Port == port && o.opens == opens }) {
				out = append(out, n)
			}
		}
	}
	for _, port := range p.Ports {
		for _, addr := range m.Private {
			note(port.Number, usual().Admin(rules, addr, port.Protocol, port.Number, jit.AnySource()).Opened, true, true)
			if kept := usual().Admin(rules, addr, port.Protocol, port.Number, port.Sources); kept.Whole != plan.No {
				note(port.Number, kept.Denied, false, kept.Whole == plan.Yes)
			}
		}
	}
	return out
}

// adminRules gives the security admin rules by virtual network. What cannot be looked at is a finding, and no
// failure of the sweep.
func (w *sweep) adminRules(ctx context.Context) map[string][]plan.AdminRule {
	rules, left := w.lookAtAdmin(ctx, slices.Collect(maps.Values(w.networks)))
	if left != "" {
		w.found(Finding{Kind: FindingUnchecked, Message: "not looked at: " + left})
	}
	return rules
}

// adminOnPorts finds what security admin rules do to the ports that a policy protects.
func (w *sweep) adminOnPorts(m Machine, p jit.Policy, rules []plan.AdminRule) {
	for _, r := range ruledBy(m, p, rules) {
		f := Finding{Kind: FindingExposed, VM: r.VM, Rule: r.title, Message: fmt.Sprintf("the %s (priority %d) opens port %d of %s, whatever the security groups say", r.title, r.Rule.Priority, r.Port, r.VM.Name)}
		if !r.opens {
			f.Kind, f.Message = FindingBlocked, fmt.Sprintf("port %d of %s cannot be opened: it is blocked by the %s (priority %d)", r.Port, r.VM.Name, r.title, r.Rule.Priority)
		}
		if !r.opens && !r.sure {
			f.Message = fmt.Sprintf("port %d of %s may be blocked by the %s (priority %d), as far as the names in it are known", r.Port, r.VM.Name, r.title, r.Rule.Priority)
		}
		w.found(f)
	}
}

// adminOnWindows finds what security admin rules do to open windows.
func (w *sweep) adminOnWindows(rules map[string][]plan.AdminRule) {
	now := w.now()
	for _, rec := range w.grants {
		for _, vm := range rec.Grant.VMs {
			m := w.machines[vm.VM.Key()]
			for _, p := range vm.Ports {
				if p.Status != jit.Initiated || !rec.Grant.Live(p, now) {
					continue
				}
				if by := barred(m, p, rules[m.VirtualNetwork]); len(by.Denied) > 0 {
					w.found(Finding{Kind: FindingBlocked, VM: vm.VM, Grant: rec.Grant.ID, Rule: by.Denied[0].Title(),
						Message: fmt.Sprintf("an open window for port %d of %s is blocked by the %s (priority %d)", p.Number, vm.VM.Name, by.Denied[0].Title(), by.Denied[0].Priority)})
				}
			}
		}
	}
}

// barred tells what security admin rules keep from a window, at the address of which they keep most.
func barred(m Machine, w jit.Window, rules []plan.AdminRule) plan.AdminEffect {
	worst := plan.AdminEffect{Whole: plan.No}
	sources := w.Sources
	for _, p := range m.Placements {
		if len(p.Inside) > 0 { // a firewall lets them in, from its own subnet
			sources = jit.SourcesOf(p.Inside...)
		}
	}
	for _, addr := range m.Private {
		if sameAddressFamily(sources, addr) {
			if e := usual().Admin(rules, addr, w.Protocol, w.Number, sources); len(worst.Denied) == 0 || e.Whole == plan.Yes {
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

// barredByAdmin refuses a grant of which a security admin rule surely lets nothing in, as far as
// the last look at them tells.
func (s *Service) barredByAdmin(g jit.Grant, machines map[string]Machine) error {
	for i, vm := range g.VMs {
		m := machines[vm.VM.Key()]
		rules := s.admins.get(m.VirtualNetwork, s.now())
		for j, w := range vm.Ports {
			if by := barred(m, w, rules); by.Whole == plan.Yes {
				return &jit.Error{Code: plan.CodeBlocked, Target: fmt.Sprintf("virtualMachines[%d].ports[%d]", i, j),
					Message: fmt.Sprintf("port %d of %s is blocked by the %s (priority %d), which comes before every security group: ask those who run it", w.Number, vm.VM.Name, by.Denied[0].Title(), by.Denied[0].Priority)}
			}
		}
	}
	return nil
}

// ruled adds to what enable says what security admin rules do to the ports that it protects.
func (s *Service) ruled(ctx context.Context, list []Enabled, machines map[string]Machine) {
	var guarded []Machine
	for _, e := range list {
		guarded = append(guarded, machines[e.Policy.VM.Key()])
	}
	rules, left := s.lookAtAdmin(ctx, guarded)
	for i, e := range list {
		m := machines[e.Policy.VM.Key()]
		for _, r := range ruledBy(m, e.Policy, rules[m.VirtualNetwork]) {
			if r.opens {
				list[i].Exposed = append(list[i].Exposed, r.Foreign)
			} else {
				list[i].Blocked = append(list[i].Blocked, r.Foreign)
			}
		}
		if _, known := rules[m.VirtualNetwork]; !known {
			list[i].Unchecked = left
		}
	}
}
