package plan

import (
	"fmt"
	"iter"
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
	room     Room
	anew     bool        // denies are laid as if none stood
	spared   priorities  // those that denies leave to windows
	reserved priorities  // of rules that stand and are not placed yet: given to others only where nothing else is free
	foreign  priorities  // of foreign inbound rules
	used     priorities  // of foreign inbound rules and of placed ones
	allowed  []*jit.Rule // foreign inbound allows, by priority
	denied   []*jit.Rule // foreign inbound denies, by priority
	rules    int         // rules on the target, of both directions
	sources  int
	dests    int
	denies   int      // how many there are to place
	owed     int      // destinations that denies not yet placed already guard
	closed   []placed // denies
	opened   []placed // allows
	refused  []Refusal
	kept     map[string]bool         // open grants, whose allows were placed before the denies
	tight    []Refusal               // denies that stand where windows should
	causes   map[*jit.Rule]*jit.Rule // the foreign allow above which one of our denies stands, by the deny
}

// lay places the denies, then the allows of each grant. Standing denies keep
// their priorities, but where that leaves another rule no room they are laid anew:
// the rule that forced one so high may be gone. Where a grant that is open would still lose
// its place, the allows of such grants are placed first: see keep.
func lay(n reach.Names, room Room, ours named, foreign []*jit.Rule, closed, open []*wanted) *layout {
	for _, list := range [][]*wanted{closed, open} {
		for _, w := range list {
			if r := ours.find(w.rule.Name); r != nil && r.Direction == jit.Inbound {
				w.stands = r
			}
		}
	}
	l := newLayout(n, room, foreign, len(open))
	l.all(closed, open)
	if len(l.refused) == 0 {
		return l
	}
	if slices.ContainsFunc(l.refused, func(r Refusal) bool { return r.Err.Code == CodeNoPriorityLeft }) {
		again := newLayout(n, room, foreign, len(open))
		again.anew = true
		again.all(closed, open)
		if len(again.refused) < len(l.refused) && again.unguarded(false) <= l.unguarded(false) {
			l = again
		}
	}
	return l.orKept(func() *layout {
		kept := newLayout(n, room, foreign, len(open))
		kept.keep(open)
		kept.all(closed, slices.DeleteFunc(slices.Clone(open), kept.isKept))
		return kept
	}, open)
}

// unguarded returns how many refusals are of denies; with missing, of those that do not stand, or not for all of their machines. No window makes
// room for itself at the cost of what is closed.
func (l *layout) unguarded(missing bool) (n int) {
	for _, r := range l.refused {
		if r.Grant == "" && !(missing && r.By != nil) {
			n++
		}
	}
	return n
}

func newLayout(n reach.Names, room Room, foreign []*jit.Rule, open int) *layout {
	l := &layout{names: n, room: room, rules: len(foreign), opened: make([]placed, 0, open), causes: map[*jit.Rule]*jit.Rule{},
		allowed: make([]*jit.Rule, 0, len(foreign)), denied: make([]*jit.Rule, 0, len(foreign))}
	for _, r := range foreign {
		l.sources += peers(r.Source)
		l.dests += peers(r.Destination)
		if r.Direction != jit.Inbound {
			continue
		}
		l.used.set(r.Priority, true)
		l.foreign.set(r.Priority, true)
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
	l.spare(closed)
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
	n, err := l.find(w)
	if err == nil {
		l.place(w, &w.rule, n)
	}
	return err
}

// find returns where an allow goes, or why nowhere.
func (l *layout) find(w *wanted) (int, *jit.Error) {
	if err := l.full(&w.rule); err != nil {
		return 0, err
	}
	n := l.stood(w)
	stays := n >= MinPriority && !l.used.has(n)
	limit := MaxPriority + 1
	var below *jit.Rule // our deny at the limit
	for _, d := range l.closed {
		// Where it stands above a deny, whether they meet does not matter: most rules are done with that.
		if d.priority < limit && !(stays && n < d.priority) && l.names.Meets(d.rule, &w.rule) {
			limit, below = d.priority, d.rule
		}
	}
	if stays && n < limit {
		// A rule that stands below a foreign deny is not moved above it: whoever placed the deny
		// there meant it. Plan.Blocked tells.
		return n, nil
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
	first, last := l.room.band()
	for n := first; n < blocked && n <= last; n++ {
		if !l.used[n] && !l.reserved[n] {
			return n, nil
		}
	}
	if cause != "" {
		return 0, &jit.Error{Code: CodeBlocked, Message: fmt.Sprintf("blocked by the rule %s (priority %d), above which no priority is free%s", cause, blocked, l.room.asSet())}
	}
	return 0, l.noRoom(below, limit)
}

// full refuses an allow for which the target has no room at any priority.
func (l *layout) full(r *jit.Rule) *jit.Error {
	if l.rules >= MaxRules {
		return &jit.Error{Code: CodeTooManyRules, Message: fmt.Sprintf("the security group holds %d rules, the most that Azure allows", MaxRules)}
	}
	if l.sources+peers(r.Source) > MaxPeers || l.dests+peers(r.Destination) > MaxPeers {
		return &jit.Error{Code: CodeTooManyPeers, Message: fmt.Sprintf("the rules of the security group hold %d addresses, the most that Azure allows", MaxPeers)}
	}
	return nil
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

func (l *layout) refuse(deny, by *jit.Rule, code jit.Code, format string, args ...any) {
	l.refused = append(l.refused, Refusal{Rule: deny.Name, By: by, Err: &jit.Error{Code: code, Message: fmt.Sprintf(format, args...)}})
}
