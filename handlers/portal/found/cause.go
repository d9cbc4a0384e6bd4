package found

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/words"
)

// Cause is the findings of one kind that one rule, security group or firewall causes.
type Cause struct {
	words.Finding
	ID       string // names it in links, whatever other causes there are
	Says     string // such as "The rule AllowAll of nsg-0 opens 4 ports on 25 machines"
	Ports    []uint16
	Machines []Machine
	Lines    []show.Finding // what has no port or no machine, word by word
	Count    int            // of findings
	Since    time.Time      // of the oldest
	Mine     bool           // who looks can do something about it
	Adds     bool           // policies can name its ports, by the form that adds them

	kind  store.FindingKind
	about []store.Finding
	at    map[string]int // where machines stand in Machines, by jit.ID.Key: a rule may be the cause at thousands
}

// Machine is a machine of a cause.
type Machine struct {
	Name, Group, ID string
	Ports           string
	ports           []uint16
}

// Filter selects findings. Every word of Text is part, in any case, of the machine, its resource group, the security group, the rule or the message.
type Filter struct {
	Text string
	Kind store.FindingKind // "" for all
}

// Select returns the findings of a filter.
func (f Filter) Select(list []store.Finding) []store.Finding {
	words := strings.Fields(strings.ToLower(f.Text))
	return slices.DeleteFunc(slices.Clone(list), func(x store.Finding) bool {
		all := strings.ToLower(strings.Join([]string{x.VM.Name, x.VM.ResourceGroup, x.Target.Name, x.Rule, x.Message}, "\n"))
		return f.Kind != "" && x.Kind != f.Kind || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
	})
}

// rank orders causes by how bad they are.
var rank = map[string]int{"bad": 0, "warn": 1, "note": 2}

// ByCause returns findings by cause: the worst first, those of more findings before others.
func ByCause(list []store.Finding) []Cause {
	by := map[string]int{}
	var out []Cause
	for _, f := range list {
		sum := sha256.Sum256([]byte(string(f.Kind) + "\x00" + f.Target.Key() + "\x00" + f.Rule))
		id := hex.EncodeToString(sum[:6])
		i, known := by[id]
		if !known {
			i = len(out)
			by[id] = i
			out = append(out, Cause{Finding: words.OfFinding(f.Kind), ID: id, kind: f.Kind, Since: f.Since, Adds: f.Kind == store.FindingReachable, at: map[string]int{}})
		}
		out[i].add(f)
	}
	for i := range out {
		out[i].Says = out[i].says()
	}
	slices.SortStableFunc(out, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(rank[a.Level], rank[b.Level]), cmp.Compare(b.Count, a.Count))
	})
	return out
}

// add counts a finding in.
func (c *Cause) add(f store.Finding) {
	c.Count++
	c.about = append(c.about, f)
	if f.Since.Before(c.Since) {
		c.Since = f.Since
	}
	if f.VM.IsZero() || f.Port == 0 {
		c.Lines = append(c.Lines, show.FindingOf(f))
		if f.VM.IsZero() {
			return
		}
	}
	at, known := c.at[f.VM.Key()]
	if !known {
		at = len(c.Machines)
		c.at[f.VM.Key()] = at
		c.Machines = append(c.Machines, Machine{Name: f.VM.Name, Group: f.VM.ResourceGroup, ID: f.VM.String()})
	}
	if f.Port == 0 {
		return
	}
	c.Ports = added(c.Ports, f.Port)
	m := &c.Machines[at]
	m.ports = added(m.ports, f.Port)
	m.Ports = numbers(m.ports)
}

func added(list []uint16, n uint16) []uint16 {
	if at, found := slices.BinarySearch(list, n); !found {
		list = slices.Insert(list, at, n)
	}
	return list
}

func numbers(ports []uint16) string {
	var out []string
	for _, p := range ports {
		out = append(out, fmt.Sprint(p))
	}
	return strings.Join(out, ", ")
}

// says tells of the cause in one line.
func (c Cause) says() string {
	first := c.about[0]
	if c.Count == 1 {
		return words.Sentence(first.Message)
	}
	if len(c.Lines) > 0 {
		if len(c.Machines) > 0 {
			return fmt.Sprintf("%s on %s.", words.Counted(c.Count, "finding", "findings"), words.Counted(len(c.Machines), "machine", "machines"))
		}
		return words.Counted(c.Count, "finding", "findings") + "."
	}
	by := "The rule " + first.Rule
	if strings.Contains(first.Rule, " ") { // the title of a security admin rule
		by = "The " + first.Rule
	}
	if !first.Target.IsZero() {
		by += " of " + first.Target.Name
	}
	what, on := words.Counted(len(c.Ports), "port", "ports"), words.Counted(len(c.Machines), "machine", "machines")
	if len(c.Ports) <= 4 {
		what = "port " + numbers(c.Ports)
		if len(c.Ports) > 1 {
			what = words.Counted(len(c.Ports), "port", "ports") + " (" + numbers(c.Ports) + ")"
		}
	}
	if len(c.Machines) == 1 {
		on = c.Machines[0].Name
	}
	return fmt.Sprintf("%s opens %s on %s.", by, what, on)
}

// Verb gives what somebody must be able to do who can do something about a kind of finding.
func Verb(k store.FindingKind) permit.Verb {
	switch k {
	case store.FindingOverdue, store.FindingBeyond, store.FindingRightLost:
		return permit.VerbRevokeOther
	case store.FindingEnded, store.FindingOpeningFailed:
		return permit.VerbRequest
	case store.FindingReviewOwed:
		return permit.VerbReview
	case store.FindingVMGone:
		return permit.VerbDisable
	}
	return permit.VerbEnable
}

// ForMe notes of each cause whether who looks can do something about it: may tells whether they may do it to a machine or a target, or, of
// neither, to everything. It is asked until it is so of one finding.
func ForMe(causes []Cause, may func(permit.Verb, jit.ID) (bool, error)) error {
	for i, c := range causes {
		for _, f := range c.about {
			at := f.VM
			if at.IsZero() {
				at = f.Target
			}
			ok, err := may(Verb(c.kind), at)
			if err != nil {
				return err
			}
			if ok {
				causes[i].Mine = true
				break
			}
		}
	}
	return nil
}

// NeedMe counts the causes that need whoever looks, and those that need somebody else.
func NeedMe(causes []Cause) (mine, others int) {
	for _, c := range causes {
		switch {
		case c.Level == "note":
		case c.Mine:
			mine++
		default:
			others++
		}
	}
	return mine, others
}
