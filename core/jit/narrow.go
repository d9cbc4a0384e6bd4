package jit

import "time"

// Narrowed returns the grant with its windows at the policy's machine brought within the policy, and reports whether that
// changed any. A live window that could not be requested now ends now, with the reason [PolicyChanged]: its port, protocol,
// sources or justification are not what the policy, or the options in force (the stricter of the policy's and floor),
// allow. One that is only longer than the port's maximum, counted from the grant's start, ends when the maximum is over.
// A change raises the generation.
func (g Grant) Narrowed(p Policy, floor Options, now time.Time) (Grant, bool) {
	now = Instant(now)
	options, changed := p.InForce(floor), false
	out := g.each(func(vm ID, w Window) Window {
		if !vm.Equal(p.VM) || !g.Live(w, now) {
			return w
		}
		rule, ok := p.Port(w.Number)
		if !ok || rule.Protocol != AnyProtocol && rule.Protocol != w.Protocol || !rule.Sources.Contains(w.Sources) ||
			!options.Permit(w.Sources) || options.allowJustification(g.Justification) != nil {
			changed = true
			return w.revoke(now, PolicyChanged)
		}
		last := g.Start.Add(rule.Maximum)
		switch {
		case !w.End.After(last):
			return w
		case !now.Before(last):
			w = w.revoke(now, PolicyChanged)
		default:
			w.End = last
		}
		changed = true
		return w
	})
	if !changed {
		return g, false
	}
	out.Generation++
	return out, true
}
