package form

import (
	"cmp"
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// Difference is a field that is not the same in all policies, and what it is on which machines.
type Difference struct {
	What   string
	Values []string
}

const (
	mostValues = 4 // of a difference
	mostNames  = 3 // of machines beside a value
)

// differences names what is not the same in all policies.
func (b *Bulk) differences() []Difference {
	var out []Difference
	add := func(what string, of func(jit.Policy) string) {
		if d, differ := b.difference(what, of); differ {
			out = append(out, d)
		}
	}
	if len(b.stored) < len(b.vms) {
		d := Difference{What: "Policy"}
		var none []string
		for _, vm := range b.vms {
			if _, has := b.stored[vm.Key()]; !has {
				none = append(none, vm.Name)
			}
		}
		d.Values = []string{"none yet on " + names(none)}
		out = append(out, d)
	}
	numbers := b.numbers()
	for _, n := range numbers[:min(len(numbers), most)] {
		port := func(of func(PortRow) string) func(jit.Policy) string {
			return func(p jit.Policy) string {
				for _, r := range p.Ports {
					if r.Number == n {
						return of(rowsOf([]jit.PortRule{r})[0])
					}
				}
				return ""
			}
		}
		name := fmt.Sprintf("Port %d", n)
		if has := len(b.having(n)); has < len(b.stored) {
			add(name, func(p jit.Policy) string {
				if _, has := p.Port(n); has {
					return "protected"
				}
				return "not named"
			})
		}
		add(name+", protocol", port(func(r PortRow) string { return words.Protocol(jit.Protocol(r.Protocol)) }))
		add(name+", allowed sources", port(func(r PortRow) string { return r.Sources }))
		add(name+", maximum time", port(func(r PortRow) string { return r.Maximum }))
		add(name+", port of the firewall", port(func(r PortRow) string { return cmp.Or(r.Mapped, "any") }))
		add(name+", approvers", port(func(r PortRow) string { return cmp.Or(r.Approvers, "as the machine asks") }))
	}
	demanded(add)
	return out
}

// demanded adds what differs beside the ports.
func demanded(add func(string, func(jit.Policy) string)) {
	add("Address of the firewall", func(p jit.Policy) string { return cmp.Or(ipText(p.PublicAddress), "any") })
	add("Rules that already open these ports", func(p jit.Policy) string {
		return map[jit.ExistingRules]string{jit.Override: "closed in any case", jit.Respect: "left open"}[p.ExistingRules]
	})
	add("Every address at once", func(p jit.Policy) string { return either(p.OwnOptions().ForbidAnySource, "refused", "allowed") })
	add("Justification", func(p jit.Policy) string { return either(p.OwnOptions().RequireJustification, "needed", "not needed") })
	add("Widest IPv4 range", func(p jit.Policy) string { return cmp.Or(slash(p.OwnOptions().WidestIPv4), "no bound") })
	add("Widest IPv6 range", func(p jit.Policy) string { return cmp.Or(slash(p.OwnOptions().WidestIPv6), "no bound") })
	add("Approvers", func(p jit.Policy) string { return cmp.Or(number(p.OwnOptions().Approvers), "none") })
	add("Who may approve", func(p jit.Policy) string { return cmp.Or(p.OwnOptions().ApprovedBy.String(), "nobody is named") })
}

func either(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

// difference gives what a field is on which machines, "" where a policy does not have it, and whether it differs.
func (b *Bulk) difference(what string, of func(jit.Policy) string) (Difference, bool) {
	var values []string
	on := map[string][]string{}
	for _, vm := range b.vms {
		p, has := b.stored[vm.Key()]
		if !has {
			continue
		}
		value := of(p)
		if value == "" {
			continue
		}
		if on[value] == nil {
			values = append(values, value)
		}
		on[value] = append(on[value], vm.Name)
	}
	d := Difference{What: what}
	for i, value := range values {
		if i == mostValues && len(values) > mostValues+1 {
			d.Values = append(d.Values, fmt.Sprintf("%d other values", len(values)-i))
			break
		}
		d.Values = append(d.Values, fmt.Sprintf("%s on %s", value, names(on[value])))
	}
	return d, len(values) > 1
}

// names writes the first of a list of machines and how many there are beside.
func names(list []string) string {
	if len(list) <= mostNames {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:mostNames-1], ", "), len(list)-mostNames+1)
}
