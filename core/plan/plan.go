package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/reach"
	"portcullis/core/roster"
)

// Input is all that the rules of one target depend on.
type Input struct {
	roster.State
	Current []jit.Rule   // every rule that stands on the target, ours and foreign, but not the default rules
	Public  []netip.Addr // the addresses at which a firewall takes connections; none of a security group
	Now     time.Time
	// Moved names the grants that were seen to stand elsewhere a moment ago, and have moved here: their rules may be made although
	// their windows are confirmed. Nil is none.
	Moved func(grant string) bool
	// LeaveRemoved says that an allow which others have removed is not put back, not even once.
	LeaveRemoved bool
	Room         Room        // of a security group
	Names        reach.Names // what names in foreign rules stand for, beside the sites of the policies; what is not known counts as bearing on the machines
}

// names returns what names stand for at the machines of the policies.
func (in Input) names() reach.Names {
	var known []reach.Located
	for _, p := range in.Policies {
		known = append(known, reach.Located{Addresses: p.Addresses, Site: p.Site})
	}
	return in.Names.At(known...)
}

// Changes leads from the rules that stand to those that should. All of them
// are rules of ours, each list is sorted by name.
type Changes struct {
	Create []jit.Rule
	Update []jit.Rule
	Delete []jit.Rule
}

// Empty reports whether there is nothing to do.
func (c Changes) Empty() bool { return len(c.Create)+len(c.Update)+len(c.Delete) == 0 }

// Apply returns the rules with the changes made, as a firewall that holds them would have them.
func (c Changes) Apply(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules)+len(c.Create))
	gone := make(map[string]bool, len(c.Update)+len(c.Delete))
	for _, r := range slices.Concat(c.Update, c.Delete) {
		gone[strings.ToLower(r.Name)] = true
	}
	for i := range rules {
		if !gone[strings.ToLower(rules[i].Name)] {
			out = append(out, rules[i].Clone())
		}
	}
	for _, r := range slices.Concat(c.Update, c.Create) {
		out = append(out, r.Clone())
	}
	return out
}

// Refusal names what found no room, or would be of no use, and why.
type Refusal struct {
	Grant string // the grant left out; "" for a deny
	Rule  string // the rule that had no place
	// By is, for a deny, the foreign allow above which it has no place; it stands below then. Without one, it does not
	// stand, or not for all of its machines.
	By  *jit.Rule
	Err *jit.Error
}

// Foreign is a foreign rule that bears on a protected port of a machine.
type Foreign struct {
	Rule jit.Rule
	VM   jit.ID
	Port uint16
}

// Plan is the answer of [Compute] and of [Translate].
type Plan struct {
	Rules      []jit.Rule // our rules as they should stand, with priorities, sorted by name
	Changes    Changes
	Refused    []Refusal
	Overridden []Foreign // foreign allows of protected ports that a deny of ours outranks
	Exposed    []Foreign // foreign allows of protected ports that outrank our deny
	Tight      []Refusal // denies that stand, but at a place that is kept for windows
	Shut       []Shut    // protected ports for which the next request must fail
	Short      []Shut    // those for which fewer windows fit than are kept, even if none is open
	Blocked    []Blocked // allows of ours from which foreign denies take something
	Missing    []Missing // rules of open windows that do not stand and are not put back
	Kept       []Kept    // denies that close more than anything stored asks for; by rule
}

// Blocked is an allow of ours that foreign denies outrank. A new one never is: it
// is placed above them, or refused.
type Blocked struct {
	Grant string // "" where the rule's name does not tell
	Rule  string // our rule
	reach.Block
}

// Compute returns the rules that should stand on one target at in.Now and the
// changes that lead there. It never changes a rule that is not ours.
func Compute(in Input) Plan {
	ours, foreign := apart(in.Current)
	names := in.names()
	closed, kept := denies(in.Policies), []Kept(nil)
	if in.Known {
		closed, kept = in.guarding(ours, closed)
	}
	var l *layout // the last one, which is the one that counts
	p := in.plan(ours, closed, allows, func(open []*wanted) ([]placed, []Refusal) {
		l = lay(names, in.Room, ours, foreign, closed, open)
		return slices.Concat(l.opened, l.closed), l.refused
	})
	if l != nil {
		p.Tight = l.tight
		p.Shut, p.Short = l.shut(in.Policies)
	}
	p.Kept = kept
	p.Overridden, p.Exposed = bearing(names, in.Policies, foreign, p.Rules)
	p.Blocked = blocked(names, p.Rules, foreign)
	return p
}

// wants gives the rules that openings want at an instant, in the order in which they are laid.
type wants func([]roster.Opening, time.Time) []*wanted

// lays gives rules their places, beside those that stand, and what found none.
type lays func(open []*wanted) ([]placed, []Refusal)

// placed is a rule of ours and the place that it got.
type placed struct {
	rule     *jit.Rule
	priority int
}

// rulesOf returns the rules in their places, sorted by name.
func rulesOf(list []placed) []jit.Rule {
	slices.SortFunc(list, func(a, b placed) int { return cmp.Compare(a.rule.Name, b.rule.Name) })
	out := make([]jit.Rule, len(list))
	for i, p := range list {
		out[i] = *p.rule
		out[i].Priority = p.priority
	}
	return out
}

// plan returns our rules as they should stand and the changes that lead there.
func (in Input) plan(ours named, closed []*wanted, want wants, lay lays) Plan {
	var p Plan
	if in.Known {
		had := label.MarksOn(ours.rules)
		var open []*wanted
		sure := func(o []roster.Opening, now time.Time) []*wanted {
			open, p.Missing = in.certain(ours, had, want(o, now))
			return open
		}
		var stay []placed
		stay, p.Refused = in.arrange(sure, lay)
		p.Rules = rulesOf(stay)
		p.mark(had, closed, open)
	} else {
		p.Rules = rulesOf(keepUntilEnd(ours.rules, in.Now))
	}
	p.Changes = diff(ours, p.Rules)
	return p
}

// named is rules that are found by their names, which ARM takes in any case.
type named struct {
	rules []*jit.Rule
	at    map[string]int // in rules, by name in lower case
}

// find returns the rule of a name in lower case, nil where there is none.
func (n named) find(name string) *jit.Rule {
	if i, ok := n.at[name]; ok {
		return n.rules[i]
	}
	return nil
}

// apart tells our rules from those of others. Both are those of the list given: a rule is some
// 300 bytes, and there may be a thousand.
func apart(rules []jit.Rule) (ours named, foreign []*jit.Rule) {
	n := 0
	for i := range rules {
		if label.Owned(rules[i].Name) {
			n++
		}
	}
	ours = named{make([]*jit.Rule, 0, n), make(map[string]int, n)}
	foreign = make([]*jit.Rule, 0, len(rules)-n)
	for i := range rules {
		if r := &rules[i]; label.Owned(r.Name) {
			ours.at[strings.ToLower(r.Name)] = len(ours.rules)
			ours.rules = append(ours.rules, r)
		} else {
			foreign = append(foreign, r)
		}
	}
	return ours, foreign
}

func blocked(names reach.Names, ours []jit.Rule, foreign []*jit.Rule) []Blocked {
	first := MaxPriority + 1 // of the denies of others
	for _, r := range foreign {
		if r.Access == jit.Deny && r.Direction == jit.Inbound {
			first = min(first, r.Priority)
		}
	}
	var out []Blocked
	for i := range ours {
		r := &ours[i]
		if r.Access != jit.Allow || r.Direction != jit.Inbound || r.Priority < first {
			continue
		}
		if b := names.Blocked(r, foreign); len(b.By) > 0 {
			grant, _ := label.GrantOf(r.Name)
			out = append(out, Blocked{Grant: grant, Rule: r.Name, Block: b})
		}
	}
	return out
}

// arrange returns our rules in their places, and what found none. A grant that
// is refused supersedes nothing: whoever asked keeps the older window.
func (in Input) arrange(want wants, lay lays) ([]placed, []Refusal) {
	openings := in.Openings
	var refused []Refusal // of grants left out for good
	for {
		open := want(openings, in.Now)
		placed, left := lay(open)
		out := map[string]bool{}
		var grants []Refusal
		for _, r := range left {
			if r.Grant != "" {
				out[r.Grant] = true
				grants = append(grants, r)
			}
		}
		if len(out) == 0 {
			return placed, append(left, refused...)
		}
		kept := slices.DeleteFunc(slices.Clone(openings), func(o roster.Opening) bool { return out[o.Grant.ID] })
		open = slices.DeleteFunc(open, func(w *wanted) bool { return out[w.grant] })
		if slices.EqualFunc(open, want(kept, in.Now), func(a, b *wanted) bool { return a.rule.Name == b.rule.Name }) {
			return placed, append(left, refused...)
		}
		refused, openings = append(refused, grants...), kept
	}
}

// keepUntilEnd is what becomes of our rules where the state is lost: a deny
// stays, an allow stays until its end, and one whose end cannot be read goes.
func keepUntilEnd(ours []*jit.Rule, now time.Time) []placed {
	var kept []placed
	for _, r := range ours {
		end, ok := label.EndOf(r.Description)
		if r.Access == jit.Deny || ok && now.Before(end) {
			kept = append(kept, placed{r, r.Priority})
		}
	}
	return kept
}

func diff(current named, desired []jit.Rule) Changes {
	var c Changes
	kept := make([]bool, len(current.rules))
	for _, d := range desired {
		i, stands := current.at[strings.ToLower(d.Name)]
		switch {
		case !stands:
			c.Create = append(c.Create, d)
			continue
		case !current.rules[i].Equal(d):
			c.Update = append(c.Update, d)
		}
		kept[i] = true
	}
	for i, r := range current.rules {
		if !kept[i] {
			c.Delete = append(c.Delete, *r)
		}
	}
	slices.SortFunc(c.Delete, func(a, b jit.Rule) int { return cmp.Compare(a.Name, b.Name) })
	return c
}
