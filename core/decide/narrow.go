package decide

import (
	"time"

	"portcullis/core/jit"
)

// Narrow returns the grant with its windows at the policy's machine brought within the policy, and reports whether that
// changed any. A live window that could not be requested now ends now, with the reason [jit.PolicyChanged]: its port, protocol,
// sources or justification are not what the policy, or the options in force (the stricter of the policy's and floor),
// allow. One that is only longer than the port's maximum, counted from the grant's start, ends when the maximum is over.
// A change raises the generation.
func Narrow(g jit.Grant, p jit.Policy, floor jit.Options, now time.Time) (jit.Grant, bool) {
	now = jit.Instant(now)
	options, changed := p.InForce(floor), false
	out := g.Each(func(vm jit.ID, w jit.Window) jit.Window {
		if !vm.Equal(p.VM) || !g.Live(w, now) {
			return w
		}
		rule, ok := p.Port(w.Number)
		if !ok || rule.Protocol != jit.AnyProtocol && rule.Protocol != w.Protocol || !rule.Sources.Contains(w.Sources) ||
			!options.Permit(w.Sources) || allowJustification(options, g.Justification) != nil {
			changed = true
			return w.Revoke(now, jit.PolicyChanged)
		}
		last := g.Begins().Add(rule.Maximum)
		switch {
		case !w.End.After(last):
			return w
		case !now.Before(last):
			w = w.Revoke(now, jit.PolicyChanged)
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
