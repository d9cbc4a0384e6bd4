package sim_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

// furthest is how far ahead a request may begin.
const furthest = 30 * time.Minute

// someStart gives when a request begins of a run in which people ask for later: mostly soon, sometimes now by a clock that is late, or when it is refused.
func (r *run) someStart() time.Time {
	now := time.Now()
	switch n := r.pick(20); {
	case n < 10:
		return now.Add(time.Duration(1+r.pick(900)) * time.Second)
	case n < 12:
		return now.Add(-time.Duration(r.pick(60)) * time.Second)
	case n < 13:
		return now.Add(-time.Hour)
	case n < 14:
		return now.Add(furthest + time.Hour)
	}
	return time.Time{}
}

// scheduled returns the grants that wait for their start, the earliest start first.
func (r *run) scheduled() []string {
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(r.table.grants)), func(id string) bool {
		l := r.table.grants[id]
		return l.lost || l.rec.Grant.Status() != jit.Scheduled
	})
	slices.SortStableFunc(ids, func(a, b string) int {
		return r.table.grants[a].rec.Grant.Wait.Opens.Compare(r.table.grants[b].rec.Grant.Wait.Opens)
	})
	return ids
}

// keptForLater is I16 for a grant that is stored: one that is for later waits, and no longer than may be. Its start may come while it is decided.
func (r *run) keptForLater(g jit.Grant) {
	if g.Wait.Opens.IsZero() {
		return
	}
	by := time.Now()
	if r.skewed {
		by = by.Add(skewMax)
	}
	if !g.Waiting() && g.Wait.Opens.After(by) || g.Wait.Opens.After(time.Now().Add(furthest+skewMax)) {
		r.violate("I16", "grant %s is to begin in %s, and is stored as %s", g.ID, time.Until(g.Wait.Opens), g.Status())
	}
}

// opensOnTime is I16 for a grant that has waited for its start: it begins to open then and not before, and ends when it was to end. That it does not
// begin after the end of its wait is held with the approvals.
func (r *run) opensOnTime(before, after jit.Grant) {
	if before.Wait.Opens.IsZero() || !before.Waiting() || after.Waiting() {
		return
	}
	if after.Status() != jit.Initiating {
		if after.Reason() == jit.OpeningFailed && !time.Now().Before(before.OpenBy) {
			r.seen.Missed++
		}
		return
	}
	r.seen.Begun++
	from := before.Wait.Opens
	if r.skewed {
		from = from.Add(-skewMax)
	}
	if time.Now().Before(from) {
		r.violate("I16", "grant %s begins to open %s before its start", after.ID, time.Until(before.Wait.Opens))
	}
	for _, vm := range after.VMs {
		for _, w := range vm.Ports {
			if end := before.Wait.Opens.Add(w.Length); w.End.After(end) {
				r.violate("I16", "port %d of %s was to end at %s, and begins to open for grant %s until %s", w.Number, vm.VM.Name, end.Format(time.TimeOnly), after.ID, w.End.Format(time.TimeOnly))
			}
		}
	}
}

// sweptStarts is I16 for a sweep: where nothing fails, what was to begin before it does not wait any more after it.
func (r *run) sweptStarts(o *op, due []string) {
	if !r.quiet {
		return
	}
	for _, id := range due {
		if l := r.table.grants[id]; !l.lost && l.rec.Grant.Status() == jit.Scheduled {
			r.violate("I16", "%s began after the start of grant %s, and has left it waiting", o.name, id)
		}
	}
}

// dueStarts returns what was to begin before now.
func (r *run) dueStarts() []string {
	return slices.DeleteFunc(r.scheduled(), func(id string) bool { return time.Now().Before(r.table.grants[id].rec.Grant.Wait.Opens) })
}

// outage stops every instance over the next start, for less or more than a start may be late. The bus may lose what falls into it. It reports
// whether there is a start.
func (r *run) outage() bool {
	ids := r.scheduled()
	if len(ids) == 0 {
		return false
	}
	r.drain(false)
	if ids = r.scheduled(); len(ids) == 0 || r.broken() {
		return true
	}
	over := time.Until(r.table.grants[ids[0]].rec.Grant.Wait.Opens) + time.Duration(r.pick(20))*time.Minute
	r.note("OUTAGE for %s, over the start of %s", over, ids[0])
	for _, a := range r.apps {
		r.crash(a)
	}
	time.Sleep(max(0, over))
	if r.chance(50) {
		for {
			w, ok := r.bus.due(time.Now())
			if !ok {
				break
			}
			r.note("BUS loses %v", w)
		}
	}
	r.disturb() // nobody could close what has ended
	r.sweepAt = time.Now()
	r.check()
	return true
}

// validated is a request as the doors check it. A refusal is logged, as they do.
func (r *run) validated(ctx context.Context, a *app, q asked) (decide.ValidRequest, error) {
	checked, err := decide.Validate(q.request, a.Service.Now(), furthest)
	if err != nil {
		err = a.LogRefusedRequest(ctx, caller(q.request.Requestor), q.request, err)
	}
	return checked, err
}
