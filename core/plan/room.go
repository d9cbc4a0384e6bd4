package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// Room is the priorities of a security group that are ours to open windows at. The zero value is all of them, and one kept.
type Room struct {
	First, Last int // the priorities that allows take; 0 and 0 for all. A rule that stands outside of them stays there
	Kept        int // how many of them denies leave to windows, twice as many where machines have addresses of both families; 0 for one
}

// Compute is [Compute] with this room.
func (r Room) Compute(in Input) Plan {
	in.Room = r
	return Compute(in)
}

func (r Room) band() (first, last int) {
	if r.First == 0 {
		return MinPriority, MaxPriority
	}
	return r.First, r.Last
}

// asSet tells of the band where it is narrower than Azure's.
func (r Room) asSet() string {
	if first, last := r.band(); first != MinPriority || last != MaxPriority {
		return fmt.Sprintf(" (windows take priorities from %d to %d here)", first, last)
	}
	return ""
}

// spare marks the priorities that denies leave to windows: the first free ones.
func (l *layout) spare(closed []*wanted) {
	keeps := max(1, l.room.Kept)
	v6 := func(w *wanted) bool {
		to := w.rule.Destination.Prefixes
		return len(to) > 0 && to[0].Addr().Is6() // one that others have changed may have none
	}
	if len(closed) > 0 && slices.ContainsFunc(closed, func(w *wanted) bool { return v6(w) != v6(closed[0]) }) {
		keeps *= 2 // a window of such a machine is a rule for each family
	}
	first, last := l.room.band()
	for n := first; n <= last && keeps > 0; n++ {
		if !l.used.has(n) {
			l.spared.set(n, true)
			keeps--
		}
	}
	l.denies = len(closed)
}

// inTheWay says what to do about a foreign allow above which a deny has no place, or no room for a window is left.
func (l *layout) inTheWay(f *jit.Rule) string {
	const otherwise = "or enable with existingRules respect"
	if n := l.enough(f); n > f.Priority {
		return fmt.Sprintf("the rule %s (priority %d) opens a protected port, and there is no place above it for our deny and for a window above that%s: give it a priority of %d or more, %s", f.Name, f.Priority, l.room.asSet(), n, otherwise)
	}
	return fmt.Sprintf("the rule %s (priority %d) opens a protected port, and there is no place above it for our deny and for a window above that%s: delete it, free other priorities, %s", f.Name, f.Priority, l.room.asSet(), otherwise)
}

// enough returns the first priority at which a foreign rule leaves room above it for the denies and for what is kept; 0 for none.
func (l *layout) enough(f *jit.Rule) int {
	keeps, denies := 0, max(1, l.denies)
	for n := MinPriority; n <= MaxPriority; n++ {
		if l.spared.has(n) {
			keeps++
		}
	}
	first, last := l.room.band()
	theirs := func(n int) bool { return n != f.Priority && l.foreign.has(n) }
	for n := MinPriority; n < MaxPriority; n++ {
		switch {
		case theirs(n):
		case keeps > 0 && n >= first && n <= last:
			keeps--
		case keeps == 0:
			denies--
		}
		if keeps == 0 && denies == 0 {
			for n++; theirs(n); n++ {
			}
			return n
		}
	}
	return 0
}

// noRoom says why an allow has no place above the first deny that it meets: ours, at the limit, or none.
func (l *layout) noRoom(ours *jit.Rule, limit int) *jit.Error {
	refused := func(format string, args ...any) *jit.Error {
		return &jit.Error{Code: CodeNoPriorityLeft, Message: fmt.Sprintf(format, args...) + l.room.asSet()}
	}
	f := l.causes[ours]
	if ours == nil || f == nil {
		return refused("every priority at which a window could stand is taken: ask again when a window has ended, or free one")
	}
	what := "delete it, or free other priorities"
	if n := l.enough(f); n > f.Priority {
		what = fmt.Sprintf("give it a priority of %d or more", n)
	}
	if len(l.opened) > 0 {
		what = "ask again when a window has ended, or " + what
	}
	return refused("no priority above our deny (%d) is free, which stands there because the rule %s (priority %d) opens a port that it closes: %s", limit, f.Name, f.Priority, what)
}

// Shut is a protected port of a machine for which no more windows can be opened, whoever asks and from wherever.
type Shut struct {
	VM   jit.ID
	Port uint16
	Err  *jit.Error
}

// shut returns the protected ports for which the next request must fail, and those for which as many windows as are kept
// would not fit if none were open; both by machine and port.
func (l *layout) shut(policies []roster.Protected) (now, short []Shut) {
	keeps := max(1, l.room.Kept)
	everybody := *l
	everybody.denied = slices.DeleteFunc(slices.Clone(l.denied), func(f *jit.Rule) bool { return !f.Source.Any })
	if everybody.roomy(keeps) {
		return nil, nil
	}
	idle := everybody
	for _, p := range l.opened {
		idle.used.set(p.priority, false)
		idle.count(p.rule, -1)
	}
	full, roomy := everybody.full(&jit.Rule{}), idle.roomy(keeps)
	byKey := map[string]roster.Protected{}
	for _, p := range policies {
		byKey[p.Policy.VM.Key()] = p
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		p := byKey[key]
		for _, port := range slices.SortedFunc(slices.Values(p.Policy.Ports), func(a, b jit.PortRule) int { return cmp.Compare(a.Number, b.Number) }) {
			err := full
			if err == nil {
				err = everybody.opens(p, port, 1)
			}
			if err != nil {
				now = append(now, Shut{p.Policy.VM, port.Number, err})
			}
			if roomy {
				continue
			}
			if err := idle.opens(p, port, keeps); err != nil {
				short = append(short, Shut{p.Policy.VM, port.Number, err})
			}
		}
	}
	return now, short
}

// roomy reports whether there is room for windows of any machine, without looking at each: it is so nearly always.
func (l *layout) roomy(windows int) bool {
	const addresses = 64 // of one machine
	rules := 2 * windows // one for each family
	if l.rules+rules > MaxRules || l.sources+rules > MaxPeers || l.dests+windows*addresses > MaxPeers {
		return false
	}
	limit := MaxPriority + 1
	for _, d := range l.closed {
		limit = min(limit, d.priority)
	}
	if len(l.denied) > 0 {
		limit = min(limit, l.denied[0].Priority)
	}
	first, last := l.room.band()
	for n := first; n < limit && n <= last && rules > 0; n++ {
		if !l.used.has(n) {
			rules--
		}
	}
	return rules == 0
}

// opens refuses where so many windows of a port could not be opened, each at all of the machine's addresses.
func (l *layout) opens(p roster.Protected, port jit.PortRule, windows int) *jit.Error {
	var laid []placed
	defer func() {
		for _, w := range laid {
			l.used.set(w.priority, false)
			l.count(w.rule, -1)
		}
	}()
	for range windows {
		for _, v6 := range []bool{false, true} {
			addrs := family(p.Addresses, v6)
			if len(addrs) == 0 {
				continue
			}
			from := jit.PeersOf(addrs[0]) // whoever: of foreign denies only those of any source are left
			w := wanted{rule: finish(jit.Rule{Access: jit.Allow, Protocol: port.Protocol, Source: from}, addrs, []uint16{port.Number})}
			n, err := l.find(&w)
			if err != nil {
				return err
			}
			l.used.set(n, true)
			l.count(&w.rule, +1)
			laid = append(laid, placed{&w.rule, n})
		}
	}
	return nil
}
