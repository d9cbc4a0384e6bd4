package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
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
	names    Names
	standing map[string]*jit.Rule // our inbound rules that stand and are still wanted, by lower-case name
	reserved priorities           // theirs, until they are placed: given to others only where nothing else is free
	used     priorities           // of foreign inbound rules and of placed ones
	allowed  []*jit.Rule          // foreign inbound allows, by priority
	denied   []*jit.Rule          // foreign inbound denies, by priority
	rules    int                  // rules on the target, of both directions
	sources  int
	dests    int
	owed     int // destinations that denies not yet placed already guard
	placed   []jit.Rule
	denies   []jit.Rule // those of placed that deny
	refused  []Refusal
}

// lay places the denies, then the allows of each grant. Standing denies keep
// their priorities, but where that leaves another rule no room they are laid anew:
// the rule that forced one so high may be gone.
func lay(n Names, ours, foreign []jit.Rule, closed, open []*wanted) *layout {
	l := newLayout(n, ours, foreign, slices.Concat(closed, open))
	l.all(closed, open)
	if !slices.ContainsFunc(l.refused, func(r Refusal) bool { return r.Err.Code == CodeNoPriorityLeft }) {
		return l
	}
	again := newLayout(n, ours, foreign, slices.Concat(closed, open))
	for name, r := range again.standing {
		if r.Access == jit.Deny {
			again.reserved.set(r.Priority, false)
			anew := *r
			anew.Priority = 0
			again.standing[name] = &anew
		}
	}
	again.all(closed, open)
	if len(again.refused) < len(l.refused) {
		return again
	}
	return l
}

func newLayout(n Names, ours, foreign []jit.Rule, keep []*wanted) *layout {
	l := &layout{names: n, standing: make(map[string]*jit.Rule, len(keep)), rules: len(foreign), placed: make([]jit.Rule, 0, len(keep)),
		allowed: make([]*jit.Rule, 0, len(foreign)), denied: make([]*jit.Rule, 0, len(foreign))}
	still := make(map[string]bool, len(keep))
	for _, w := range keep {
		still[w.rule.Name] = true
	}
	for i := range foreign {
		r := &foreign[i]
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
	first := func(a, b *jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) }
	slices.SortFunc(l.allowed, first)
	slices.SortFunc(l.denied, first)
	for i := range ours {
		r := &ours[i]
		if name := strings.ToLower(r.Name); r.Direction == jit.Inbound && still[name] {
			l.standing[name] = r
			l.reserved.set(r.Priority, true)
		}
	}
	return l
}

func byPriority(a, b jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) }

func peers(p jit.Peers) int {
	if p.Any {
		return 1
	}
	return len(p.Prefixes) + len(p.Tags) + len(p.Groups)
}

// stood gives the priority at which a rule of ours stands, 0 where it does not.
func (l *layout) stood(name string) int {
	if r := l.standing[name]; r != nil {
		return r.Priority
	}
	return 0
}

func (l *layout) all(closed, open []*wanted) {
	for _, w := range closed {
		l.owed += len(l.guarded(w.rule))
	}
	for _, d := range l.byCeiling(closed) {
		l.deny(d)
	}
	stands := func(name string) bool { _, ok := l.standing[name]; return ok }
	for _, rules := range byGrant(open, stands) {
		l.open(rules)
	}
}

// guarded gives the destinations of a deny that stand already.
func (l *layout) guarded(deny jit.Rule) []netip.Prefix {
	r := l.standing[deny.Name]
	switch {
	case r == nil:
		return nil
	case slices.Equal(r.Destination.Prefixes, deny.Destination.Prefixes):
		return r.Destination.Prefixes
	}
	stands := make(map[netip.Prefix]bool, len(r.Destination.Prefixes))
	for _, p := range r.Destination.Prefixes {
		stands[p] = true
	}
	var out []netip.Prefix
	for _, p := range deny.Destination.Prefixes {
		if stands[p] {
			out = append(out, p)
		}
	}
	return out
}

// denial is a deny with the priorities between which it must stand.
type denial struct {
	*wanted
	above, below int // floor and ceiling, both excluded
	cause        jit.Rule
}

// byCeiling finds where each deny must stand and orders them: those that may stay
// where they stand first, so that none takes another's place, then those that
// stand, so that a limit never pushes one out, then those with the least room.
func (l *layout) byCeiling(rules []*wanted) []denial {
	out := make([]denial, 0, len(rules))
	for _, w := range rules {
		d := denial{wanted: w, above: MinPriority - 1, below: MaxPriority + 1}
		for _, f := range l.allowed {
			if !l.names.mayOpen(f, &w.rule) {
				continue
			}
			if !w.respect {
				d.below, d.cause = f.Priority, *f
				break
			}
			d.above, d.cause = f.Priority, *f
		}
		out = append(out, d)
	}
	turn := func(d denial) int {
		switch r, stands := l.standing[d.rule.Name]; {
		case stands && r.Priority > d.above && r.Priority < d.below:
			return 0
		case stands:
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
	r, ok := l.trim(d.rule)
	if !ok {
		return
	}
	free := func(n int) bool { return n > d.above && n < d.below && !l.used.has(n) }
	stood := l.stood(r.Name)
	if stood >= MinPriority && free(stood) {
		l.place(r, stood)
		return
	}
	for _, yield := range []bool{false, true} {
		for n := min(d.below-1, MaxPriority); n > d.above; n-- {
			if free(n) && (yield || !l.reserved.has(n)) {
				l.place(r, n)
				return
			}
		}
	}
	if d.respect {
		l.refuse(d.rule, CodeNoPriorityLeft, "no priority is free below the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules override", d.cause.Name, d.above)
		return
	}
	l.refuse(d.rule, CodeNoPriorityLeft, "no priority is free above the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules respect", d.cause.Name, d.below)
	for n := d.below; n <= MaxPriority; n++ {
		if !l.used.has(n) && (n == stood || !l.reserved.has(n)) {
			l.place(r, n)
			return
		}
	}
}

// trim cuts a deny down to the destinations for which the target has room, those
// that stand first, and refuses the rest by name: a machine that is one too many must
// not unguard the others.
func (l *layout) trim(r jit.Rule) (jit.Rule, bool) {
	stand := l.guarded(r)
	l.owed -= len(stand)
	room := MaxPeers - l.dests - l.owed
	switch {
	case l.rules >= MaxRules:
		l.refuse(r, CodeTooManyRules, "the security group holds %d rules, the most that Azure allows; remove some and enable again", MaxRules)
		return r, false
	case l.sources+peers(r.Source) > MaxPeers || room <= 0:
		l.refuse(r, CodeTooManyPeers, "the rules of the security group hold %d addresses, the most that Azure allows; remove some and enable again", MaxPeers)
		return r, false
	case peers(r.Destination) <= room:
		return r, true
	}
	l.refuse(r, CodeTooManyPeers, "the rules of the security group may hold %d addresses: %d that should be guarded are not; remove some and enable again", MaxPeers, peers(r.Destination)-room)
	kept := stand[:min(room, len(stand))]
	for _, p := range r.Destination.Prefixes {
		if len(kept) < room && !slices.Contains(stand, p) {
			kept = append(kept, p)
		}
	}
	r.Destination = jit.Peers{Prefixes: kept}
	return r.Canonical(), true
}

// byGrant splits the rules by grant. Grants that stand come before new ones, so that
// when room runs out it is the new one that is refused.
func byGrant(rules []*wanted, stand func(name string) bool) [][]*wanted {
	var standing, fresh [][]*wanted
	for len(rules) > 0 {
		n, stands := 0, false
		for n < len(rules) && rules[n].grant == rules[0].grant {
			stands = stands || stand(rules[n].rule.Name)
			n++
		}
		if stands {
			standing = append(standing, rules[:n])
		} else {
			fresh = append(fresh, rules[:n])
		}
		rules = rules[n:]
	}
	return append(standing, fresh...)
}

// open places the rules of one grant, all or none: where they stand if they may,
// else at the first free priority from 100, above every deny of ours and every foreign deny that
// would block them.
func (l *layout) open(rules []*wanted) {
	n := len(l.placed)
	for _, w := range rules {
		if err := l.allow(w); err != nil {
			for _, r := range l.placed[n:] {
				l.lift(r)
			}
			l.placed = l.placed[:n]
			l.refused = append(l.refused, Refusal{Grant: w.grant, Rule: w.rule.Name, Err: err})
			break
		}
	}
	for _, w := range rules { // placed or refused, none waits for its old priority any more
		l.reserved.set(l.stood(w.rule.Name), false)
	}
}

func (l *layout) allow(w *wanted) *jit.Error {
	if l.rules >= MaxRules {
		return &jit.Error{Code: CodeTooManyRules, Message: fmt.Sprintf("the security group holds %d rules, the most that Azure allows", MaxRules)}
	}
	if l.sources+peers(w.rule.Source) > MaxPeers || l.dests+peers(w.rule.Destination) > MaxPeers {
		return &jit.Error{Code: CodeTooManyPeers, Message: fmt.Sprintf("the rules of the security group hold %d addresses, the most that Azure allows", MaxPeers)}
	}
	n := l.stood(w.rule.Name)
	stays := n >= MinPriority && !l.used.has(n)
	limit := MaxPriority + 1
	for i := range l.denies {
		// Where it stands above a deny, whether they meet does not matter: most rules are done with that.
		if r := &l.denies[i]; r.Priority < limit && !(stays && n < r.Priority) && l.names.mayMeet(r, &w.rule) {
			limit = r.Priority
		}
	}
	if stays && n < limit {
		// A rule that stands below a foreign deny is not moved above it: whoever placed the deny
		// there meant it. Plan.Blocked tells.
		l.place(w.rule, n)
		return nil
	}
	blocked, cause := limit, ""
	for _, f := range l.denied {
		if f.Priority >= limit {
			break
		}
		if l.names.mayMeet(f, &w.rule) {
			blocked, cause = f.Priority, f.Name
			break
		}
	}
	for n := MinPriority; n < blocked; n++ {
		if !l.used[n] && !l.reserved[n] {
			l.place(w.rule, n)
			return nil
		}
	}
	if cause != "" {
		return &jit.Error{Code: CodeBlocked, Message: fmt.Sprintf("blocked by the rule %s (priority %d), above which no priority is free", cause, blocked)}
	}
	return &jit.Error{Code: CodeNoPriorityLeft, Message: fmt.Sprintf("no priority is free between %d and %d, where the rule has to stand; free one and ask again", MinPriority, limit-1)}
}

func (l *layout) place(r jit.Rule, priority int) {
	l.reserved.set(l.stood(r.Name), false)
	r.Priority = priority
	l.used.set(priority, true)
	l.placed = append(l.placed, r)
	if r.Access == jit.Deny {
		l.denies = append(l.denies, r)
	}
	l.rules++
	l.sources += peers(r.Source)
	l.dests += peers(r.Destination)
}

// lift takes back the placing of an allow.
func (l *layout) lift(r jit.Rule) {
	l.used.set(r.Priority, false)
	l.rules--
	l.sources -= peers(r.Source)
	l.dests -= peers(r.Destination)
}

func (l *layout) refuse(deny jit.Rule, code jit.Code, format string, args ...any) {
	l.refused = append(l.refused, Refusal{Rule: deny.Name, Err: &jit.Error{Code: code, Message: fmt.Sprintf(format, args...)}})
}
