package label

import (
	"slices"
	"strings"

	"portcullis/core/jit"
)

const (
	marksBegin = described + "deny (open "
	marksEnd   = ") to "
	putBack    = "+" // follows the mark of a rule that was put back once
	markLength = 8
	// maxMarks is how many marks fit beside the shortest list of machines.
	maxMarks = (maxNote - len(marksBegin) - len(marksEnd) - len("10000 machines")) / (markLength + len(putBack) + len(" "))
)

// Marks is the allows that our last write left, by [MarkOf], and which of them were put back once. They stand in the description of a deny of ours.
type Marks map[string]bool

// MarkOf names an allow in a mark. The first half tells its grant.
func MarkOf(rule string) string {
	grant, _ := GrantOf(rule)
	return digest(grant, markLength/2) + digest(strings.ToLower(rule), markLength/2)
}

// MarksOn reads the marks on a target, from the descriptions of its denies.
func MarksOn(rules []*jit.Rule) Marks {
	out := Marks{}
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
func (m Marks) String() string {
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

// Note describes a deny that carries the marks.
func (m Marks) Note(machines []string) string { return note(marksBegin+m.String()+marksEnd, machines) }

// HasGrant reports whether a mark is of an allow of a grant.
func HasGrant(mark, grant string) bool { return strings.HasPrefix(mark, digest(grant, markLength/2)) }

// Unmarked returns the description of a deny without its marks.
func Unmarked(description string) string {
	if rest, ok := strings.CutPrefix(description, marksBegin); ok {
		_, machines, _ := strings.Cut(rest, marksEnd)
		return described + "deny to " + machines
	}
	return description
}

// Without returns the description of a deny without some of its marks.
func Without(description string, goes func(mark string) bool) string {
	rest, ok := strings.CutPrefix(description, marksBegin)
	list, machines, ended := strings.Cut(rest, marksEnd)
	if !ok || !ended {
		return description
	}
	left := slices.DeleteFunc(strings.Fields(list), func(m string) bool { return goes(strings.TrimSuffix(m, putBack)) })
	if len(left) == 0 {
		return Unmarked(description)
	}
	return marksBegin + strings.Join(left, " ") + marksEnd + machines
}
