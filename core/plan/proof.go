package plan

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
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
// is certain that nobody ended their windows. The others are missing. One that others have changed so that it opens less counts as removed.
func (in Input) certain(ours named, had label.Marks, open []*wanted) (sure []*wanted, missing []Missing) {
	others := sync.OnceValue(func() standing { return in.standing(ours) })
	for _, w := range open {
		again, marked := had[label.MarkOf(w.rule.Name)]
		r := ours.find(strings.ToLower(w.rule.Name))
		switch {
		case !w.open, r != nil && opens(r, &w.rule), others().letsIn(w):
		case in.Moved != nil && in.Moved(w.grant):
		case marked && !again && !in.LeaveRemoved:
			w.again = true
		default:
			missing = append(missing, Missing{Grant: w.grant, Rule: w.rule.Name, Others: marked || r != nil})
			continue
		}
		sure = append(sure, w)
	}
	return sure, missing
}

// opens reports whether a standing rule lets in what the wanted one of its name would, wherever that is. Its destination changes with the
// addresses of its machines, so by our own hand too. Of a NAT rule no mark tells whether it was put right before: it is, each time.
func opens(r, want *jit.Rule) bool {
	has, wants := *r, *want
	has.Destination, wants.Destination = jit.AnyPeer(), jit.AnyPeer()
	return want.Translated.IsValid() || reach.Holds(&has, &wants)
}

// standing is our allows that stand, by grant, and what is stored of their grants.
type standing struct {
	rules   map[string][]*jit.Rule
	grants  map[string]*jit.Grant // all that are stored, by id
	newcome map[requestor][]*jit.Grant
}

// requestor tells who asked, as [jit.Grant.SameRequestor] does.
type requestor struct{ id, name string }

func requestorOf(g *jit.Grant) requestor {
	if g.RequestorID != "" {
		return requestor{id: g.RequestorID}
	}
	return requestor{name: g.Requestor}
}

// displacedFor is how long after its time to open a newer grant that came to nothing gives back the place that it took: as long as the sweep may take
// that ends it. Later the table may be an older one, which does not know that it was confirmed.
const displacedFor = 10 * time.Minute

// standing sorts what stands once, so that to ask for every rule stays linear. A grant whose rules stand and that may still come to nothing is newcome.
func (in Input) standing(ours named) standing {
	s := standing{map[string][]*jit.Rule{}, make(map[string]*jit.Grant, len(in.Openings)), map[requestor][]*jit.Grant{}}
	for _, r := range ours.rules {
		if grant, ok := label.GrantOf(r.Name); ok {
			s.rules[grant] = append(s.rules[grant], r)
		}
	}
	for i := range in.Openings {
		g := &in.Openings[i].Grant
		s.grants[g.ID] = g
		if len(s.rules[g.ID]) > 0 && in.Now.Before(g.OpenBy.Add(displacedFor)) {
			s.newcome[requestorOf(g)] = append(s.newcome[requestorOf(g)], g)
		}
	}
	return s
}

// letsIn reports whether standing rules of the same grant, or of a newer one of its requestor that took its place and may come to nothing still, let
// in all that a rule would: it then opens nothing, such as where a part of a grant has ended, where windows get one end and with it one rule, or where a
// newer request comes to nothing. Who asks for other sources takes nobody's place: the rule might have been missing before, and outlive the newer one.
func (s standing) letsIn(w *wanted) bool {
	own, newer := s.rules[w.grant], []*jit.Rule(nil)
	if g := s.grants[w.grant]; g != nil {
		for _, n := range s.newcome[requestorOf(g)] {
			if n.ID != g.ID && n.Begins().Compare(g.Begins()) >= 0 {
				newer = slices.Concat(newer, s.rules[n.ID])
			}
		}
	}
	return len(own)+len(newer) > 0 && !slices.ContainsFunc(reach.Parts(w.rule), func(part jit.Rule) bool {
		return !slices.ContainsFunc(own, func(r *jit.Rule) bool { return reach.Holds(r, &part) }) &&
			!slices.ContainsFunc(newer, func(r *jit.Rule) bool { return reach.Holds(r, &part) && reach.HoldsPeers(part.Source, r.Source) })
	})
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

// Kept is a deny that closes more than anything stored asks for.
type Kept struct {
	Rule   string
	Beyond []netip.Prefix // the addresses for which nothing asks; nil where it holds others than single ones, and stays whole
}

// Note returns what is to be stored of a deny that stands as planned, "" for nothing: it stays whole until others change it.
func (p Plan) Note(r jit.Rule) string {
	i := slices.IndexFunc(p.Kept, func(k Kept) bool { return k.Rule == r.Name })
	switch {
	case i < 0:
		return roster.Note(r)
	case p.Kept[i].Beyond == nil:
		return ""
	}
	return roster.NoteKept(r, p.Kept[i].Beyond)
}

// guarding returns the denies that should stand: those that the policies want, and of those that stand otherwise than is
// stored all that they close, since a table that does not know what stands may be older than it. It names the latter. What was kept
// once is stored, and alone is kept from then on: the other addresses of such a deny are ours to take back.
func (in Input) guarding(ours named, closed []*wanted) (all []*wanted, kept []Kept) {
	all = closed
	for _, r := range ours.rules {
		if r.Access != jit.Deny || r.Direction != jit.Inbound || !label.IsDeny(r.Name) || in.Knows(r) {
			continue
		}
		beyond, noted := in.KeptOf(r)
		i := slices.IndexFunc(closed, func(w *wanted) bool { return strings.EqualFold(w.rule.Name, r.Name) })
		if i < 0 {
			w := wanted{rule: unmarked(r)}
			if noted {
				w.rule.Destination = jit.Peers{Prefixes: beyond}
				w.rule = w.rule.Canonical()
			}
			all, kept = append(all, &w), append(kept, Kept{r.Name, single(w.rule.Destination)})
			continue
		}
		w := closed[i]
		left := reach.Beyond(r, &w.rule)
		if noted {
			left = slices.DeleteFunc(left, func(p netip.Prefix) bool { return !slices.Contains(beyond, p) })
		}
		if len(left) > 0 {
			w.rule.Destination.Prefixes = slices.Concat(w.rule.Destination.Prefixes, left)
			w.rule = w.rule.Canonical()
			kept = append(kept, Kept{w.rule.Name, single(jit.Peers{Prefixes: left})})
		}
	}
	slices.SortFunc(all, byName)
	slices.SortFunc(kept, func(a, b Kept) int { return strings.Compare(a.Rule, b.Rule) })
	return all, kept
}

// maxKept bounds how many addresses the note of a deny names.
const maxKept = 64

// single returns the addresses of a destination that a note can name; nil where it holds anything else, or too many.
func single(p jit.Peers) []netip.Prefix {
	others := slices.ContainsFunc(p.Prefixes, func(q netip.Prefix) bool { return !q.IsSingleIP() })
	if p.Any || others || len(p.Tags)+len(p.Groups) > 0 || len(p.Prefixes) == 0 || len(p.Prefixes) > maxKept {
		return nil
	}
	return slices.Clone(p.Prefixes)
}
