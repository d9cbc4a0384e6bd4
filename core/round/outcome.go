package round

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/roster"
)

// Outcome is what a round found and left on one target.
type Outcome struct {
	Target  jit.ID
	At      time.Time // the time for which the rules were computed
	State   roster.State
	Current []jit.Rule // the rules from which they were computed
	Plan    plan.Plan
	Gone    bool // the target does not exist
	// Behind is, of a projection, the machines at each address behind the target: as they are stored, and as they would be.
	Behind map[netip.Addr][]jit.ID

	Written    plan.Changes // all that was written for the asker
	Repaired   []string     // which of that undid changes by others, in words
	Ended      []Ended      // windows that ended by themselves meanwhile
	Remembered bool         // the target is not ours, and the next sweep looks at it again
}

// complete reports whether there is nothing to write.
func (out Outcome) complete(snap network.Standing) bool {
	return out.Plan.Changes.Empty() && !snap.Unconfirmed
}

// satisfies reports whether what was asked for stands, or cannot stand. There may be more to write for others, who do
// not delay this answer. A deny that is to change delays every opening.
func (out Outcome) satisfies(a *ask) bool {
	if out.Plan.Changes.Empty() {
		return true
	}
	switch {
	case a.closing != nil:
		return !out.changes(func(r jit.Rule) bool { return ofGrantID(r, a.Grant) }) && !plan.Unmarked(out.Current, out.Plan.Rules, a.Grant)
	case a.Grant != "":
		refused := slices.ContainsFunc(out.Plan.Refused, func(r plan.Refusal) bool { return r.Grant == a.Grant })
		return refused || !out.changes(func(r jit.Rule) bool { return out.reguards(r) || ofGrantID(r, a.Grant) })
	}
	return a.first != nil && !out.changes(func(r jit.Rule) bool { return out.reguards(r) || r.Access == jit.Allow && a.first[r.Name] })
}

// reguards reports whether a rule to be written is a deny that closes something else than the one that stands. Where only its
// description changes, nobody waits for it.
func (out Outcome) reguards(r jit.Rule) bool {
	stays := slices.ContainsFunc(out.Plan.Rules, func(p jit.Rule) bool { return p.Name == r.Name })
	return r.Access == jit.Deny && !(stays && slices.ContainsFunc(out.Current, func(c jit.Rule) bool { return strings.EqualFold(c.Name, r.Name) && plan.Redescribed(c, r) }))
}

// over reports whether a grant has neither a live window on the target nor a rule to remove: waiting for it to open is in vain.
func (out Outcome) over(grant string) bool {
	return !out.changes(func(r jit.Rule) bool { return ofGrantID(r, grant) }) && !slices.ContainsFunc(out.State.Openings, func(o roster.Opening) bool { return o.Grant.ID == grant && o.Grant.AnyLive(out.At) })
}

// Stands reports whether the rules of a grant that are wanted stand on the target.
func (out Outcome) Stands(grant string) bool {
	is := func(r jit.Rule) bool { return ofGrantID(r, grant) }
	return !out.Gone && slices.ContainsFunc(out.Plan.Rules, is) && !out.changes(is)
}

func ofGrantID(r jit.Rule, grant string) bool {
	id, ok := label.GrantOf(r.Name)
	return ok && id == grant
}

// changes reports whether a rule for which is holds is to be written.
func (out Outcome) changes(is func(jit.Rule) bool) bool {
	c := out.Plan.Changes
	return slices.ContainsFunc(c.Create, is) || slices.ContainsFunc(c.Update, is) || slices.ContainsFunc(c.Delete, is)
}

// priority returns the more urgent of p and the priority of what is about to be written.
func (out Outcome) priority(p network.Priority) network.Priority {
	allow := func(r jit.Rule) bool { return r.Access == jit.Allow }
	if !slices.ContainsFunc(out.Plan.Changes.Delete, allow) && !slices.ContainsFunc(out.Plan.Changes.Update, allow) {
		return p
	}
	own := network.Closing(time.Time{})
	for _, o := range out.State.Openings {
		if since, due := o.Grant.DueSince(out.At); due && (own.Since.IsZero() || since.Before(own.Since)) {
			own.Since = since
		}
	}
	if own.Before(p) {
		return own
	}
	return p
}

func merge(a, b plan.Changes) plan.Changes {
	return plan.Changes{Create: slices.Concat(a.Create, b.Create), Update: slices.Concat(a.Update, b.Update), Delete: slices.Concat(a.Delete, b.Delete)}
}

// HoldsOurs reports whether some rule is ours.
func HoldsOurs(rules []jit.Rule) bool {
	return slices.ContainsFunc(rules, func(r jit.Rule) bool { return label.Owned(r.Name) })
}
