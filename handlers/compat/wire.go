package compat

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// typeJIT is the type of every policy.
const typeJIT = "Microsoft.Security/locations/jitNetworkAccessPolicies"

// What comes in. Only what counts is declared: id, name, type, location, kind
// and requests, which clients send back as they got them, are passed over. A
// request comes into being by initiate alone.

type putBody struct {
	Properties *Properties `json:"properties"`
}

// Properties are what a policy says, as clients send it.
type Properties struct {
	VirtualMachines []VM `json:"virtualMachines"`
}

// VM is a machine of a policy, as clients send it.
type VM struct {
	ID       string     `json:"id"`
	Ports    []portRule `json:"ports"`
	PublicIP string     `json:"publicIpAddress"`
}

type portRule struct {
	Number   jsontext.Value `json:"number"` // 22 or "22": azapi sends texts
	Protocol string         `json:"protocol"`
	Prefix   *string        `json:"allowedSourceAddressPrefix"`
	Prefixes []string       `json:"allowedSourceAddressPrefixes"`
	Maximum  string         `json:"maxRequestAccessDuration"`
}

type initiateBody struct {
	VirtualMachines []initiateVM `json:"virtualMachines"`
	Justification   string       `json:"justification"`
}

type initiateVM struct {
	ID    string         `json:"id"`
	Ports []initiatePort `json:"ports"`
}

type initiatePort struct {
	Number   jsontext.Value `json:"number"`
	Duration *string        `json:"duration"`
	End      *string        `json:"endTimeUtc"`
	Prefix   *string        `json:"allowedSourceAddressPrefix"`
	Prefixes []string       `json:"allowedSourceAddressPrefixes"`
}

// portNumber reads a port that is written as a number or as a text of digits.
func portNumber(v jsontext.Value, at string) (uint16, error) {
	text := string(v)
	if v.Kind() == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return 0, &jit.Error{Code: jit.CodeInvalidPort, Target: at, Message: "the port is not a number from 0 to 65535"}
		}
		text = string(unquoted)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, &jit.Error{Code: jit.CodeInvalidPort, Target: at, Message: fmt.Sprintf("the port %.20q is not a number from 0 to 65535", text)}
	}
	return uint16(n), nil
}

// oneForm drops an empty list beside a single prefix: clients that write every
// field write both.
func oneForm(prefix *string, prefixes []string) []string {
	if prefix != nil && len(prefixes) == 0 {
		return nil
	}
	return prefixes
}

// policies reads the machines of a policy.
func (b putBody) policies() ([]jit.ValidPolicy, error) {
	if b.Properties == nil || b.Properties.VirtualMachines == nil {
		return nil, &jit.Error{Code: wire.CodeInvalidContent, Target: "properties.virtualMachines", Message: "properties.virtualMachines is missing; an empty list takes every machine out of the policy"}
	}
	return wire.ReadEach(b.Properties.VirtualMachines, "properties.virtualMachines", VM.Policy)
}

// Policy reads a machine of a policy; at is its place in the body, for refusals.
func (vm VM) Policy(at string) (jit.ValidPolicy, error) {
	id, err := jit.ParseVM(vm.ID)
	if err != nil {
		return jit.ValidPolicy{}, wire.Below(err, at+".id")
	}
	p := jit.Policy{VM: id}
	if p.PublicAddress, err = wire.PublicIP(vm.PublicIP, at); err != nil {
		return jit.ValidPolicy{}, err
	}
	if p.Ports, err = wire.ReadEach(vm.Ports, at+".ports", portRule.rule); err != nil {
		return jit.ValidPolicy{}, err
	}
	checked, err := p.Validate()
	return checked, wire.Below(err, at)
}

// rule reads a port of a policy. The contract requires number, protocol and
// maximum; a source that is left out is any.
func (port portRule) rule(at string) (jit.PortRule, error) {
	var rule jit.PortRule
	var err error
	if rule.Number, err = portNumber(port.Number, at+".number"); err != nil {
		return rule, err
	}
	if rule.Protocol, err = jit.ParseProtocol(port.Protocol); err != nil {
		return rule, wire.Below(err, at)
	}
	if rule.Maximum, err = wire.ParseDuration(port.Maximum, at+".maxRequestAccessDuration"); err != nil {
		return rule, err
	}
	rule.Sources = jit.AnySource()
	if prefixes := oneForm(port.Prefix, port.Prefixes); port.Prefix != nil || prefixes != nil {
		rule.Sources, err = wire.Sources(port.Prefix, prefixes, at)
	}
	return rule, err
}

// request reads an initiate; own is the caller's address, the source of ports that name none.
func (b initiateBody) request(own netip.Addr) (jit.Request, error) {
	return wire.Requested(b.Justification, b.VirtualMachines, func(vm initiateVM) (string, []initiatePort) { return vm.ID, vm.Ports },
		func(port initiatePort, at string) (jit.RequestPort, error) {
			n, err := portNumber(port.Number, at+".number")
			if err != nil {
				return jit.RequestPort{}, err
			}
			plain := wire.RequestPort{Number: n, Duration: port.Duration, End: port.End, Prefix: port.Prefix, Prefixes: port.Prefixes}
			if len(plain.Prefixes) == 0 {
				plain.Prefixes = nil
			}
			return plain.Port(own, at)
		})
}

// What goes out.

type policy struct {
	Kind       string `json:"kind"`
	Properties answer `json:"properties"`
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Location   string `json:"location"`
}

type answer struct {
	VirtualMachines   []VMAnswer `json:"virtualMachines"`
	Requests          []request  `json:"requests"`
	ProvisioningState string     `json:"provisioningState"`
}

// VMAnswer is a machine of a policy, as it is answered.
type VMAnswer struct {
	ID       string          `json:"id"`
	Ports    []wire.PortRule `json:"ports"`
	PublicIP string          `json:"publicIpAddress,omitempty"`
}

type request struct {
	VirtualMachines []requestVM `json:"virtualMachines"`
	Start           string      `json:"startTimeUtc"`
	Requestor       string      `json:"requestor"`
	Justification   string      `json:"justification,omitempty"`
}

type requestVM struct {
	ID    string        `json:"id"`
	Ports []requestPort `json:"ports"`
}

type requestPort struct {
	Number   uint16   `json:"number"`
	Prefix   string   `json:"allowedSourceAddressPrefix,omitempty"`
	Prefixes []string `json:"allowedSourceAddressPrefixes,omitempty"`
	End      string   `json:"endTimeUtc"`
	Status   string   `json:"status"`
	Reason   string   `json:"statusReason"`
	Mapped   uint16   `json:"mappedPort,omitzero"`
}

func toPolicy(p defender.NamedPolicy) policy {
	out := policy{Kind: "Basic", ID: p.Name.String(), Name: p.Name.Name, Type: typeJIT, Location: p.Name.Location,
		Properties: answer{VirtualMachines: []VMAnswer{}, Requests: []request{}, ProvisioningState: "Succeeded"}}
	for _, m := range p.Machines {
		out.Properties.VirtualMachines = append(out.Properties.VirtualMachines, VMAnswer{ID: m.Policy.VM.String(), Ports: withoutPins(wire.ToPortRules(m.Policy.Ports)), PublicIP: wire.IPText(dialledAt(m.Policy, p.Requests))})
	}
	for _, g := range p.Requests {
		out.Properties.Requests = append(out.Properties.Requests, toRequest(g))
	}
	return out
}

// withoutPins drops what the contract has no field for.
func withoutPins(ports []wire.PortRule) []wire.PortRule {
	for i := range ports {
		ports[i].Mapped = 0
	}
	return ports
}

// dialledAt gives the firewall's address that a policy pins, else the one at which its
// requests are mapped.
func dialledAt(p jit.Policy, requests []jit.Grant) netip.Addr {
	at := p.PublicAddress
	for _, g := range requests {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if !at.IsValid() && vm.VM.Equal(p.VM) {
					at = w.Mapped.Addr()
				}
			}
		}
	}
	return at
}

func toRequest(g jit.Grant) request {
	out := request{Start: ticks(g.Start), Requestor: g.Requestor, Justification: g.Justification}
	for _, vm := range g.VMs {
		w := requestVM{ID: vm.VM.String()}
		for _, p := range vm.Ports {
			port := requestPort{Number: p.Number, End: ticks(p.End), Status: p.Status.String(), Reason: reason(p), Mapped: p.Mapped.Port()}
			if prefixes := p.Sources.Strings(); len(prefixes) == 1 {
				port.Prefix = prefixes[0]
			} else {
				port.Prefixes = prefixes
			}
			w.Ports = append(w.Ports, port)
		}
		out.VirtualMachines = append(out.VirtualMachines, w)
	}
	return out
}

// reason says why a port is as it is in the three words of the contract.
// What is open or opening is so because somebody asked. Of our own reasons, a
// policy's removal was somebody's wish; an opening that failed and a machine that is gone
// ended by themselves.
func reason(w jit.Window) string {
	if w.Status != jit.Revoked {
		return string(jit.UserRequested)
	}
	switch w.Reason {
	case jit.UserRequested, jit.Expired, jit.NewerRequestInitiated:
		return string(w.Reason)
	case jit.PolicyRemoved:
		return string(jit.UserRequested)
	}
	return string(jit.Expired)
}

// ticks writes a time as .NET services do: seven fractional digits.
func ticks(t time.Time) string {
	return strings.Replace(wire.Stamp(t), "Z", "0000Z", 1)
}

// SourcePrefixes gives the prefixes of the plural field, which [wire.EachMachine] bounds.
func (p portRule) SourcePrefixes() []string { return p.Prefixes }

// SourcePrefixes gives the prefixes of the plural field, which [wire.EachMachine] bounds.
func (p initiatePort) SourcePrefixes() []string { return p.Prefixes }

// SourceCounts gives how many prefixes each port names.
func (vm VM) SourceCounts() []int { return wire.Counts(vm.Ports) }

// SourceCounts gives how many prefixes each port names.
func (vm initiateVM) SourceCounts() []int { return wire.Counts(vm.Ports) }

// Bounds holds the body to jit.MaxVMs machines, and each to the bounds of its ports.
func (b *initiateBody) Bounds() error {
	if err := wire.AtMost(len(b.VirtualMachines), jit.MaxVMs, wire.MachinesField); err != nil {
		return err
	}
	return wire.EachMachine(b.VirtualMachines, wire.MachinesField)
}

// Bounds holds the body to jit.MaxListedVMs machines, and each to the bounds of its ports.
func (b *putBody) Bounds() error {
	if b.Properties == nil {
		return nil
	}
	const at = "properties." + wire.MachinesField
	if err := wire.AtMost(len(b.Properties.VirtualMachines), jit.MaxListedVMs, at); err != nil {
		return err
	}
	return wire.EachMachine(b.Properties.VirtualMachines, at)
}
