package sim_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// sweep starts one. If it is clean, it has seen everything from before its beginning.
func (r *run) sweep(a *app) *op {
	disturbed, stood, starts := r.disturbed, r.standing(), r.dueStarts()
	versions := map[string]string{}
	for key, rec := range r.table.policies {
		versions[key] = rec.Version
	}
	o := r.begin(a, "sweep", func(ctx context.Context) error {
		_, err := a.Sweep(ctx, caller("portcullis"))
		return err
	})
	o.after = func(o *op) {
		if o.err == nil {
			r.swept(o, disturbed, versions)
			r.sweptHolds(o, stood)
			r.sweptStarts(o, starts)
		}
	}
	return o
}

func (r *run) swept(o *op, disturbed time.Time, versions map[string]string) {
	r.seen.Sweeps++
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	if r.disturbed.Equal(disturbed) {
		r.clean++
	}
	for _, g := range r.azure.sorted() {
		if g.failed && g.hurt.Before(o.began) && g.write == nil && !r.bereft {
			r.violate("I7", "%s ended well, and left %s as a write that failed before it has it", o.name, g.id.Name)
		}
		if !g.dirty.IsZero() && g.dirty.Before(o.began) && !g.locked && !g.barred && !g.failed && g.write == nil {
			if g.sweeps++; g.sweeps > 1 {
				g.dirty, g.sweeps = time.Time{}, 0
				if !r.bereft { // an allow that the table knows nothing of is kept as it is until its end
					clear(g.handmade)
				}
			}
		}
	}
	for key, version := range versions {
		if rec, ok := r.table.policies[key]; ok && rec.Version == version {
			r.guarded[key] = version
		}
	}
}

// assure notes that the denies which guard a machine now stand for sure: its enable has
// ended well. If one is missing later, somebody took it away.
func (r *run) assure(vm string) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, g := range r.azure.sorted() {
		for _, x := range g.model {
			if own(x) && x.Access == jit.Deny && g.write == nil && !g.failed && r.guards(x, vm) {
				g.sure[strings.ToLower(x.Name)] = x
			}
		}
	}
}

// unsure notes that somebody asks for other denies of a machine.
func (r *run) unsure(vm string) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, g := range r.azure.groups {
		maps.DeleteFunc(g.sure, func(_ string, x jit.Rule) bool { return r.guards(x, vm) })
	}
}

// guards reports whether an address that was ever the machine's is a destination of the rule.
func (r *run) guards(x jit.Rule, vm string) bool {
	return slices.ContainsFunc(r.was[vm], func(a netip.Addr) bool { return within(x.Destination, a) })
}

// made notes who makes rules.
func (r *run) made(a *app, target jit.ID, c plan.Changes) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, x := range slices.Concat(c.Create, c.Update) {
		r.azure.groups[target.Name].made[x.Name] = maker{a, r.taken}
	}
	for _, x := range c.Delete {
		delete(r.azure.groups[target.Name].sure, strings.ToLower(x.Name))
		if l := r.table.grants[grantIn(x.Name)]; l != nil && x.Access == jit.Allow {
			l.removed = append(l.removed, x)
		}
	}
}

// mended is I5 for repairs: before a rule of ours that others have harmed is put
// right, the log tells.
//
// A deny that somebody was told to stand is a repair whoever makes it again. One that nobody
// was told of is not told from one that is made, so that only a sweep that began after the harm has to
// tell of it. Nor is an opening that was never confirmed told from one that is made again.
func (r *run) mended(name string, target jit.ID, c plan.Changes) {
	r.azure.mu.Lock()
	g := r.azure.groups[target.Name]
	sure := maps.Clone(g.sure)
	r.azure.mu.Unlock()
	r.mu.Lock()
	o := r.flying[name]
	sweeping := o != nil && strings.HasPrefix(name, "sweep") && o.began.After(g.dirty)
	var untold []string
	for _, x := range slices.Concat(c.Create, c.Update, c.Delete) {
		key := strings.ToLower(x.Name)
		was, harmed := g.harmed[key]
		if !harmed {
			continue
		}
		delete(g.harmed, key)
		// What comes back otherwise than it was is not a repair but what somebody asked for meanwhile.
		restored := x.Source.Any == was.Source.Any && slices.Equal(x.Destination.Prefixes, was.Destination.Prefixes) && !slices.ContainsFunc(c.Delete, x.Equal)
		l := r.table.grants[grantIn(key)]
		sweeping := sweeping && (l == nil || l.opened) // an opening through a firewall outlasts sweeps, which make it again
		if (restored && (sweeping || l != nil && l.opened || was.Equal(sure[key])) || key == handName) && !r.repairTold(x.Name, g.dirty) {
			untold = append(untold, x.Name)
		}
	}
	r.mu.Unlock()
	if len(untold) > 0 {
		r.violate("I5", "the log does not tell that %v of %s were put right", untold, g.id.Name)
	}
}

func (r *run) repairTold(rule string, since time.Time) bool {
	for _, e := range r.table.told {
		if e.Operation == store.OpRepair && strings.Contains(e.Message, rule) && !e.Time.Before(since.Truncate(time.Millisecond).Add(-skewMax)) {
			return true
		}
	}
	return false
}
