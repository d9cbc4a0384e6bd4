// Package side looks at a machine from all the security groups that guard it: what closes its ports, what opens them, and what keeps windows
// from being opened. It takes plans that were computed and gives what they mean together; it knows nothing of stores, and changes nothing.
package side

import (
	"fmt"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/roster"
)

// Group is one of the security groups that guard a machine. Traffic has to pass all of them, so a port is closed
// where one of them closes it, and can be opened only where all of them have room.
type Group struct {
	Target   jit.ID
	Policies []roster.Protected
	Plan     *plan.Plan
}

// Hindrance is why a port of a machine is not protected as its policy says, or could not be opened once it is.
type Hindrance struct {
	VM     jit.ID
	Port   uint16 // 0 for all
	Target jit.ID
	Kind   Kind
	Err    *jit.Error
}

// Kind says what is wrong.
type Kind int

// The kinds of hindrance.
const (
	Unplaced Kind = iota // a deny does not stand at all
	Open                 // a foreign allow opens the port ahead of the deny, in each security group
	Locked               // the deny stands where a window should
	NoRoom               // others leave no room for a window of the port, whoever asks
)

// Hindrances returns what is wrong with the protection of a machine, by side and port. What a policy of existing rules
// respect leaves open is not wrong.
func Hindrances(sides []Group, vm jit.ID) []Hindrance {
	var out []Hindrance
	for _, s := range sides {
		p, ok := s.of(vm)
		if !ok {
			continue
		}
		add := func(kind Kind, port uint16, err *jit.Error) {
			err = &jit.Error{Code: err.Code, Target: s.Target.String(), Message: err.Message}
			if port != 0 {
				err.Message = fmt.Sprintf("port %d of %s: %s", port, vm.Name, err.Message)
			}
			out = append(out, Hindrance{VM: vm, Port: port, Target: s.Target, Kind: kind, Err: err})
		}
		for _, r := range s.Plan.Refused {
			if r.Grant == "" && r.By == nil {
				add(Unplaced, 0, r.Err)
			}
		}
		for _, f := range s.Plan.Exposed {
			if f.VM.Equal(vm) && p.Policy.ExistingRules == jit.Override && !ClosedElsewhere(sides, s.Target, vm, f.Port) {
				add(Open, f.Port, whyOpen(s.Plan, f))
			}
		}
		for _, r := range s.Plan.Tight {
			if guards(s.Plan, r.Rule, p.Addresses) {
				add(Locked, 0, r.Err)
			}
		}
		for _, short := range s.Plan.Short {
			if short.VM.Equal(vm) {
				add(NoRoom, short.Port, short.Err)
			}
		}
	}
	return out
}

// ClosedElsewhere reports whether another security group than one closes a port of a machine at all the addresses that
// it guards.
func ClosedElsewhere(sides []Group, target, vm jit.ID, port uint16) bool {
	i := slices.IndexFunc(sides, func(s Group) bool { return s.Target.Equal(target) })
	if i < 0 {
		return false
	}
	here, known := sides[i].of(vm)
	return known && slices.ContainsFunc(sides, func(s Group) bool {
		p, ok := s.of(vm)
		covers := func(a netip.Addr) bool { return slices.Contains(p.Addresses, a) }
		return ok && !s.Target.Equal(target) && !slices.ContainsFunc(here.Addresses, func(a netip.Addr) bool { return !covers(a) }) && closes(s.Plan, vm, port)
	})
}

// of returns a machine's policy at the side.
func (s Group) of(vm jit.ID) (roster.Protected, bool) {
	i := slices.IndexFunc(s.Policies, func(p roster.Protected) bool { return p.Policy.VM.Equal(vm) })
	if i < 0 {
		return roster.Protected{}, false
	}
	return s.Policies[i], true
}

// closes reports whether nothing but windows opens a port of a machine, as far as a plan goes.
func closes(p *plan.Plan, vm jit.ID, port uint16) bool {
	return !slices.ContainsFunc(p.Exposed, func(f plan.Foreign) bool { return f.VM.Equal(vm) && f.Port == port }) &&
		!slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Grant == "" && r.By == nil })
}

// guards reports whether the rule of a name is for one of the addresses.
func guards(p *plan.Plan, name string, addrs []netip.Addr) bool {
	i := slices.IndexFunc(p.Rules, func(r jit.Rule) bool { return r.Name == name })
	return i >= 0 && slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		return slices.Contains(p.Rules[i].Destination.Prefixes, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
	})
}

// whyOpen says why no deny of ours outranks a foreign rule.
func whyOpen(p *plan.Plan, f plan.Foreign) *jit.Error {
	for _, r := range p.Refused {
		if r.By != nil && r.By.Name == f.Rule.Name {
			return r.Err
		}
	}
	return &jit.Error{Code: plan.CodeNoPriorityLeft, Message: fmt.Sprintf("the rule %s (priority %d) opens port %d of %s ahead of our deny", f.Rule.Name, f.Rule.Priority, f.Port, f.VM.Name)}
}
