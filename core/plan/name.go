package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Prefix begins the name of every rule of ours, and of no other: whoever makes a
// rule with it gives the rule to us.
const Prefix = "portcullis-"

const (
	allowPrefix = Prefix + "allow-"
	denyPrefix  = Prefix + "deny-"
	described   = "Portcullis v1: " // begins every description; the version of the format
	until       = "allow until "
	maxNote     = 140 // characters of a description that ARM takes
)

// Owned reports whether a rule of this name is ours. ARM does not tell cases apart.
func Owned(name string) bool {
	return len(name) >= len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix)
}

// GrantOf gives the grant id that the name of an allow rule holds, in the form
// of a UUID, or false for any other name.
func GrantOf(name string) (string, bool) {
	if len(name) < len(allowPrefix) || !strings.EqualFold(name[:len(allowPrefix)], allowPrefix) {
		return "", false // before anything is folded that is not ASCII: the name has to be one of ours
	}
	rest := strings.ToLower(name[len(allowPrefix):])
	if len(rest) != 32+1+8 || rest[32] != '-' || !isHex(rest[:32]) || !isHex(rest[33:]) {
		return "", false
	}
	return rest[:8] + "-" + rest[8:12] + "-" + rest[12:16] + "-" + rest[16:20] + "-" + rest[20:32], true
}

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') })
}

// allowName names the rule of a grant for one group of windows: 17+32+1+8 = 58
// characters of the 80 that ARM takes.
func allowName(grantID string, group []byte) string {
	name := append(make([]byte, 0, 80), allowPrefix...)
	for i := range len(grantID) {
		switch c := grantID[i]; {
		case c == '-':
		case 'A' <= c && c <= 'Z':
			name = append(name, c+'a'-'A')
		default:
			name = append(name, c)
		}
	}
	return string(digest(append(name, '-'), group, 8))
}

func denyName(group string) string { return string(digest([]byte(denyPrefix), []byte(group), 12)) }

// digest appends n characters that tell s from all else.
func digest(to, s []byte, n int) []byte {
	sum := sha256.Sum256(s)
	return hex.AppendEncode(to, sum[:n/2])
}

// EndOf reads the end from the description of an allow rule, or false where
// there is none that we wrote: a rule can be closed with the table lost.
func EndOf(description string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(description, described+until)
	if !ok {
		return time.Time{}, false
	}
	stamp, _, _ := strings.Cut(rest, " ")
	end, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return time.Time{}, false
	}
	return end.UTC(), true
}

// allowNote describes an allow rule. The end is rounded up to the second, so that
// who closes by the description alone never closes early.
func allowNote(end time.Time, machines []string) string {
	end = end.UTC()
	if t := end.Truncate(time.Second); !t.Equal(end) {
		end = t.Add(time.Second)
	}
	begin := append(make([]byte, 0, maxNote), described+until...)
	return note(append(end.AppendFormat(begin, time.RFC3339), " to "...), machines)
}

func denyNote(machines []string) string { return note([]byte(described+"deny to "), machines) }

// note appends as many machine names as fit into 140 characters and counts the rest.
func note(begin []byte, machines []string) string {
	if len(machines) == 1 && len(begin)+len(machines[0]) <= maxNote { // most are, and there are a thousand in a full group
		return string(append(begin, machines[0]...))
	}
	s := string(begin)
	names := least(machines, maxNote/len(", ")) // more cannot fit, whatever is said of the rest
	most, room := 0, maxNote-utf8.RuneCountInString(s)
	for most < len(names) && room >= 0 {
		room -= utf8.RuneCountInString(names[most]) + len(", ")
		most++
	}
	for n := most; n > 0; n-- {
		out := s + strings.Join(names[:n], ", ")
		if rest := len(machines) - n; rest > 0 {
			out += fmt.Sprintf(" and %d more", rest)
		}
		if utf8.RuneCountInString(out) <= maxNote {
			return out
		}
	}
	return s + fmt.Sprintf("%d machines", len(machines))
}

// least gives the first n of the names in their order, without putting all of them in order.
func least(names []string, n int) []string {
	out := make([]string, 0, min(n, len(names)))
	for _, name := range names {
		if len(out) == n {
			if name >= out[n-1] {
				continue
			}
			out = out[:n-1]
		}
		at, _ := slices.BinarySearch(out, name)
		out = slices.Insert(out, at, name)
	}
	return out
}
