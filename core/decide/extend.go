package decide

import (
	"fmt"
	"time"

	"portcullis/core/jit"
)

// Extend moves the end of every live window of a grant to the given end, or to duration from now; exactly one is set. The
// window's whole length, counted from the grant's start, must stay within the port's maximum. The policy and the
// options in force now (the stricter of the policy's and floor) must still allow the port, the sources and the
// justification. It is all or nothing: if one window may not be extended, it returns an [*jit.Error] and the unchanged
// grant. [jit.CodeRequestWaits] while the grant waits to be opened, [jit.CodeRequestEnded] if no window is live, [jit.CodeEndNotLater] if no window would end later.
func Extend(g jit.Grant, policy func(jit.ID) (jit.Policy, bool), floor jit.Options, duration time.Duration, end, now time.Time) (jit.Grant, error) {
	now = jit.Instant(now)
	asked := jit.RequestPort{Duration: duration, End: end}
	if bad := checkEnd(asked); bad != nil {
		return g, bad
	}
	to, bad := endOf(asked, now, now)
	if bad != nil {
		return g, bad
	}
	to = to.Truncate(time.Millisecond)
	if g.Waits(now) {
		return g, refuse(jit.CodeRequestWaits, "id", "the request is not open yet, and is approved as it is; cancel it and send a new one for another length")
	}
	if !g.AnyLive(now) {
		return g, refuse(jit.CodeRequestEnded, "id", "the request has ended; send a new one")
	}
	later := false
	var err *jit.Error
	out := g.Each(func(vm jit.ID, w jit.Window) jit.Window {
		if err != nil || !g.Live(w, now) || !to.After(w.End) {
			return w
		}
		var end time.Time
		if end, err = extended(g, policy, floor, vm, w, to); err != nil || !end.After(w.End) { // cut to the maximum, which it lasts already
			return w
		}
		later = true
		w.End = end
		return w
	})
	switch {
	case err != nil:
		return g, err
	case !later:
		return g, refuse(jit.CodeEndNotLater, "endTimeUtc", "the request already ends at %s", timeText(g.End()))
	}
	out.Generation++
	return out, nil
}

// extended returns the end that a window gets if it is extended to a time, within what its policy allows from the grant's start.
func extended(g jit.Grant, policy func(jit.ID) (jit.Policy, bool), floor jit.Options, vm jit.ID, w jit.Window, to time.Time) (time.Time, *jit.Error) {
	p, ok := policy(vm)
	if !ok {
		return to, refuse(jit.CodePolicyNotFound, "id", "%s has no just-in-time policy any more", vm.Name)
	}
	options := p.InForce(floor)
	if allowJustification(options, g.Justification) != nil {
		return to, refuse(jit.CodeJustificationRequired, "justification", "the request does not say why access is needed, which is required now; send a new one that does")
	}
	out, err := decidePort(p, options, jit.RequestPort{Number: w.Number, End: to, Sources: w.Sources}, g.Begins(), g.Begins())
	if err != nil {
		return to, err.At(fmt.Sprintf("%s:%d", vm.Name, w.Number))
	}
	return out.End, nil
}
