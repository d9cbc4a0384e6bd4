package wire

import (
	"fmt"
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/api"
)

// Sources reads the singular or the plural field; both are refused. Neither gives the empty set.
func Sources(prefix *string, prefixes []string, at string) (jit.Sources, error) {
	if prefix != nil && prefixes != nil {
		return jit.Sources{}, &jit.Error{Code: jit.CodeInvalidSource, Target: at + ".allowedSourceAddressPrefix", Message: "allowedSourceAddressPrefix and allowedSourceAddressPrefixes exclude each other"}
	}
	if prefix != nil {
		s, err := jit.ParseSources(*prefix)
		return s, Below(err, at+".allowedSourceAddressPrefix")
	}
	s, err := jit.ParseSources(prefixes...)
	return s, Below(err, at+".allowedSourceAddressPrefixes")
}

// PublicIP reads the address of a firewall that a policy pins; "" pins none.
func PublicIP(text, at string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return netip.Addr{}, &jit.Error{Code: jit.CodeInvalidPublicAddress, Target: at + ".publicIpAddress", Message: fmt.Sprintf("%.60q is not an IPv4 address", text)}
	}
	return a, nil
}

// toPortRule reads a port of a policy. Protocol, source and maximum left out are
// Defender's: any, any, three hours.
func toPortRule(p PortRule, at string) (jit.PortRule, error) {
	rule := jit.PortRule{Protocol: jit.AnyProtocol, Sources: jit.AnySource(), Maximum: 3 * time.Hour, Mapped: p.Mapped, Approvers: p.Approvers}
	var err error
	if rule.Number, err = portNumber(p.Number, at); err != nil {
		return rule, err
	}
	if p.Protocol != "" {
		if rule.Protocol, err = jit.ParseProtocol(p.Protocol); err != nil {
			return rule, Below(err, at)
		}
	}
	if p.Prefix != nil || p.Prefixes != nil {
		if rule.Sources, err = Sources(p.Prefix, p.Prefixes, at); err != nil {
			return rule, err
		}
	}
	if p.Maximum != "" {
		if rule.Maximum, err = ParseDuration(p.Maximum, at+".maxRequestAccessDuration"); err != nil {
			return rule, err
		}
	}
	return rule, nil
}

// ReadEach reads a list at a place of a body, item by item, each with its own place. The first error ends it.
func ReadEach[In, Out any](list []In, at string, read func(item In, at string) (Out, error)) ([]Out, error) {
	var out []Out
	for i, item := range list {
		one, err := read(item, fmt.Sprintf("%s[%d]", at, i))
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// Requested reads what is asked for, which each face writes in types of its own: the justification first, then machine by machine its
// id and its ports, each port by read.
func Requested[VM, Port any](justification string, vms []VM, parts func(VM) (id string, ports []Port), read func(port Port, at string) (jit.RequestPort, error)) (out jit.Request, err error) {
	if out.Justification, err = jit.Justification(justification); err != nil {
		return out, err
	}
	out.VMs, err = ReadEach(vms, MachinesField, func(vm VM, at string) (jit.RequestVM, error) {
		text, ports := parts(vm)
		id, err := jit.ParseVM(text)
		if err != nil {
			return jit.RequestVM{}, Below(err, at+".id")
		}
		asked, err := ReadEach(ports, at+".ports", read)
		return jit.RequestVM{VM: id, Ports: asked}, err
	})
	return out, err
}

// Request reads a request; own is the caller's address, the source of ports that name none.
func (b RequestBody) Request(own netip.Addr) (jit.Request, error) {
	kind, err := jit.BreakGlassOf(b.BreakGlass, b.Drill)
	if err != nil {
		return jit.Request{}, err
	}
	out, err := Requested(b.Justification, b.VirtualMachines, func(vm api.RequestVM) (string, []RequestPort) { return vm.ID, vm.Ports },
		func(port RequestPort, at string) (jit.RequestPort, error) { return ToPort(port, own, at) })
	if err != nil {
		return out, err
	}
	out.BreakGlass = kind
	out.Opens, err = Start(b.Start)
	return out, err
}

// Start reads from when a request is to be open; the zero time where nothing is said.
func Start(text *string) (time.Time, error) {
	const target = "startTimeUtc"
	if text == nil {
		return time.Time{}, nil
	}
	at, err := ParseTime(*text, target)
	if err == nil {
		return at, nil
	}
	if _, missing := ParseTime(*text+"Z", target); missing == nil {
		return at, &jit.Error{Code: CodeStartNoOffset, Target: target, Message: fmt.Sprintf("%.40q does not say in which zone it is; write Z for UTC after it, or the offset, such as +02:00", *text)}
	}
	return at, &jit.Error{Code: CodeInvalidStart, Target: target, Message: fmt.Sprintf("%.40q is not a time of RFC 3339 such as 2026-01-02T15:04:05Z, or with an offset 2026-01-02T16:04:05+01:00", *text)}
}

// ToPort reads a port; own is the caller's address, the source where the port names none and the address is known.
func ToPort(p RequestPort, own netip.Addr, at string) (jit.RequestPort, error) {
	var out jit.RequestPort
	var err error
	if out.Number, err = portNumber(p.Number, at); err != nil {
		return out, err
	}
	if out.Duration, out.End, err = Ending(p.Duration, p.End, at); err != nil {
		return out, err
	}
	if p.Prefix == nil && p.Prefixes == nil && own.IsValid() {
		out.Sources = jit.SourcesOf(netip.PrefixFrom(own, own.BitLen()))
		return out, nil
	}
	out.Sources, err = Sources(p.Prefix, p.Prefixes, at)
	return out, err
}

// Ending reads the two ways to say when something ends; that there is exactly
// one is decided inside.
func Ending(length, end *string, at string) (d time.Duration, t time.Time, err error) {
	if at != "" {
		at += "."
	}
	if length != nil {
		if d, err = ParseDuration(*length, at+"duration"); err != nil {
			return d, t, err
		}
	}
	if end != nil {
		t, err = ParseTime(*end, at+"endTimeUtc")
	}
	return d, t, err
}

// Policies reads the policies; a machine without ports gets [jit.DefaultPorts].
func (b EnableBody) Policies() ([]jit.Policy, error) {
	return ReadEach(b.VirtualMachines, MachinesField, func(vm EnableVM, at string) (jit.Policy, error) {
		p, err := ToPolicy(vm, at)
		if vm.Ports == nil {
			p.Ports = jit.DefaultPorts()
		}
		return p, err
	})
}

// toOptions reads options; nil where nothing is said of them. A list of approvers that names nobody says something else than none, and is refused.
func toOptions(o *Options) (*jit.Options, error) {
	if o == nil {
		return nil, nil
	}
	out := &jit.Options{ForbidAnySource: o.ForbidAnySource, WidestIPv4: o.WidestIPv4Prefix, WidestIPv6: o.WidestIPv6Prefix, RequireJustification: o.RequireJustification, Approvers: o.Approvers}
	if o.ApproverObjectIDs != nil && len(o.ApproverObjectIDs) == 0 {
		return nil, &jit.Error{Code: jit.CodeInvalidApprovers, Target: "approverObjectIds", Message: "the list names nobody; leave it out where everybody counts who may approve"}
	}
	people, err := jit.PeopleOf(o.ApproverObjectIDs...)
	out.ApprovedBy = people
	return out, Below(err, "approverObjectIds")
}

// ToPolicy reads what a body says of a machine, without ports where it says nothing of them.
func ToPolicy(vm EnableVM, at string) (jit.Policy, error) {
	id, err := jit.ParseVM(vm.ID)
	if err != nil {
		return jit.Policy{}, Below(err, at+".id")
	}
	p := jit.Policy{VM: id}
	if p.ExistingRules, err = jit.ParseExistingRules(vm.ExistingRules); err != nil {
		return p, Below(err, at)
	}
	if p.Options, err = toOptions(vm.Options); err != nil {
		return p, Below(err, at+".options")
	}
	if p.PublicAddress, err = PublicIP(vm.PublicIP, at); err != nil {
		return p, err
	}
	p.Ports, err = ReadEach(vm.Ports, at+".ports", toPortRule)
	return p, err
}
