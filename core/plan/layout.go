package plan

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

// The limits of one NSG (Azure's published limits for virtual networks).
const (
	MinPriority = 100
	MaxPriority = 4096
	MaxRules    = 1000
	MaxPeers    = 4000 // addresses and prefixes over all rules, sources and destinations each
)

// The refusals of the layout.
const (
	CodeNoPriorityLeft jit.Code = "NoPriorityLeft"        // no free priority where the rule has to stand
	CodeTooManyRules   jit.Code = "TooManyRules"          // the target holds 1,000 rules
	CodeTooManyPeers   jit.Code = "TooManyAddresses"      // the target's rules hold 4,000 sources or destinations
	CodeBlocked        jit.Code = "BlockedBySecurityRule" // a foreign deny outranks every free priority
)

// priorities is a set of them; those that Azure does not take are never in it.
type priorities [MaxPriority + 1]bool

func (p *priorities) set(n int, in bool) {
	if n >= MinPriority && n <= MaxPriority {
		p[n] = in
	}
}

func (p *priorities) has(n int) bool { return n >= MinPriority && n <= MaxPriority && p[n] }

// layout gives rules their priorities. A rule that stands keeps its priority
// while that is still a right one, so that a plan moves nothing without need.
type layout struct {
	names    reach.Names
	anew     bool        // denies are laid as if none stood
	reserved priorities  // of rules that stand and are not placed yet: given to others only where nothing else is free
	used     priorities  // of foreign inbound rules and of placed ones
	allowed  []*jit.Rule // foreign inbound allows, by priority
	denied   []*jit.Rule // foreign inbound denies, by priority
	rules    int         // rules on the target, of both directions
	sources  int
	dests    int
	owed     int      // destinations that denies not yet placed already guard
	closed   []placed // denies
	opened   []placed // allows
	refused  []Refusal
	kept     map[string]bool // open grants, whose allows were placed before the denies
}

// lay places the denies, then the allows of each grant. Standing denies keep
// their priorities, but where that leaves another rule no room they are laid anew:
// the rule that forced one so high may be gone. Where a grant that is open would still lose
// its place, the allows of such grants are placed first: see keep.
func lay(n reach.Names, ours named, foreign []*jit.Rule, closed, open []*wanted) *layout {
	for _, list := range [][]*wanted{closed, open} {
		for _, w := range list {
			if r := ours.find(w.rule.Name); r != nil && r.Direction == jit.Inbound {
				w.stands = r
			}
		}
	}
	l := newLayout(n, foreign, len(open))
	l.all(closed, open)
	if !slices.ContainsFunc(l.refused, func(r Refusal) bool { return r.Err.Code == CodeNoPriorityLeft }) {
		return l
	}
	again := newLayout(n, foreign, len(open))
	again.anew = true
	again.all(closed, open)
	if len(again.refused) < len(l.refused) {
		l = again
	}
	return l.orKept(func() *layout {
		kept := newLayout(n, foreign, len(open))
		kept.keep(open)
		kept.all(closed, slices.DeleteFunc(slices.Clone(open), kept.isKept))
		return kept
	}, open)
}

func newLayout(n reach.Names, foreign []*jit.Rule, open int) *layout {
	l := &layout{names: n, rules: len(foreign), opened: make([]placed, 0, open),
		allowed: make([]*jit.Rule, 0, len(foreign)), denied: make([]*jit.Rule, 0, len(foreign))}
	for _, r := range foreign {
		l.sources += peers(r.Source)
		l.dests += peers(r.Destination)
		if r.Direction != jit.Inbound {
			continue
		}
		l.used.set(r.Priority, true)
		if r.Access == jit.Allow {
			l.allowed = append(l.allowed, r)
		} else {
			l.denied = append(l.denied, r)
		}
	}
	slices.SortFunc(l.allowed, jit.ComparePriority)
	slices.SortFunc(l.denied, jit.ComparePriority)
	return l
}

func peers(p jit.Peers) int {
	if p.Any {
		return 1
	}
	return len(p.Prefixes) + len(p.Tags) + len(p.Groups)
}

// stood returns the priority at which a rule of ours stands, 0 where it does not.
func (l *layout) stood(w *wanted) int {
	if w.stands == nil || l.anew && w.rule.Access == jit.Deny {
		return 0
	}
	return w.stands.Priority
}

func (l *layout) all(closed, open []*wanted) {
	for _, list := range [][]*wanted{closed, open} {
		for _, w := range list {
			l.reserved.set(l.stood(w), true)
		}
	}
	for _, w := range closed {
		l.owed += len(guarded(w))
	}
	for _, d := range l.byCeiling(closed) {
		l.deny(d)
	}
	for rules := range byGrant(open, func(w *wanted) bool { return w.stands != nil }) {
		l.open(rules)
	}
}

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
	cause        *jit.Rule // of either
}

// byCeiling finds where each deny must stand and orders them: those that may stay
// where they stand first, so that none takes another's place, then those that
// stand, so that a limit never pushes one out, then those with the least room.
func (l *layout) byCeiling(rules []*wanted) []denial {
	out := make([]denial, 0, len(rules))
	for _, w := range rules {
		d := denial{wanted: w, above: MinPriority - 1, below: MaxPriority + 1}
		for _, f := range l.allowed {
			if !l.names.Bears(f, &w.rule) {
				continue
			}
			if !w.respect {
				d.below, d.cause = f.Priority, f
				break
			}
			d.above, d.cause = f.Priority, f
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

// deny places one deny: where it stands if it may, else at the last free priority
// below its ceiling, which an allow of ours has to leave if nothing else is free.
//
// Where there is none, a deny that overrides takes the first free priority that is
// left, below some foreign rule that it ought to outrank: it still closes what that
// rule does not open. One that respects is left out, since any place would override
// what it has to respect. Both are named in refused.
func (l *layout) deny(d denial) {
	r := l.trim(d.wanted)
	if r == nil {
		return
	}
	free := func(n int) bool { return n > d.above && n < d.below && !l.used.has(n) }
	stood := l.stood(d.wanted)
	if stood >= MinPriority && free(stood) {
		l.place(d.wanted, r, stood)
		return
	}
	for _, yield := range []bool{false, true} {
		for n := min(d.below-1, MaxPriority); n > d.above; n-- {
			if free(n) && (yield || !l.reserved.has(n)) {
				l.place(d.wanted, r, n)
				return
			}
		}
	}
	if d.respect {
		l.refuse(r, CodeNoPriorityLeft, "no priority is free below the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules override", d.cause.Name, d.above)
		return
	}
	l.refuse(r, CodeNoPriorityLeft, "no priority is free above the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules respect", d.cause.Name, d.below)
	for n := max(d.below, d.above+1); n <= MaxPriority; n++ {
		if !l.used.has(n) && (n == stood || !l.reserved.has(n)) {
			l.place(d.wanted, r, n)
			return
		}
	}
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
		l.refuse(r, CodeTooManyRules, "the security group holds %d rules, the most that Azure allows; remove some and enable again", MaxRules)
		return nil
	case l.sources+peers(r.Source) > MaxPeers || room <= 0:
		l.refuse(r, CodeTooManyPeers, "the rules of the security group hold %d addresses, the most that Azure allows; remove some and enable again", MaxPeers)
		return nil
	case peers(r.Destination) <= room:
		return r
	}
	l.refuse(r, CodeTooManyPeers, "the rules of the security group may hold %d addresses: %d that should be guarded are not; remove some and enable again", MaxPeers, peers(r.Destination)-room)
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

// byGrant returns the rules of each grant. Grants of which a rule stands come before new ones,
// so that when room runs out it is the new one that is refused.
func byGrant(rules []*wanted, stands func(*wanted) bool) iter.Seq[[]*wanted] {
	return func(yield func([]*wanted) bool) {
		for _, standing := range []bool{true, false} {
			for from, to := 0, 0; from < len(rules); from = to {
				for to < len(rules) && rules[to].grant == rules[from].grant {
					to++
				}
				if grant := rules[from:to]; slices.ContainsFunc(grant, stands) == standing && !yield(grant) {
					return
				}
			}
		}
	}
}

// open places the rules of one grant, all or none: where they stand if they may,
// else at the first free priority from 100, above every deny of ours and every foreign deny that
// would block them.
func (l *layout) open(rules []*wanted) {
	n := len(l.opened)
	for _, w := range rules {
		if err := l.allow(w); err != nil {
			for _, p := range l.opened[n:] {
				l.used.set(p.priority, false)
				l.count(p.rule, -1)
			}
			l.opened = l.opened[:n]
			l.refused = append(l.refused, Refusal{Grant: w.grant, Rule: w.rule.Name, Err: err})
			break
		}
	}
	for _, w := range rules { // placed or refused, none needs its old priority
		l.reserved.set(l.stood(w), false)
	}
}

func (l *layout) allow(w *wanted) *jit.Error {
	if l.rules >= MaxRules {
		return &jit.Error{Code: CodeTooManyRules, Message: fmt.Sprintf("the security group holds %d rules, the most that Azure allows", MaxRules)}
	}
	if l.sources+peers(w.rule.Source) > MaxPeers || l.dests+peers(w.rule.Destination) > MaxPeers {
		return &jit.Error{Code: CodeTooManyPeers, Message: fmt.Sprintf("the rules of the security group hold %d addresses, the most that Azure allows", MaxPeers)}
	}
	n := l.stood(w)
	stays := n >= MinPriority && !l.used.has(n)
	limit := MaxPriority + 1
	for _, d := range l.closed {
		// Where it stands above a deny, whether they meet does not matter: most rules are done with that.
		if d.priority < limit && !(stays && n < d.priority) && l.names.Meets(d.rule, &w.rule) {
			limit = d.priority
		}
	}
	if stays && n < limit {
		// A rule that stands below a foreign deny is not moved above it: whoever placed the deny
		// there meant it. Plan.Blocked tells.
		l.place(w, &w.rule, n)
		return nil
	}
	blocked, cause := limit, ""
	for _, f := range l.denied {
		if f.Priority >= limit {
			break
		}
		if l.names.Meets(f, &w.rule) {
			blocked, cause = f.Priority, f.Name
			break
		}
	}
	for n := MinPriority; n < blocked; n++ {
		if !l.used[n] && !l.reserved[n] {
			l.place(w, &w.rule, n)
			return nil
		}
	}
	if cause != "" {
		return &jit.Error{Code: CodeBlocked, Message: fmt.Sprintf("blocked by the rule %s (priority %d), above which no priority is free", cause, blocked)}
	}
	return &jit.Error{Code: CodeNoPriorityLeft, Message: fmt.Sprintf("no priority is free between %d and %d, where the rule has to stand; free one and ask again", MinPriority, limit-1)}
}

// place returns a wanted rule, or what there is room for of it, its priority.
func (l *layout) place(w *wanted, r *jit.Rule, priority int) {
	l.reserved.set(l.stood(w), false)
	l.used.set(priority, true)
	l.count(r, +1)
	if p := (placed{r, priority}); r.Access == jit.Deny {
		l.closed = append(l.closed, p)
	} else {
		l.opened = append(l.opened, p)
	}
}

func (l *layout) count(r *jit.Rule, times int) {
	l.rules += times
	l.sources += times * peers(r.Source)
	l.dests += times * peers(r.Destination)
}

func (l *layout) refuse(deny *jit.Rule, code jit.Code, format string, args ...any) {
	l.refused = append(l.refused, Refusal{Rule: deny.Name, Err: &jit.Error{Code: code, Message: fmt.Sprintf(format, args...)}})
}
