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

// layout gives rules their priorities. A rule that stands keeps its priority
// while that is still a right one, so that a plan moves nothing without need.
type layout struct {
	standing map[string]int // priority of our rules that stand and are still wanted, by lower-case name
	reserved map[int]bool   // those priorities: given to another rule only where nothing else is free
	foreign  []jit.Rule     // inbound, by priority
	used     map[int]bool   // inbound priorities of foreign rules and of placed ones
	rules    int            // rules on the target, of both directions
	sources  int
	dests    int
	placed   []jit.Rule
	refused  []Refusal
}

func newLayout(ours, foreign []jit.Rule, keep ...[]wanted) *layout {
	l := &layout{standing: map[string]int{}, reserved: map[int]bool{}, used: map[int]bool{}, rules: len(foreign)}
	still := map[string]bool{}
	for _, w := range slices.Concat(keep...) {
		still[w.rule.Name] = true
	}
	for _, r := range foreign {
		l.sources += peers(r.Source)
		l.dests += peers(r.Destination)
		if r.Direction == jit.Inbound {
			l.used[r.Priority] = true
			l.foreign = append(l.foreign, r)
		}
	}
	slices.SortFunc(l.foreign, func(a, b jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, r := range ours {
		if name := strings.ToLower(r.Name); r.Direction == jit.Inbound && still[name] {
			l.standing[name], l.reserved[r.Priority] = r.Priority, true
		}
	}
	return l
}

func peers(p jit.Peers) int {
	if p.Any {
		return 1
	}
	return len(p.Prefixes) + len(p.Tags) + len(p.Groups)
}

// denial is a deny with the priorities between which it must stand.
type denial struct {
	wanted
	above, below int // floor and ceiling, both excluded
	cause        string
}

// byCeiling finds where each deny must stand and orders them: those that stand
// first, so that a limit never pushes one out, then those with the least room.
func (l *layout) byCeiling(rules []wanted) []denial {
	out := make([]denial, 0, len(rules))
	for _, w := range rules {
		d := denial{wanted: w, above: MinPriority - 1, below: MaxPriority + 1}
		for _, f := range l.foreign {
			if !l.opensProtected(f, w.rule) {
				continue
			}
			if w.respect {
				d.above = max(d.above, f.Priority)
			} else if f.Priority < d.below {
				d.below, d.cause = f.Priority, f.Name
			}
		}
		out = append(out, d)
	}
	fresh := func(d denial) int {
		if _, stands := l.standing[d.rule.Name]; stands {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b denial) int { return cmp.Or(fresh(a)-fresh(b), cmp.Compare(a.below, b.below)) })
	return out
}

func (l *layout) opensProtected(f, deny jit.Rule) bool {
	if f.Access != jit.Allow {
		return false
	}
	var addrs []netip.Addr
	for _, p := range deny.Destination.Prefixes {
		addrs = append(addrs, p.Addr())
	}
	return slices.ContainsFunc(deny.DestinationPorts, func(p jit.PortRange) bool { return opens(f, addrs, p.First, deny.Protocol) })
}

// deny places one deny: where it stands if it may, else at the last free priority
// below its ceiling. Where there is none, it takes the first free one below every
// foreign rule that it ought to outrank, and is named in refused: a deny that is too
// low still closes what nobody opened.
func (l *layout) deny(d denial) {
	if !l.fits(d.rule) {
		l.refuse(d.wanted, CodeTooManyRules, "the security group holds as many rules or addresses as Azure allows; remove some and enable again")
		return
	}
	ok := func(n int) bool { return n > d.above && n < d.below && !l.used[n] }
	if n, stands := l.standing[d.rule.Name]; stands && ok(n) {
		l.place(d.rule, n)
		return
	}
	for n := min(d.below-1, MaxPriority); n > d.above; n-- {
		if ok(n) && !l.reserved[n] {
			l.place(d.rule, n)
			return
		}
	}
	for n := min(d.below-1, MaxPriority); n > d.above; n-- { // an allow of ours may give way
		if ok(n) {
			l.place(d.rule, n)
			return
		}
	}
	l.refuse(d.wanted, CodeNoPriorityLeft, "no priority is free above the rule %s (%d), which opens a protected port: renumber it, or enable with existingRules respect", d.cause, d.below)
	for n := max(d.below, MinPriority); n <= MaxPriority; n++ {
		if !l.used[n] && !l.reserved[n] {
			l.place(d.rule, n)
			return
		}
	}
}

// open places the rules of one grant, all or none: where they stand if they may,
// else at the first free priority from 100, above every deny of ours and every foreign deny that
// would block them.
func (l *layout) open(rules []wanted) {
	before := *l
	placed, used := slices.Clone(l.placed), cloneSet(l.used)
	for _, w := range rules {
		if err := l.allow(w); err != nil {
			l.placed, l.used, l.rules, l.sources, l.dests = placed, used, before.rules, before.sources, before.dests
			l.refused = append(l.refused, Refusal{Grant: w.grant, Rule: w.rule.Name, Err: err})
			return
		}
	}
}

func cloneSet(m map[int]bool) map[int]bool {
	out := make(map[int]bool, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (l *layout) allow(w wanted) *jit.Error {
	if l.rules+1 > MaxRules {
		return &jit.Error{Code: CodeTooManyRules, Message: fmt.Sprintf("the security group holds %d rules, the most that Azure allows", MaxRules)}
	}
	if !l.fits(w.rule) {
		return &jit.Error{Code: CodeTooManyPeers, Message: fmt.Sprintf("the rules of the security group hold %d addresses, the most that Azure allows", MaxPeers)}
	}
	limit, cause := MaxPriority+1, ""
	for _, r := range l.placed {
		if r.Access == jit.Deny && r.Priority < limit && meets(r, w.rule) {
			limit = r.Priority
		}
	}
	blocked := limit
	for _, f := range l.foreign {
		if f.Access == jit.Deny && f.Priority < blocked && mayMatchSome(f, w.rule) {
			blocked, cause = f.Priority, f.Name
		}
	}
	if n, stands := l.standing[w.rule.Name]; stands && n >= MinPriority && n < limit && !l.used[n] {
		// A rule that stands below a foreign deny is not moved: it may be that only part of it is blocked.
		l.place(w.rule, n)
		return nil
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

func (l *layout) fits(r jit.Rule) bool {
	return l.rules < MaxRules && l.sources+peers(r.Source) <= MaxPeers && l.dests+peers(r.Destination) <= MaxPeers
}

func (l *layout) place(r jit.Rule, priority int) {
	r.Priority = priority
	l.used[priority] = true
	l.placed = append(l.placed, r)
	l.rules++
	l.sources += peers(r.Source)
	l.dests += peers(r.Destination)
}

func (l *layout) refuse(w wanted, code jit.Code, format string, args ...any) {
	l.refused = append(l.refused, Refusal{Grant: w.grant, Rule: w.rule.Name, Err: &jit.Error{Code: code, Message: fmt.Sprintf(format, args...)}})
}
