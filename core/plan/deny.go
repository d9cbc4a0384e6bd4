package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// guarded returns the destinations of a deny that stand already.
func guarded(deny *wanted) []netip.Prefix {
	if deny.stands == nil {
		return nil
	}
	wants, have := deny.rule.Destination.Prefixes, deny.stands.Destination.Prefixes
	if slices.Equal(have, wants) {
		return have
	}
	stands := make(map[netip.Prefix]bool, len(have))
	for _, p := range have {
		stands[p] = true
	}
	var out []netip.Prefix
	for _, p := range wants {
		if stands[p] {
			out = append(out, p)
		}
	}
	return out
}

// denial is a deny with the priorities between which it must stand.
type denial struct {
	*wanted
	above, below int       // floor and ceiling, both excluded
	cause        *jit.Rule // the foreign allow of either
	passed       int       // how many of the foreign allows were looked at, by priority
}

// byCeiling finds where each deny must stand and orders them: those that may stay
// where they stand first, so that none takes another's place, then those that
// stand, so that a limit never pushes one out, then those with the least room.
func (l *layout) byCeiling(rules []*wanted) []denial {
	out := make([]denial, 0, len(rules))
	for _, w := range rules {
		d := denial{wanted: w, above: MinPriority - 1, below: MaxPriority + 1}
		if w.respect {
			l.under(&d)
		} else {
			l.next(&d)
		}
		d.above = max(d.above, l.keptAbove(w))
		out = append(out, d)
	}
	turn := func(d denial) int {
		switch n := l.stood(d.wanted); {
		case n > d.above && n < d.below:
			return 0
		case d.stands != nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(out, func(a, b denial) int { return cmp.Or(turn(a)-turn(b), cmp.Compare(a.below, b.below)) })
	return out
}

// under makes the last foreign allow that may match what a deny closes its floor.
func (l *layout) under(d *denial) {
	for _, f := range l.allowed {
		if l.names.Bears(f, &d.rule) {
			d.cause, d.above = f, f.Priority
		}
	}
}

// next makes the next foreign allow that may match what a deny closes its ceiling.
func (l *layout) next(d *denial) {
	d.cause, d.below = nil, MaxPriority+1
	for d.cause == nil && d.passed < len(l.allowed) {
		f := l.allowed[d.passed]
		d.passed++
		if l.names.Bears(f, &d.rule) {
			d.cause, d.below = f, f.Priority
		}
	}
}

// deny places one deny: where it stands if it may, else at the last free priority
// below its ceiling.
//
// Where there is none, a deny that overrides leaves that ceiling to its rule and takes the next
// foreign rule for it: it still closes what the first does not open. One that respects is left out,
// since any place would override what it has to respect. Both are named in refused.
func (l *layout) deny(d denial) {
	r := l.trim(d.wanted)
	if r == nil {
		return
	}
	for {
		if n := l.placeOf(d); n > 0 {
			l.place(d.wanted, r, n)
			if d.cause != nil && !d.respect {
				l.causes[r] = d.cause
				if l.spared.has(n) {
					l.tight = append(l.tight, Refusal{Rule: r.Name, By: d.cause, Err: &jit.Error{Code: CodeNoPriorityLeft, Message: l.inTheWay(d.cause)}})
				}
			}
			return
		}
		switch f := d.cause; {
		case f == nil:
			l.refuse(r, nil, CodeNoPriorityLeft, "every priority is taken: free one and enable again")
			return
		case d.respect:
			l.refuse(r, nil, CodeNoPriorityLeft, "no priority is free below the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules override", f.Name, f.Priority)
			return
		}
		l.refuse(r, d.cause, CodeNoPriorityLeft, "%s", l.inTheWay(d.cause))
		l.next(&d)
	}
}

// placeOf returns where a deny goes, 0 for nowhere: where it stands if it may, else the last free priority between its
// floor and its ceiling. It takes one that a rule of ours has to leave, and one that is kept for windows, only where
// nothing else is free, and the latter never where it yields.
func (l *layout) placeOf(d denial) int {
	free := func(n int) bool {
		return n > d.above && n < d.below && !l.used.has(n) && !(d.yields && l.spared.has(n))
	}
	if n := l.stood(d.wanted); n >= MinPriority && free(n) {
		return n
	}
	for _, kept := range []bool{false, true} {
		for _, leave := range []bool{false, true} {
			for n := min(d.below-1, MaxPriority); n > d.above && n >= MinPriority; n-- {
				if free(n) && (kept || !l.spared.has(n)) && (leave || !l.reserved.has(n)) {
					return n
				}
			}
		}
	}
	return 0
}

// trim cuts a deny down to the destinations for which the target has room, those
// that stand first, and refuses the rest by name: a machine that is one too many must
// not unguard the others. It gives nil where there is no room at all.
func (l *layout) trim(w *wanted) *jit.Rule {
	r, stand := &w.rule, guarded(w)
	l.owed -= len(stand)
	room := MaxPeers - l.dests - l.owed
	switch {
	case l.rules >= MaxRules:
		l.refuse(r, nil, CodeTooManyRules, "the security group holds %d rules, the most that Azure allows; remove some and enable again", MaxRules)
		return nil
	case l.sources+peers(r.Source) > MaxPeers || room <= 0:
		l.refuse(r, nil, CodeTooManyPeers, "the rules of the security group hold %d addresses, the most that Azure allows; remove some and enable again", MaxPeers)
		return nil
	case peers(r.Destination) <= room:
		return r
	}
	l.refuse(r, nil, CodeTooManyPeers, "the rules of the security group may hold %d addresses: %d that should be guarded are not; remove some and enable again", MaxPeers, peers(r.Destination)-room)
	kept := slices.Clone(stand[:min(room, len(stand))])
	for _, p := range r.Destination.Prefixes {
		if len(kept) < room && !slices.Contains(stand, p) {
			kept = append(kept, p)
		}
	}
	less := *r
	less.Destination = jit.Peers{Prefixes: kept}
	less = less.Canonical()
	return &less
}
