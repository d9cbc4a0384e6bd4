package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"portcullis/core/dial"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/reach"
	"portcullis/core/roster"
)

// MaxNATRules is how many public addresses and NAT rules one firewall holds together
// (Azure's documentation of firewalls with several public addresses).
const MaxNATRules = 250

// CodeTooManyNATRules refuses a rule of a firewall that holds 250 rules and addresses. The other refusals are those of package dial.
const CodeTooManyNATRules jit.Code = "TooManyNatRules"

// Translate returns the NAT rules that should stand on one firewall at in.Now and the
// changes that lead there. It is what [Compute] is for a security group, and never changes a
// rule that is not ours either. For every window of a machine behind the firewall:
//
//	live  mapped  port of the firewall                        action
//	no    -       -                                           none stands; one that does is deleted
//	yes   no      -                                           none: nobody dials it at the firewall
//	yes   yes     at an address that the firewall has not     refused
//	yes   yes     another window has it, which stands         refused
//	yes   yes     a foreign rule has it, ours does not stand  refused
//	yes   yes     a foreign rule has it, ours stands          kept, told in Blocked
//	yes   yes     free                                        one rule: sources -> address and port there, to the machine's first IPv4 address and port
//
// There is one rule for each grant, machine, port, set of sources and end, since NAT leads to
// one address and port. A refusal leaves out its whole grant. There are no denies: a
// firewall maps nothing but what a rule says, so that policies want no rule there. A foreign
// rule that leads to a protected port of a machine is told in Exposed: what it lets in
// comes from the firewall's own subnet, as that of a window does.
//
// Who else takes the same connections is told by addresses, protocols and ports alone, not by
// sources. A foreign rule that leads to a name and not to an address is not known to lead anywhere.
func Translate(in Input) Plan {
	ours, foreign := apart(in.Current)
	p := in.plan(ours, nil, translations, func(open []*wanted) ([]placed, []Refusal) { return in.translate(ours, foreign, open) })
	p.Exposed = leading(in.Policies, foreign)
	for i := range p.Rules {
		r := &p.Rules[i]
		if f := taker(foreign, r); f != nil {
			grant, _ := label.GrantOf(r.Name)
			p.Blocked = append(p.Blocked, Blocked{Grant: grant, Rule: r.Name, Block: reach.Block{By: []jit.Rule{*f}, Whole: reach.Maybe}})
		}
	}
	return p
}

// translations returns the NAT rules that the live grants want at now.
func translations(openings []roster.Opening, now time.Time) []*wanted {
	rivals := rivalsOf(openings)
	var out []*wanted
	for i := range openings {
		o := &openings[i]
		for _, vm := range o.Grant.VMs {
			to := family(o.Addresses[vm.VM.Key()], false)
			if len(to) == 0 {
				continue
			}
			for _, w := range vm.Ports {
				from := sourcesOf(w.Sources, false)
				if w.Mapped.IsValid() && !from.IsEmpty() && o.Grant.Desired(vm.VM, w, now, rivals[rivalOf(vm.VM, w)]) {
					out = append(out, &wanted{rule: translation(o.Grant.ID, vm.VM, w, from, to[0]), grant: o.Grant.ID, start: o.Grant.Begins(), owner: dial.Owner(vm.VM, w.Number), open: o.Grant.AnyOpen(now)})
				}
			}
		}
	}
	slices.SortFunc(out, byStart)
	return out
}

func translation(grant string, vm jit.ID, w jit.Window, from jit.Sources, to netip.Addr) jit.Rule {
	id := "nat protocol=" + string(w.Protocol) + " sources=" + from.String() + " port=" + strconv.Itoa(int(w.Number)) + " vm=" + vm.Key()
	r := jit.Rule{Name: label.AllowName(grant, id), Access: jit.Allow, Protocol: w.Protocol, Source: peersOf(from), Description: label.AllowNote(w.End, []string{vm.Name}), Translated: netip.AddrPortFrom(to, w.Number)}
	return finish(r, []netip.Addr{w.Mapped.Addr()}, []uint16{w.Mapped.Port()})
}

// translate returns the rules that may stand: those of grants that stand already come first.
func (in Input) translate(ours named, foreign []*jit.Rule, open []*wanted) (stay []placed, refused []Refusal) {
	owners := map[netip.AddrPort]string{}
	stands := func(w *wanted) bool { return ours.find(w.rule.Name) != nil }
	for rules := range byGrant(open, stands) {
		i := slices.IndexFunc(rules, func(w *wanted) bool {
			err := in.fits(w, foreign, stands(w), owners, len(in.Public)+len(foreign)+len(stay)+len(rules))
			if err != nil {
				refused = append(refused, Refusal{Grant: w.grant, Rule: w.rule.Name, Err: err})
			}
			return err != nil
		})
		if i >= 0 {
			continue
		}
		for _, w := range rules {
			owners[mappedOf(&w.rule)] = w.owner
			stay = append(stay, placed{rule: &w.rule})
		}
	}
	return stay, refused
}

// mappedOf returns the address and port of the firewall that a rule of ours, as we make it, takes.
func mappedOf(r *jit.Rule) netip.AddrPort {
	return netip.AddrPortFrom(r.Destination.Prefixes[0].Addr(), r.DestinationPorts[0].First)
}

func (in Input) fits(w *wanted, foreign []*jit.Rule, stands bool, owners map[netip.AddrPort]string, held int) *jit.Error {
	at := mappedOf(&w.rule)
	if !slices.Contains(in.Public, at.Addr()) {
		return &jit.Error{Code: dial.CodePublicAddressNotFound, Message: fmt.Sprintf("the firewall does not have the public address %s (any more); ask again", at.Addr())}
	}
	if o, ok := owners[at]; ok && o != w.owner {
		return &jit.Error{Code: dial.CodeMappedPortTaken, Message: fmt.Sprintf("port %d of the firewall leads to another machine or port already; ask again", at.Port())}
	}
	if stands {
		return nil
	}
	if f := taker(foreign, &w.rule); f != nil {
		return dial.Taken(at.Port())
	}
	if held > MaxNATRules {
		return &jit.Error{Code: CodeTooManyNATRules, Message: fmt.Sprintf("the firewall holds %d public addresses and NAT rules, the most that Azure allows", MaxNATRules)}
	}
	return nil
}

// taker returns a foreign rule that takes connections that the rule is for. A rule of ours that others
// have edited, and that is kept while its grant is lost, may be for any.
func taker(foreign []*jit.Rule, r *jit.Rule) *jit.Rule {
	if len(r.Destination.Prefixes) != 1 || len(r.DestinationPorts) != 1 {
		return nil
	}
	return dial.Taker(foreign, mappedOf(r), r.Protocol)
}

// leading returns the foreign rules that lead to protected ports, sorted.
func leading(policies []roster.Protected, foreign []*jit.Rule) []Foreign {
	var found []bearer
	for _, p := range policies {
		for _, port := range p.Policy.Ports {
			for _, f := range foreign {
				if f.Translated.Port() == port.Number && f.Protocol.Overlaps(port.Protocol) && slices.Contains(p.Addresses, f.Translated.Addr()) {
					found = append(found, bearer{vm: p.Policy.VM, key: p.Policy.VM.Key(), port: port.Number, rule: f, open: true})
				}
			}
		}
	}
	_, exposed := foreignOf(found)
	return exposed
}
