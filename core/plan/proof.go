package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
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

const (
	marksBegin = described + "deny (open "
	marksEnd   = ") to "
	putBack    = "+" // follows the mark of a rule that was put back once
	markLength = 8
	// maxMarks is how many marks fit beside the shortest list of machines.
	maxMarks = (maxNote - len(marksBegin) - len(marksEnd) - len("10000 machines")) / (markLength + len(putBack) + len(" "))
)

// marks is the rules that our last write left, by mark, and which of them were put back once.
type marks map[string]bool

// markOf names an allow. The first half tells its grant.
func markOf(rule string) string {
	grant, _ := GrantOf(rule)
	return digest(grant, markLength/2) + digest(strings.ToLower(rule), markLength/2)
}

// marksOn reads the marks on a target.
func marksOn(rules []*jit.Rule) marks {
	out := marks{}
	for _, r := range rules {
		if r.Access != jit.Deny {
			continue
		}
		rest, ok := strings.CutPrefix(r.Description, marksBegin)
		list, _, ended := strings.Cut(rest, marksEnd)
		if !ok || !ended {
			continue
		}
		for mark := range strings.FieldsSeq(list) {
			name, again := strings.CutSuffix(mark, putBack)
			out[name] = again || out[name]
		}
	}
	return out
}

// String writes the marks as they stand in a description, sorted. Those that do not fit are left out: what they would show is not certain then.
func (m marks) String() string {
	var out []string
	for name, again := range m {
		if again {
			name += putBack
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out[:min(len(out), maxMarks)], " ")
}

// certain returns the rules that may stand: those that do, those of windows that open for the first time, and those of which it
// is certain that nobody ended their windows. The others are missing.
func (in Input) certain(ours named, had marks, open []*wanted) (sure []*wanted, missing []Missing) {
	for _, w := range open {
		again, marked := had[markOf(w.rule.Name)]
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

// letsIn reports whether a standing rule of the same grant, or of one that has taken its place, lets in all that a rule would:
// it then opens nothing, such as where a part of a grant has ended, or where a newer request comes to nothing.
func (in Input) letsIn(ours named, w *wanted) bool {
	return slices.ContainsFunc(ours.rules, func(r *jit.Rule) bool {
		grant, ok := GrantOf(r.Name)
		return ok && (grant == w.grant || in.replaces(grant, w.grant)) && covers(r, &w.rule)
	})
}

// displacedFor is how long after its time to open a newer grant that came to nothing gives back the place that it took: as long as the sweep may take
// that ends it. Later the table may be an older one, which does not know that it was confirmed.
const displacedFor = 10 * time.Minute

// replaces reports whether one stored grant is a newer one of the requestor of another, and may come to nothing still.
func (in Input) replaces(newer, older string) bool {
	of := func(id string) int {
		return slices.IndexFunc(in.Openings, func(o Opening) bool { return o.Grant.ID == id })
	}
	n, o := of(newer), of(older)
	if n < 0 || o < 0 {
		return false
	}
	a, b := in.Openings[n].Grant, in.Openings[o].Grant
	return a.SameRequestor(b.RequestorID, b.Requestor) && a.Start.Compare(b.Start) >= 0 && in.Now.Before(a.OpenBy.Add(displacedFor))
}

// covers reports whether an allow lets in all that another would.
func covers(r, other *jit.Rule) bool {
	if r.Access != jit.Allow || r.Direction != other.Direction || r.Translated != other.Translated {
		return false
	}
	if r.Protocol != jit.AnyProtocol && r.Protocol != other.Protocol || !holdsPeers(r.Source, other.Source) {
		return false
	}
	if r.Translated.IsValid() { // whichever port of the firewall leads there
		return true
	}
	return holdsPeers(r.Destination, other.Destination) && !slices.ContainsFunc(other.DestinationPorts, func(p jit.PortRange) bool {
		return !slices.ContainsFunc(r.DestinationPorts, func(h jit.PortRange) bool { return h.First <= p.First && p.Last <= h.Last })
	})
}

func holdsPeers(all, some jit.Peers) bool {
	if all.Any {
		return true
	}
	return !some.Any && len(some.Tags)+len(some.Groups) == 0 && !slices.ContainsFunc(some.Prefixes, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(all.Prefixes, func(h netip.Prefix) bool { return h.Bits() <= p.Bits() && h.Contains(p.Addr()) })
	})
}

// mark writes the marks of the allows into the first deny that can hold them.
func (p *Plan) mark(had marks, closed, open []*wanted) {
	again := map[string]bool{}
	for _, w := range open {
		again[w.rule.Name] = w.again
	}
	next := marks{}
	for _, r := range p.Rules {
		if _, ok := GrantOf(r.Name); ok && r.Access == jit.Allow {
			next[markOf(r.Name)] = had[markOf(r.Name)] || again[r.Name]
		}
	}
	for _, m := range p.Missing {
		if m.Others {
			next[markOf(m.Rule)] = true
		}
	}
	for _, w := range closed {
		i, stands := slices.BinarySearchFunc(p.Rules, w.rule.Name, func(r jit.Rule, name string) int { return strings.Compare(r.Name, name) })
		if stands && len(w.names) > 0 {
			if len(next) > 0 {
				p.Rules[i].Description = note(marksBegin+next.String()+marksEnd, w.names)
			}
			return
		}
	}
}

// Unmarked reports whether a write takes away marks of a grant: until then the target shows that a window stands which is to be closed.
func Unmarked(before, after []jit.Rule, grant string) bool {
	of := func(rules []jit.Rule) marks { ours, _ := apart(rules); return marksOn(ours.rules) }
	left := of(after)
	for mark := range of(before) {
		if _, stays := left[mark]; !stays && strings.HasPrefix(mark, digest(grant, markLength/2)) {
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

// What is stored of the denies that stand is a note of each: its name and what tells its content. A note that begins with
// expected is of a deny that is about to be written.
const expected = "?"

// Note returns what is stored of a deny of ours.
func Note(r jit.Rule) string {
	r = r.Canonical()
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %v %v %v %v", r.Direction, r.Protocol, r.Source, r.SourcePorts, r.Destination, r.DestinationPorts))
	return strings.ToLower(r.Name) + " " + hex.EncodeToString(sum[:6])
}

// Expected returns the note of a deny that is about to be written.
func Expected(r jit.Rule) string { return expected + Note(r) }

// Stood reports whether a deny of this name was seen confirmed.
func (s State) Stood(name string) bool {
	return slices.ContainsFunc(s.Confirmed, func(note string) bool {
		of, _, _ := strings.Cut(note, " ")
		return strings.EqualFold(of, name)
	})
}

// knows reports whether a deny stands as it is stored.
func (s State) knows(r *jit.Rule) bool {
	note := Note(*r)
	return slices.Contains(s.Confirmed, note) || slices.Contains(s.Confirmed, expected+note)
}

// deniesOurs reports whether a name is one that we give to denies. One with our prefix alone was made by others, and goes.
func deniesOurs(name string) bool {
	return len(name) == len(denyPrefix)+12 && strings.EqualFold(name[:len(denyPrefix)], denyPrefix) && isHex(strings.ToLower(name[len(denyPrefix):]))
}

// unmarked returns a deny without marks: nobody takes them away where it stays for that it is not known.
func unmarked(r *jit.Rule) jit.Rule {
	out := r.Clone()
	if rest, ok := strings.CutPrefix(out.Description, marksBegin); ok {
		_, machines, _ := strings.Cut(rest, marksEnd)
		out.Description = described + "deny to " + machines
	}
	return out
}

// guarding returns the denies that should stand: those that the policies want, and of those that stand otherwise than is
// stored all that they close, since a table that does not know what stands may be older than it. It names the latter.
func (in Input) guarding(ours named, closed []*wanted) (all []*wanted, kept []string) {
	all = closed
	for _, r := range ours.rules {
		if r.Access != jit.Deny || r.Direction != jit.Inbound || !deniesOurs(r.Name) || in.knows(r) {
			continue
		}
		i := slices.IndexFunc(closed, func(w *wanted) bool { return strings.EqualFold(w.rule.Name, r.Name) })
		if i < 0 {
			all, kept = append(all, &wanted{rule: unmarked(r)}), append(kept, r.Name)
			continue
		}
		if w := closed[i]; !r.Destination.Any && !holdsPeers(w.rule.Destination, r.Destination) {
			w.rule.Destination.Prefixes = append(slices.Clone(w.rule.Destination.Prefixes), r.Destination.Prefixes...)
			w.rule = w.rule.Canonical()
			kept = append(kept, w.rule.Name)
		}
	}
	slices.SortFunc(all, byName)
	slices.Sort(kept)
	return all, kept
}
