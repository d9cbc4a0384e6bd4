package access

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// report turns what a round says of a target into findings.
func (w *sweep) report(out outcome) {
	if out.gone || out.target.IsZero() {
		return
	}
	on := func(f Finding) {
		f.Target = out.target
		w.found(f)
	}
	if len(out.repaired) > 0 {
		on(Finding{Kind: FindingRepaired, Message: out.target.Name + ": " + strings.Join(out.repaired, ", ")})
	}
	if !out.state.Known && len(out.plan.Rules) > 0 {
		on(Finding{Kind: FindingLost, Message: fmt.Sprintf("%s holds %d rules of ours of which nothing is stored: enable its machines again, or delete the rules", out.target.Name, len(out.plan.Rules))})
	}
	for _, f := range out.plan.Exposed {
		if f.Rule.Translated.IsValid() {
			on(Finding{Kind: FindingExposed, VM: f.VM, Rule: f.Rule.Name,
				Message: fmt.Sprintf("the NAT rule %s of %s leads to port %d of %s: while a window of that port is open, whoever it takes comes in too", f.Rule.Name, out.target.Name, f.Port, f.VM.Name)})
			continue
		}
		on(Finding{Kind: FindingExposed, VM: f.VM, Rule: f.Rule.Name,
			Message: fmt.Sprintf("the rule %s (priority %d) of %s opens port %d of %s", f.Rule.Name, f.Rule.Priority, out.target.Name, f.Port, f.VM.Name)})
	}
	for _, b := range out.plan.Blocked {
		if b.By[0].Translated.IsValid() {
			on(Finding{Kind: FindingBlocked, Grant: b.Grant, Rule: b.Rule,
				Message: fmt.Sprintf("the rule %s of %s takes the connections of an open window too, and may send them elsewhere", b.By[0].Name, out.target.Name)})
			continue
		}
		on(Finding{Kind: FindingBlocked, Grant: b.Grant, Rule: b.Rule,
			Message: fmt.Sprintf("an open window on %s is blocked by the rule %s (priority %d), which was put above it", out.target.Name, b.By[0].Name, b.By[0].Priority)})
	}
	for _, r := range out.plan.Refused {
		on(Finding{Kind: FindingRefused, Grant: r.Grant, Rule: r.Rule, Message: r.Err.Message})
	}
}

// judge looks at every protected machine for what else can be reached and what security admin rules do.
func (w *sweep) judge(ctx context.Context) {
	rules := w.adminRules(ctx)
	err := w.Policies.EachPolicy(ctx, func(rec PolicyRecord) error {
		if m, ok := w.machines[rec.Policy.VM.Key()]; ok {
			w.reachable(m, rec.Policy)
			w.adminOnPorts(m, rec.Policy, rules[m.VirtualNetwork])
		}
		return nil
	})
	if err != nil {
		w.failed(fmt.Errorf("look at the protected machines: read the policies: %w", err))
	}
	w.adminOnWindows(rules)
}

// reachable finds the well-known management ports of a protected machine that its
// policy does not name and that the Internet can reach.
func (w *sweep) reachable(m Machine, p jit.Policy) {
	rules := func(t jit.ID) ([]jit.Rule, bool) {
		snap, ok := w.snaps[t.Key()]
		return snap.Rules, ok && !w.maps(t)
	}
	for _, e := range reachable(m, p, rules) {
		w.found(reached(m, e))
	}
}

func reached(m Machine, e plan.Exposure) Finding {
	by := e.By[len(e.By)-1].Rule
	return Finding{Kind: FindingReachable, VM: m.VM, Rule: by.Name,
		Message: fmt.Sprintf("port %d of %s (%s), which its policy does not name, can be reached from the Internet through the rule %s", e.Port, m.VM.Name, e.Address, by.Name)}
}

func unguarded(vm jit.ID, nic string) Finding {
	return Finding{Kind: FindingUnguarded, VM: vm, Message: "the network interface " + nic + " of " + vm.Name + " has no security group: its ports cannot be closed"}
}

func gone(vm jit.ID) Finding {
	return Finding{Kind: FindingVMGone, VM: vm, Message: vm.Name + " has a policy but no longer exists: disable it, or leave the policy for when it comes back"}
}

// usual is what the tag VirtualNetwork is taken for: the private ranges of both
// families, since a network that uses others is not known here. Where one does, the
// Internet is taken for larger than it is, and a finding may be one too many.
func usual() plan.Names {
	var n plan.Names
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"} {
		n.VirtualNetwork = append(n.VirtualNetwork, netip.MustParsePrefix(p))
	}
	return n
}

// reachable gives how the well-known management ports of a machine that its policy
// does not protect can surely be reached from the Internet, given the rules of
// its targets. One address that nothing guards is not in it: that is a finding of its own.
func reachable(m Machine, p jit.Policy, rules func(jit.ID) ([]jit.Rule, bool)) []plan.Exposure {
	ports := slices.DeleteFunc(plan.ManagementPorts(), func(n uint16) bool { _, protected := p.Port(n); return protected })
	names := usual()
	var out []plan.Exposure
	for _, addr := range m.Private {
		e := plan.Endpoint{VM: m.VM, Address: addr}
		for _, at := range m.Placements {
			if standing, ok := rules(at.Target); ok && slices.Contains(at.Addresses, addr) {
				e.Guards = append(e.Guards, plan.Guard{Name: at.Target.Name, Rules: standing})
			}
		}
		if len(e.Guards) == 0 {
			continue
		}
		for _, x := range names.Exposures(e, ports, names.Internet()) {
			if !x.Certain.IsEmpty() && !x.Ours() {
				out = append(out, x)
			}
		}
	}
	return out
}
