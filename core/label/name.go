// Package label is what a rule of ours says of itself: its name, which holds whose it is, and its description, which holds the machines, the end
// and the marks of the windows that stand. A rule can be told and closed by its label with the table lost.
package label

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

// GrantOf returns the grant id that the name of an allow rule holds, in the form
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

// AllowName names the rule of a grant for one group of windows: 17+32+1+8 = 58
// characters of the 80 that ARM takes.
func AllowName(grantID, group string) string {
	return allowPrefix + strings.ToLower(strings.ReplaceAll(grantID, "-", "")) + "-" + digest(group, 8)
}

// DenyName names the deny of one group of machines and ports.
func DenyName(group string) string { return denyPrefix + digest(group, 12) }

// IsDeny reports whether a name is one that we give to denies. One with our prefix alone was made by others, and goes.
func IsDeny(name string) bool {
	return len(name) == len(denyPrefix)+12 && strings.EqualFold(name[:len(denyPrefix)], denyPrefix) && isHex(strings.ToLower(name[len(denyPrefix):]))
}

// digest returns n characters that tell s from all else.
func digest(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:n/2])
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

// AllowNote describes an allow rule. The end is rounded up to the second, so that
// who closes by the description alone never closes early.
func AllowNote(end time.Time, machines []string) string {
	end = end.UTC()
	if t := end.Truncate(time.Second); !t.Equal(end) {
		end = t.Add(time.Second)
	}
	return note(described+until+end.Format(time.RFC3339)+" to ", machines)
}

// DenyNote describes a deny.
func DenyNote(machines []string) string { return note(described+"deny to ", machines) }

// note lists as many machine names as fit into the description and counts the rest.
func note(begin string, machines []string) string {
	names := slices.Clone(machines)
	slices.Sort(names)
	listed, fits := begin, ""
	for i, name := range names {
		if i > 0 {
			listed += ", "
		}
		listed += name
		if utf8.RuneCountInString(listed) > maxNote {
			break
		}
		whole := listed
		if rest := len(names) - i - 1; rest > 0 {
			whole += fmt.Sprintf(" and %d more", rest)
		}
		if utf8.RuneCountInString(whole) <= maxNote {
			fits = whole
		}
	}
	if fits == "" {
		return begin + fmt.Sprintf("%d machines", len(names))
	}
	return fits
}
