package sweep

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// adminRules returns the security admin rules by virtual network. Rules that cannot be read are a finding; the
// sweep does not fail.
func (w *sweep) adminRules(ctx context.Context) map[string][]reach.AdminRule {
	rules, left := w.Admins.Look(ctx, w.Network, w.now, slices.Collect(maps.Values(w.networks)))
	if left != "" {
		w.found(store.Finding{Kind: store.FindingUnchecked, Message: "not looked at: " + left})
	}
	return rules
}

// adminOnPorts reports the effects of security admin rules on the ports that a policy protects.
func (w *sweep) adminOnPorts(m network.Machine, p jit.Policy, rules []reach.AdminRule) {
	for _, r := range network.RuledBy(m, p, rules) {
		f := store.Finding{Kind: store.FindingExposed, VM: r.VM, Rule: r.Title, Port: r.Port, Message: fmt.Sprintf("the %s (priority %d) opens port %d of %s, whatever the security groups say", r.Title, r.Rule.Priority, r.Port, r.VM.Name)}
		if !r.Opens {
			f.Kind, f.Message = store.FindingBlocked, fmt.Sprintf("port %d of %s cannot be opened: it is blocked by the %s (priority %d)", r.Port, r.VM.Name, r.Title, r.Rule.Priority)
		}
		if !r.Opens && !r.Sure {
			f.Message = fmt.Sprintf("port %d of %s may be blocked by the %s (priority %d), as far as the names in it are known", r.Port, r.VM.Name, r.Title, r.Rule.Priority)
		}
		w.found(f)
	}
}

// adminOnWindows reports the effects of security admin rules on open windows.
func (w *sweep) adminOnWindows(rules map[string][]reach.AdminRule) {
	now := w.now()
	for _, rec := range w.grants {
		for _, vm := range rec.Grant.VMs {
			m := w.machines[vm.VM.Key()]
			for _, p := range vm.Ports {
				if p.Status != jit.Initiated || !rec.Grant.Live(p, now) {
					continue
				}
				if by := network.Barred(m, p, rules[m.VirtualNetwork]); len(by.Denied) > 0 {
					w.found(store.Finding{Kind: store.FindingBlocked, VM: vm.VM, Grant: rec.Grant.ID, Rule: by.Denied[0].Title(),
						Message: fmt.Sprintf("an open window for port %d of %s is blocked by the %s (priority %d)", p.Number, vm.VM.Name, by.Denied[0].Title(), by.Denied[0].Priority)})
				}
			}
		}
	}
}
