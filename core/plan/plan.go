package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
)

// State is what is stored of one target.
type State struct {
	// Known says that the target is one of ours. Where it is not, the table is lost
	// or the rules are left over: denies stay, and allows stay until the end in their description.
	Known    bool
	Policies []Protected
	Openings []Opening
}

// Input is all that the rules of one target depend on.
type Input struct {
	State
	Current []jit.Rule // every rule that stands on the target, ours and foreign, but not the default rules
	Now     time.Time
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

// Apply gives the rules with the changes made, as a firewall that holds them would have them.
func (c Changes) Apply(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules)+len(c.Create))
	gone := byKey(slices.Concat(c.Update, c.Delete))
	for _, r := range rules {
		if _, ok := gone[strings.ToLower(r.Name)]; !ok {
			out = append(out, r.Clone())
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
	Err   *jit.Error
}

// Foreign is a foreign rule that bears on a protected port of a machine.
type Foreign struct {
	Rule jit.Rule
	VM   jit.ID
	Port uint16
}

// Plan is the answer of [Compute].
type Plan struct {
	Rules      []jit.Rule // our rules as they should stand, with priorities, sorted by name
	Changes    Changes
	Refused    []Refusal
	Overridden []Foreign // foreign allows of protected ports that a deny of ours outranks
	Exposed    []Foreign // foreign allows of protected ports that outrank our deny
}

// Compute gives the rules that should stand on one target at in.Now and the
// changes that lead there. It never changes a rule that is not ours.
func Compute(in Input) Plan {
	var ours, foreign []jit.Rule
	for _, r := range in.Current {
		if Owned(r.Name) {
			ours = append(ours, r)
		} else {
			foreign = append(foreign, r)
		}
	}
	var p Plan
	if in.Known {
		closed, open := denies(in.Policies), allows(in.Openings, in.Now)
		l := newLayout(ours, foreign, closed, open)
		for _, d := range l.byCeiling(closed) {
			l.deny(d)
		}
		for _, rules := range l.byGrant(open) {
			l.open(rules)
		}
		p = Plan{Rules: l.placed, Refused: l.refused}
	} else {
		p = Plan{Rules: keepUntilEnd(ours, in.Now)}
	}
	slices.SortFunc(p.Rules, func(a, b jit.Rule) int { return cmp.Compare(a.Name, b.Name) })
	p.Changes = diff(ours, p.Rules)
	p.Overridden, p.Exposed = bearing(in.Policies, foreign, p.Rules)
	return p
}

// keepUntilEnd is what becomes of our rules where the state is lost: a deny
// stays, an allow stays until its end, and one whose end cannot be read goes.
func keepUntilEnd(ours []jit.Rule, now time.Time) []jit.Rule {
	var kept []jit.Rule
	for _, r := range ours {
		end, ok := EndOf(r.Description)
		if r.Access == jit.Deny || ok && now.Before(end) {
			kept = append(kept, r)
		}
	}
	return kept
}

// byGrant splits the rules by grant. Grants that stand come before new ones, so that
// when room runs out it is the new one that is refused.
func (l *layout) byGrant(rules []wanted) [][]wanted {
	var standing, fresh [][]wanted
	for len(rules) > 0 {
		n, stands := 0, false
		for n < len(rules) && rules[n].grant == rules[0].grant {
			_, s := l.standing[rules[n].rule.Name]
			stands = stands || s
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

func byKey(rules []jit.Rule) map[string]jit.Rule {
	m := make(map[string]jit.Rule, len(rules))
	for _, r := range rules {
		m[strings.ToLower(r.Name)] = r
	}
	return m
}

func diff(current, desired []jit.Rule) Changes {
	var c Changes
	stands, wanted := byKey(current), byKey(desired)
	for _, d := range desired {
		switch r, ok := stands[strings.ToLower(d.Name)]; {
		case !ok:
			c.Create = append(c.Create, d)
		case !r.Equal(d):
			c.Update = append(c.Update, d)
		}
	}
	for _, r := range current {
		if _, ok := wanted[strings.ToLower(r.Name)]; !ok {
			c.Delete = append(c.Delete, r)
		}
	}
	slices.SortFunc(c.Delete, func(a, b jit.Rule) int { return cmp.Compare(a.Name, b.Name) })
	return c
}

// bearing finds the foreign allows of protected ports, and tells those that our
// deny outranks from those that still expose the port.
func bearing(policies []Protected, foreign, ours []jit.Rule) (overridden, exposed []Foreign) {
	for _, p := range policies {
		for _, port := range p.Policy.Ports {
			lowest := 0 // the deny that guards this port, 0 for none
			for _, r := range ours {
				if r.Access == jit.Deny && r.Protocol == port.Protocol && holdsAll(r, p.Addresses, port.Number) {
					lowest = r.Priority
				}
			}
			for _, r := range foreign {
				if !opens(r, p.Addresses, port.Number, port.Protocol) {
					continue
				}
				f := Foreign{Rule: r, VM: p.Policy.VM, Port: port.Number}
				if lowest != 0 && lowest < r.Priority {
					overridden = append(overridden, f)
				} else {
					exposed = append(exposed, f)
				}
			}
		}
	}
	for _, list := range [][]Foreign{overridden, exposed} {
		slices.SortFunc(list, func(a, b Foreign) int {
			return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Rule.Priority, b.Rule.Priority))
		})
	}
	return overridden, exposed
}

// holdsAll reports whether a deny of ours names the port and some of the
// addresses; its families stand in rules of their own.
func holdsAll(r jit.Rule, addrs []netip.Addr, n uint16) bool {
	return slices.Contains(r.DestinationPorts, jit.OnePort(n)) && slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		return slices.ContainsFunc(r.Destination.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}
