package plan

import (
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/reach"
	"portcullis/core/roster"
)

// A window that was confirmed open and whose rule does not stand may have been ended: the table that says it is open may be
// older than the rules. So its rule is put back only where the target itself shows that nobody ended it (decision 035). The
// target shows it by marks in the description of one deny of ours: a mark for each allow that our last write left. A write
// that ends a window takes its mark away, in the same change.

// CodeNotCertain refuses what needs a window whose rule is missing: the next sweep puts it back or closes it.
const CodeNotCertain jit.Code = "WindowNotCertain"

// Missing is a rule of a confirmed window that does not stand and is not put back.
type Missing struct {
	Grant string
	Rule  string
	// Others says that somebody else removed it: our last write left it. Otherwise nothing shows that nobody ended the window.
	Others bool
}

// certain returns the rules that may stand: those that do, those of windows that open for the first time, and those of which it
// is certain that nobody ended their windows. The others are missing.
func (in Input) certain(ours named, had label.Marks, open []*wanted) (sure []*wanted, missing []Missing) {
	for _, w := range open {
		again, marked := had[label.MarkOf(w.rule.Name)]
		switch {
		case !w.open, ours.find(strings.ToLower(w.rule.Name)) != nil, in.letsIn(ours, w):
		case in.Moved != nil && in.Moved(w.grant):
		case marked && !again && !in.LeaveRemoved:
			w.again = true
		default:
			missing = append(missing, Missing{Grant: w.grant, Rule: w.rule.Name, Others: marked})
			continue
		}
		sure = append(sure, w)
	}
	return sure, missing
}

// letsIn reports whether standing rules of the same grant, or of one that has taken its place, let in all that a rule would:
// it then opens nothing, such as where a part of a grant has ended, where windows get one end and with it one rule, or where a
// newer request comes to nothing.
func (in Input) letsIn(ours named, w *wanted) bool {
	return !slices.ContainsFunc(reach.Parts(w.rule), func(part jit.Rule) bool {
		return !slices.ContainsFunc(ours.rules, func(r *jit.Rule) bool {
			grant, ok := label.GrantOf(r.Name)
			return ok && (grant == w.grant || in.replaces(grant, w.grant)) && reach.Holds(r, &part)
		})
	})
}

// displacedFor is how long after its time to open a newer grant that came to nothing gives back the place that it took: as long as the sweep may take
// that ends it. Later the table may be an older one, which does not know that it was confirmed.
const displacedFor = 10 * time.Minute

// replaces reports whether one stored grant is a newer one of the requestor of another, and may come to nothing still.
func (in Input) replaces(newer, older string) bool {
	of := func(id string) int {
		return slices.IndexFunc(in.Openings, func(o roster.Opening) bool { return o.Grant.ID == id })
	}
	n, o := of(newer), of(older)
	if n < 0 || o < 0 {
		return false
	}
	a, b := in.Openings[n].Grant, in.Openings[o].Grant
	return a.SameRequestor(b.RequestorID, b.Requestor) && a.Start.Compare(b.Start) >= 0 && in.Now.Before(a.OpenBy.Add(displacedFor))
}

// mark writes the marks of the allows into the first deny that can hold them.
func (p *Plan) mark(had label.Marks, closed, open []*wanted) {
	again := map[string]bool{}
	for _, w := range open {
		again[w.rule.Name] = w.again
	}
	next := label.Marks{}
	for _, r := range p.Rules {
		if _, ok := label.GrantOf(r.Name); ok && r.Access == jit.Allow {
			next[label.MarkOf(r.Name)] = had[label.MarkOf(r.Name)] || again[r.Name]
		}
	}
	for _, m := range p.Missing {
		if m.Others {
			next[label.MarkOf(m.Rule)] = true
		}
	}
	for _, w := range closed {
		i, stands := slices.BinarySearchFunc(p.Rules, w.rule.Name, func(r jit.Rule, name string) int { return strings.Compare(r.Name, name) })
		if stands && len(w.names) > 0 {
			if len(next) > 0 {
				p.Rules[i].Description = next.Note(w.names)
			}
			return
		}
	}
}

// Unmarked reports whether a write takes away marks of a grant: until then the target shows that a window stands which is to be closed.
func Unmarked(before, after []jit.Rule, grant string) bool {
	of := func(rules []jit.Rule) label.Marks { ours, _ := apart(rules); return label.MarksOn(ours.rules) }
	left := of(after)
	for mark := range of(before) {
		if _, stays := left[mark]; !stays && label.HasGrant(mark, grant) {
			return true
		}
	}
	return false
}

// Redescribed reports whether two rules differ in their descriptions at most.
func Redescribed(a, b jit.Rule) bool {
	a.Description = b.Description
	return a.Equal(b)
}

// unmarked returns a deny without marks: nobody takes them away where it stays for that it is not known.
func unmarked(r *jit.Rule) jit.Rule {
	out := r.Clone()
	out.Description = label.Unmarked(out.Description)
	return out
}

// guarding returns the denies that should stand: those that the policies want, and of those that stand otherwise than is
// stored all that they close, since a table that does not know what stands may be older than it. It names the latter.
func (in Input) guarding(ours named, closed []*wanted) (all []*wanted, kept []string) {
	all = closed
	for _, r := range ours.rules {
		if r.Access != jit.Deny || r.Direction != jit.Inbound || !label.IsDeny(r.Name) || in.Knows(r) {
			continue
		}
		i := slices.IndexFunc(closed, func(w *wanted) bool { return strings.EqualFold(w.rule.Name, r.Name) })
		if i < 0 {
			all, kept = append(all, &wanted{rule: unmarked(r)}), append(kept, r.Name)
			continue
		}
		if w := closed[i]; len(reach.Beyond(r, &w.rule)) > 0 {
			w.rule.Destination.Prefixes = slices.Concat(w.rule.Destination.Prefixes, reach.Beyond(r, &w.rule))
			w.rule = w.rule.Canonical()
			kept = append(kept, w.rule.Name)
		}
	}
	slices.SortFunc(all, byName)
	slices.Sort(kept)
	return all, kept
}
