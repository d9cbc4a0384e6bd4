package sweep

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// report turns the outcome of a round into findings.
func (w *sweep) report(out round.Outcome) {
	if out.Gone || out.Target.IsZero() {
		return
	}
	on := func(f store.Finding) {
		f.Target = out.Target
		w.found(f)
	}
	w.standing(out)
	if len(out.Repaired) > 0 {
		on(store.Finding{Kind: store.FindingRepaired, Message: out.Target.Name + ": " + strings.Join(out.Repaired, ", ")})
	}
	for _, e := range out.Ended {
		w.countEnded(e.Grant.ID)
		for _, vm := range e.Grant.Machines() {
			on(store.Finding{Kind: store.FindingEnded, VM: vm, Grant: e.Grant.ID, Message: fmt.Sprintf("the window of %s for %s was closed (%s): %s", e.Grant.Requestor, vm.Name, e.Reason, e.Message)})
		}
	}
	if !out.State.Known && len(out.Plan.Rules) > 0 {
		on(store.Finding{Kind: store.FindingLost, Message: fmt.Sprintf("%s holds %d rules of ours of which nothing is stored: enable its machines again, or delete the rules", out.Target.Name, len(out.Plan.Rules))})
	}
	kept(out, on)
	if w.Kinds.Maps(out.Target) {
		leading(out, on)
	} else {
		w.lay(out)
	}
	for _, f := range cannotOpen(out.Plan.Shut) {
		on(f)
	}
	for _, b := range out.Plan.Blocked {
		if b.By[0].Translated.IsValid() {
			on(store.Finding{Kind: store.FindingBlocked, Grant: b.Grant, Rule: b.Rule,
				Message: fmt.Sprintf("the rule %s of %s takes the connections of an open window too, and may send them elsewhere", b.By[0].Name, out.Target.Name)})
			continue
		}
		on(store.Finding{Kind: store.FindingBlocked, Grant: b.Grant, Rule: b.Rule,
			Message: fmt.Sprintf("an open window on %s is blocked by the rule %s (priority %d), which was put above it", out.Target.Name, b.By[0].Name, b.By[0].Priority)})
	}
	for _, r := range out.Plan.Refused {
		if r.By != nil { // it is told with what is exposed
			continue
		}
		on(store.Finding{Kind: store.FindingRefused, Grant: r.Grant, Rule: r.Rule, Message: r.Err.Message})
	}
}

// standing remembers the unconfirmed grants whose rules stand on a target.
func (w *sweep) standing(out round.Outcome) {
	for _, o := range out.State.Openings {
		if o.Grant.Status() == jit.Initiating && o.Grant.AnyLive(out.At) && out.Stands(o.Grant.ID) {
			w.mu.Lock()
			w.stood[o.Grant.ID+" "+out.Target.Key()] = true
			w.mu.Unlock()
		}
	}
}

// leading reports foreign NAT rules that lead to a protected port.
func leading(out round.Outcome, on func(store.Finding)) {
	for _, f := range out.Plan.Exposed {
		on(store.Finding{Kind: store.FindingExposed, VM: f.VM, Rule: f.Rule.Name, Port: f.Port,
			Message: fmt.Sprintf("the NAT rule %s of %s leads to port %d of %s: while a window of that port is open, whoever it takes comes in too", f.Rule.Name, out.Target.Name, f.Port, f.VM.Name)})
	}
}

// kept reports denies that nothing stored knows.
func kept(out round.Outcome, on func(store.Finding)) {
	for _, k := range out.Plan.Kept {
		on(store.Finding{Kind: store.FindingLost, Rule: k.Rule, Message: fmt.Sprintf("the rule %s of %s closes more than anything stored asks for, and stays: enable the machines again that it names, or delete it", k.Rule, out.Target.Name)})
	}
}

// countEnded counts a grant that a round has ended by itself, once for all of its targets.
func (w *sweep) countEnded(grant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended[grant] {
		w.ended[grant] = true
		w.rec.Closed++
	}
}

// lay keeps what became of a security group until all are known, since another one may close what this one leaves open.
func (w *sweep) lay(out round.Outcome) {
	group := side.Group{Target: out.Target, Plan: &plan.Plan{Exposed: out.Plan.Exposed, Refused: out.Plan.Refused}}
	for _, p := range out.State.Policies {
		if m := w.machines[p.Policy.VM.Key()]; len(m.Placements) > 1 {
			group.Policies = append(group.Policies, p)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.laid = append(w.laid, group)
}

// exposed reports the protected ports that foreign rules open and that no other security group closes, and why our
// denies do not.
func (w *sweep) exposed() {
	w.mu.Lock()
	laid := w.laid
	w.mu.Unlock()
	for _, group := range laid {
		open := map[string]bool{} // rules
		for _, f := range group.Plan.Exposed {
			if side.ClosedElsewhere(laid, group.Target, f.VM, f.Port) {
				continue
			}
			open[f.Rule.Name] = true
			w.found(store.Finding{Kind: store.FindingExposed, Target: group.Target, VM: f.VM, Rule: f.Rule.Name, Port: f.Port,
				Message: fmt.Sprintf("the rule %s (priority %d) of %s opens port %d of %s", f.Rule.Name, f.Rule.Priority, group.Target.Name, f.Port, f.VM.Name)})
		}
		for _, r := range group.Plan.Refused {
			if r.By != nil && open[r.By.Name] {
				w.found(store.Finding{Kind: store.FindingRefused, Target: group.Target, Rule: r.Rule, Message: r.Err.Message})
			}
		}
	}
}

// cannotOpen tells of the machines whose next request must fail, the ports of one and the same reason together.
func cannotOpen(shut []plan.Shut) []store.Finding {
	var out []store.Finding
	for from, to := 0, 0; from < len(shut); from = to {
		var ports []string
		first := shut[from]
		for to < len(shut) && shut[to].VM.Equal(first.VM) && shut[to].Err.Message == first.Err.Message {
			ports = append(ports, fmt.Sprint(shut[to].Port))
			to++
		}
		noun := "port "
		if len(ports) > 1 {
			noun = "ports "
		}
		out = append(out, store.Finding{Kind: store.FindingCannotOpen, VM: first.VM, Message: "no request for " + noun + strings.Join(ports, ", ") + " of " + first.VM.Name + " can be opened: " + first.Err.Message})
	}
	return out
}

// judge reports, for every protected machine, what else can be reached and what security admin rules do.
func (w *sweep) judge(ctx context.Context) {
	w.exposed()
	rules := w.adminRules(ctx)
	err := w.Policies.EachPolicy(ctx, func(rec store.PolicyRecord) error {
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
	w.beyond()
}

// beyond finds open windows that exceed the options in force now, such as options that were tightened after the request.
func (w *sweep) beyond() {
	demands := func(vm jit.ID) jit.Options { return w.granted[vm.Key()].InForce(w.Floor) }
	for _, e := range limit.Standing(w.asMarked(), demands, w.now()) {
		noun, which := "one window", "it"
		if len(e.Grants) > 1 {
			noun, which = fmt.Sprintf("%d windows together", len(e.Grants)), "those that nobody needs"
		}
		w.found(store.Finding{Kind: store.FindingBeyond, VM: e.VM, Grant: e.Grants[0],
			Message: fmt.Sprintf("port %d of %s is open for %s until %s, by %s, to %s: close %s, or leave it to the end", e.Number, e.VM.Name, e.Requestor, e.Until.UTC().Format(time.RFC3339), noun, e.Says, which)})
	}
}

// reachable reports the well-known management ports of a protected machine that its policy does not name and that
// the Internet can reach.
func (w *sweep) reachable(m network.Machine, p jit.Policy) {
	rules := func(t jit.ID) ([]jit.Rule, bool) {
		snap, ok := w.snaps[t.Key()]
		return snap.Rules, ok && !w.Kinds.Maps(t)
	}
	for _, e := range network.Reachable(m, p, rules) {
		w.found(network.Reached(m, e))
	}
}
