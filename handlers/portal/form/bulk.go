package form

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"portcullis/core/jit"
)

// leave is what a field of a form says that leaves each policy as it is; a field of text says it by being empty.
const leave = "leave"

// everywhere is what a row says whose port is put on machines that do not have it.
const everywhere = "all"

// most is how many ports the form for several policies has rows for. Each policy keeps those that have none.
const most = jit.MaxPorts

// Bulk is what a form for machines with different policies knows of them. What is left as it is stays so on each machine.
type Bulk struct {
	vms         []jit.ID
	stored      map[string]jit.Policy // by jit.ID.Key
	strictest   jit.Options           // of all of them: what a machine without a policy gets where a field is left as it is
	sent        []jit.Policy          // as they were last read from the form
	Gone        []string              // ports that are to be removed from all
	Differences []Difference
	More        int // ports that have no row
}

// FormOf returns the form of machines with the policies that there are of them, by jit.ID.Key.
func FormOf(vms []jit.ID, policies map[string]jit.Policy, floor jit.Options) Policy {
	if len(policies) == 0 {
		return NewPolicy(floor)
	}
	var stored []jit.Policy
	for _, vm := range vms {
		if p, has := policies[vm.Key()]; has {
			stored = append(stored, p)
		}
	}
	first := PolicyOf(stored[0], floor)
	if len(stored) == len(vms) && !slices.ContainsFunc(stored, func(p jit.Policy) bool { return !reflect.DeepEqual(PolicyOf(p, floor), first) }) {
		return first
	}
	v := Policy{Wrong: Wrongs{}, Bulk: bulkOf(vms, policies)}
	v.Existing = same(stored, leave, func(p jit.Policy) string { return p.ExistingRules.String() })
	v.PublicIP = same(stored, "", func(p jit.Policy) string { return ipText(p.PublicAddress) })
	v.Demands = demandsOf(jit.Options{}, floor)
	o := func(of func(jit.Options) string) func(jit.Policy) string {
		return func(p jit.Policy) string { return of(p.OwnOptions()) }
	}
	refuses := same(stored, leave, o(func(o jit.Options) string { return strconv.FormatBool(o.ForbidAnySource) }))
	why := same(stored, leave, o(func(o jit.Options) string { return strconv.FormatBool(o.RequireJustification) }))
	v.Demands.Any, v.Demands.Why, v.Demands.KeepAny, v.Demands.KeepWhy = refuses == "true", why == "true", refuses == leave, why == leave
	v.Demands.V4 = same(stored, "", o(func(o jit.Options) string { return slash(o.WidestIPv4) }))
	v.Demands.V6 = same(stored, "", o(func(o jit.Options) string { return slash(o.WidestIPv6) }))
	v.Demands.N = same(stored, leave, o(func(o jit.Options) string { return number(o.Approvers) }))
	v.Demands.By = same(stored, leave, o(func(o jit.Options) string { return o.ApprovedBy.String() }))
	v.Rows = v.Bulk.rows()
	return v
}

// ReadForm reads the form of machines as it was sent. Whether it is one for several policies is what was drawn, and says so itself.
func ReadForm(f url.Values, vms []jit.ID, policies map[string]jit.Policy, floor jit.Options) Policy {
	v := ReadPolicy(f, floor)
	if !f.Has("bulk") {
		return v
	}
	v.Bulk = bulkOf(vms, policies)
	v.Bulk.Gone = f["gone"]
	for i := range v.Rows {
		v.Bulk.mark(&v.Rows[i])
	}
	return v
}

func bulkOf(vms []jit.ID, policies map[string]jit.Policy) *Bulk {
	b := &Bulk{vms: vms, stored: policies}
	for _, p := range policies {
		b.strictest = b.strictest.With(p.OwnOptions())
	}
	b.More = max(0, len(b.numbers())-most)
	b.Differences = b.differences()
	return b
}

// same gives what a field is in all of them, or other.
func same[T any](list []T, other string, field func(T) string) string {
	for _, x := range list {
		if field(x) != field(list[0]) {
			return other
		}
	}
	return field(list[0])
}

// numbers are the ports that some policy names, in their order.
func (b *Bulk) numbers() []uint16 {
	var out []uint16
	known := map[uint16]bool{}
	for _, vm := range b.vms {
		for _, r := range b.stored[vm.Key()].Ports {
			if !known[r.Number] {
				known[r.Number] = true
				out = append(out, r.Number)
			}
		}
	}
	return out
}

// having gives the rows of a port of those policies that name it.
func (b *Bulk) having(n uint16) []PortRow {
	var out []PortRow
	for _, vm := range b.vms {
		p := b.stored[vm.Key()]
		if i := slices.IndexFunc(p.Ports, func(r jit.PortRule) bool { return r.Number == n }); i >= 0 {
			out = append(out, rowsOf(p.Ports)[i])
		}
	}
	return out
}

func (b *Bulk) rows() []PortRow {
	var out []PortRow
	numbers := b.numbers()
	for i, n := range numbers[:min(len(numbers), most)] {
		has := b.having(n)
		row := PortRow{Index: i, Number: strconv.Itoa(int(n)), Where: leave}
		row.Protocol = same(has, "", func(r PortRow) string { return r.Protocol })
		row.Sources = same(has, "", func(r PortRow) string { return r.Sources })
		row.Maximum = same(has, "", func(r PortRow) string { return r.Maximum })
		row.Mapped = same(has, "", func(r PortRow) string { return r.Mapped })
		row.Approvers = same(has, leave, func(r PortRow) string { return r.Approvers })
		b.mark(&row)
		out = append(out, row)
	}
	return out
}

// mark notes in a row on how many machines its port is.
func (b *Bulk) mark(row *PortRow) {
	n, err := strconv.ParseUint(strings.TrimSpace(row.Number), 10, 16)
	if err != nil {
		return
	}
	if has := len(b.having(uint16(n))); has > 0 {
		row.Fixed, row.On = true, fmt.Sprintf("on %d of %d", has, len(b.vms))
		row.Some = has < len(b.vms)
	}
}

// bulk reads the form as policies of the machines. A machine without one gets one of the ports that are put on all, or none.
func (v *Policy) bulk(vms []jit.ID) []jit.Policy {
	asks := v.ports()
	v.Bulk.sent = nil
	for _, vm := range vms {
		p, has := v.Bulk.stored[vm.Key()]
		p.VM = vm
		own := p.OwnOptions()
		if !has {
			own = v.Bulk.strictest
		}
		options := v.Demands.bulk(own, v.Wrong)
		p.Options = &options
		v.Bulk.others(v, &p)
		var ports []jit.PortRule
		for _, old := range p.Ports {
			if i := slices.IndexFunc(asks, func(a asked) bool { return a.rule.Number == old.Number }); i >= 0 {
				ports = append(ports, asks[i].over(old))
			} else if !slices.Contains(v.Bulk.Gone, strconv.Itoa(int(old.Number))) {
				ports = append(ports, old)
			}
		}
		for _, a := range asks {
			if _, there := p.Port(a.rule.Number); !there && a.row.Where == everywhere {
				ports = append(ports, a.anew(v, vm))
			}
		}
		if p.Ports = ports; has || len(ports) > 0 {
			v.Bulk.sent = append(v.Bulk.sent, p)
		}
	}
	return v.Bulk.sent
}

// others reads into a policy the fields beside ports and demands.
func (b *Bulk) others(v *Policy, p *jit.Policy) {
	if v.Existing != leave {
		existing, err := jit.ParseExistingRules(v.Existing)
		v.Wrong.Put("existing", err)
		p.ExistingRules = existing
	}
	switch text := strings.TrimSpace(v.PublicIP); text {
	case "":
	case "any":
		p.PublicAddress = address("", v.Wrong)
	default:
		p.PublicAddress = address(text, v.Wrong)
	}
}

// asked is a row that was read: what of it is left as it is says the row.
type asked struct {
	row  PortRow
	rule jit.PortRule
}

// ports reads the rows.
func (v *Policy) ports() []asked {
	var out []asked
	for _, row := range v.Rows {
		full := row // what is left as it is reads as something that is right
		for field, right := range map[*string]string{&full.Protocol: string(jit.AnyProtocol), &full.Sources: "any", &full.Maximum: "1 h"} {
			if strings.TrimSpace(*field) == "" {
				*field = right
			}
		}
		if full.Mapped == "any" {
			full.Mapped = ""
		}
		if full.Approvers == leave {
			full.Approvers = ""
		}
		a := asked{row, v.rule(full)}
		if slices.ContainsFunc(out, func(b asked) bool { return b.rule.Number == a.rule.Number }) {
			v.Wrong.Put(fmt.Sprintf("number-%d", row.Index), &jit.Error{Message: fmt.Sprintf("port %d has a row already", a.rule.Number)})
		}
		out = append(out, a)
	}
	return out
}

// over writes what the row says over a port of a policy.
func (a asked) over(old jit.PortRule) jit.PortRule {
	rule := a.rule
	if a.row.Protocol == "" {
		rule.Protocol = old.Protocol
	}
	if strings.TrimSpace(a.row.Sources) == "" {
		rule.Sources = old.Sources
	}
	if strings.TrimSpace(a.row.Maximum) == "" {
		rule.Maximum = old.Maximum
	}
	if strings.TrimSpace(a.row.Mapped) == "" {
		rule.Mapped = old.Mapped
	}
	if a.row.Approvers == leave {
		rule.Approvers = old.Approvers
	}
	return rule
}

// anew gives the port as a machine gets it that did not have it: there is nothing to leave as it is, but for who must approve, of which it gets the strictest.
func (a asked) anew(v *Policy, vm jit.ID) jit.PortRule {
	for name, text := range map[string]string{"protocol": a.row.Protocol, "sources": a.row.Sources, "maximum": a.row.Maximum} {
		if strings.TrimSpace(text) == "" {
			v.Wrong.Put(fmt.Sprintf("%s-%d", name, a.row.Index), &jit.Error{Message: fmt.Sprintf("say what it is to be: %s does not have this port yet", vm.Name)})
		}
	}
	rule := a.rule
	if a.row.Approvers == leave {
		for _, p := range v.Bulk.stored {
			old, _ := p.Port(rule.Number)
			rule.Approvers = max(rule.Approvers, old.Approvers)
		}
	}
	return rule
}

// place finds in the form what a refusal of what was sent points at.
func (b *Bulk) place(target string, rows []PortRow) place {
	var vms []jit.ID
	for _, p := range b.sent {
		vms = append(vms, p.VM)
	}
	at := locate(target, vms)
	if at.vm < 0 {
		return at
	}
	p := b.sent[at.vm]
	at.vm = slices.IndexFunc(b.vms, p.VM.Equal)
	if at.port >= 0 && at.port < len(p.Ports) {
		n := strconv.Itoa(int(p.Ports[at.port].Number))
		at.port = slices.IndexFunc(rows, func(r PortRow) bool { return strings.TrimSpace(r.Number) == n })
	}
	return at
}
