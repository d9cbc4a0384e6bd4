package plan

import "slices"

// keep places the allows of open grants where they stand, before any deny: who was told that a port is open keeps it, and a deny that a new
// rule of others outranks is not improved at his cost. A grant keeps its place whole or not at all: others may have taken it.
func (l *layout) keep(open []*wanted) {
	l.kept = map[string]bool{}
	for rules := range byGrant(open, func(w *wanted) bool { return w.stands != nil }) {
		if slices.ContainsFunc(rules, func(w *wanted) bool { return !w.open || w.stands == nil || !l.fits(w) }) {
			continue
		}
		l.kept[rules[0].grant] = true
		for _, w := range rules {
			l.place(w, &w.rule, w.stands.Priority)
		}
	}
}

// fits reports whether a standing allow may stay where it stands, whatever the denies of ours do.
func (l *layout) fits(w *wanted) bool {
	n := w.stands.Priority
	return n >= MinPriority && n <= MaxPriority && !l.used.has(n) && l.rules < MaxRules && l.sources+peers(w.rule.Source) <= MaxPeers && l.dests+peers(w.rule.Destination) <= MaxPeers
}

func (l *layout) isKept(w *wanted) bool { return l.kept[w.grant] }

// keptAbove returns the last priority of a kept allow that a deny must not outrank, one below the first of all where there is none.
func (l *layout) keptAbove(deny *wanted) int {
	above := MinPriority - 1
	if l.kept == nil {
		return above
	}
	for _, p := range l.opened {
		if p.priority > above && l.names.Meets(&deny.rule, p.rule) {
			above = p.priority
		}
	}
	return above
}

// orKept returns what keep lays where fewer grants that are open lose their place with it, and else l.
func (l *layout) orKept(keep func() *layout, open []*wanted) *layout {
	lost := func(l *layout) int {
		return len(slices.DeleteFunc(slices.Clone(l.refused), func(r Refusal) bool {
			return !slices.ContainsFunc(open, func(w *wanted) bool { return w.open && w.grant == r.Grant })
		}))
	}
	n := lost(l)
	if n == 0 {
		return l
	}
	if k := keep(); lost(k) < n && k.unguarded(true) <= l.unguarded(true) {
		return k
	}
	return l
}
