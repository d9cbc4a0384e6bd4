package compat

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sosodev/duration"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
	"portcullis/handlers/wire"
)

const (
	// typeJIT is the type of every policy.
	typeJIT = "Microsoft.Security/locations/jitNetworkAccessPolicies"
	// usualKind is the kind of policies that name none.
	usualKind = "Basic"
)

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
	VirtualMachines   []VM      `json:"virtualMachines"`
	Requests          []request `json:"requests"`
	ProvisioningState string    `json:"provisioningState" api:"provisioning"`
	Append            bool      `json:"appendMode"`
	// Warnings, which Microsoft's contract does not have and its clients pass over, are why ports that the policy names stay
	// open, or cannot be opened (docs/decisions/032). Only the answer to a PUT has them.
	Warnings []wire.ErrorDetail `json:"warnings,omitempty"`
}

type request struct {
	VirtualMachines []requestVM `json:"virtualMachines"`
	Start           string      `json:"startTimeUtc" api:"time"`
	Requestor       string      `json:"requestor"`
	Justification   string      `json:"justification,omitempty"`
}

type requestVM struct {
	ID    string        `json:"id" api:"vm"`
	Ports []requestPort `json:"ports"`
}

type requestPort struct {
	Number   uint16   `json:"number"`
	Prefix   string   `json:"allowedSourceAddressPrefix,omitempty"`
	Prefixes []string `json:"allowedSourceAddressPrefixes,omitempty"`
	End      string   `json:"endTimeUtc" api:"time"`
	Status   string   `json:"status" api:"status"`
	Reason   string   `json:"statusReason" api:"contractReason"`
	Mapped   uint16   `json:"mappedPort,omitzero"`
}

func toPolicy(p defender.NamedPolicy) policy {
	out := policy{Kind: usualKind, ID: p.Name.String(), Name: p.Name.Name, Type: typeJIT, Location: p.Name.Location,
		Properties: answer{VirtualMachines: []VM{}, Requests: []request{}, ProvisioningState: "Succeeded"}}
	if p.Head != nil {
		out.Properties.Append = p.Head.Append
		if p.Head.Kind != "" {
			out.Kind = p.Head.Kind
		}
	}
	for _, m := range p.Machines {
		vm := written(m)
		if a := p.DialledAt(m.Policy); vm.PublicIP == nil && a.IsValid() {
			text := a.String()
			vm.PublicIP = &text
		}
		out.Properties.VirtualMachines = append(out.Properties.VirtualMachines, vm)
	}
	for _, g := range p.Requests {
		out.Properties.Requests = append(out.Properties.Requests, toRequest(g))
	}
	for _, m := range p.Machines {
		for _, h := range p.Hindered[m.Policy.VM.Key()] {
			out.Properties.Warnings = append(out.Properties.Warnings, wire.ErrorDetail{Code: api.Code(h.Err.Code), Message: h.Err.Message, Target: m.Policy.VM.String()})
		}
	}
	return out
}

// maxForm bounds what is kept of how a machine is written, in bytes: twice what the largest one of
// jit.MaxMachineSources prefixes needs.
const maxForm = 128 << 10

// form gives how a machine is written, to be stored; "" where its policy is written in the usual form.
func (vm VM) form(p jit.Policy) string {
	text, err := json.Marshal(vm.declared())
	usual, failed := json.Marshal(usualForm(p))
	if err != nil || failed != nil || len(text) > maxForm || string(text) == string(usual) {
		return ""
	}
	return string(text)
}

// declared gives the machine without members that are not declared: what was not refused of them is null.
func (vm VM) declared() VM {
	vm.Others = nil
	ports := make([]portRule, len(vm.Ports))
	for i, p := range vm.Ports {
		p.Others = nil
		ports[i] = p
	}
	vm.Ports = ports
	return vm
}

// written gives a machine as its client wrote it, while that means what is stored: it may have been changed by
// another way since. Otherwise it gives the usual form.
func written(m store.PolicyRecord) VM {
	var vm VM
	if m.Form == "" || json.Unmarshal([]byte(m.Form), &vm) != nil {
		return usualForm(m.Policy)
	}
	checked, err := vm.Policy("")
	if err != nil {
		return usualForm(m.Policy)
	}
	said := checked.Policy()
	if !m.Policy.PublicAddress.IsValid() { // what was sent back of an answer, see defender.NamedPolicy.DialledAt
		said.PublicAddress, vm.PublicIP = m.Policy.PublicAddress, nil
	}
	if !defender.Means(said, m.Policy) {
		return usualForm(m.Policy)
	}
	for i, port := range vm.Ports {
		if port.Prefix == nil && port.Prefixes == nil { // left out is any, and whoever reads it is told
			any := jit.AnySource().String()
			vm.Ports[i].Prefix = &any
		}
	}
	return vm
}

// inList writes the numbers of a policy's ports as numbers. Typed clients cannot read a text there, and one policy that
// was written with texts must not keep them from reading a list.
func (p policy) inList() policy {
	for _, vm := range p.Properties.VirtualMachines {
		for i, port := range vm.Ports {
			if n, err := portNumber(port.Number, ""); err == nil {
				vm.Ports[i].Number = numberText(n)
			}
		}
	}
	return p
}

func numberText(n uint16) jsontext.Value { return jsontext.Value(strconv.Itoa(int(n))) }

// usualForm writes a machine of a policy: one source in the singular field, several in the plural.
func usualForm(p jit.Policy) VM {
	vm := VM{ID: p.VM.String(), Ports: []portRule{}}
	if text := wire.IPText(p.PublicAddress); text != "" {
		vm.PublicIP = &text
	}
	for _, port := range p.Ports {
		out := portRule{Number: numberText(port.Number), Protocol: string(port.Protocol), Maximum: duration.Format(port.Maximum)}
		if prefixes := port.Sources.Strings(); len(prefixes) == 1 {
			out.Prefix = &prefixes[0]
		} else {
			out.Prefixes = prefixes
		}
		vm.Ports = append(vm.Ports, out)
	}
	return vm
}

func toRequest(g jit.Grant) request {
	out := request{Start: ticks(g.Begins()), Requestor: g.Requestor, Justification: g.Justification}
	for _, vm := range g.VMs {
		w := requestVM{ID: vm.VM.String()}
		for _, p := range vm.Ports {
			port := requestPort{Number: p.Number, End: ticks(p.End), Status: status(p.Status), Reason: reason(p), Mapped: p.Mapped.Port()}
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

// toInitiated writes the answer to an initiate: ends and sources as they were sent, where the grant has them so.
func toInitiated(g jit.Grant, b initiateBody) request {
	out := toRequest(g)
	if len(b.VirtualMachines) != len(g.VMs) {
		return out
	}
	for i, vm := range b.VirtualMachines {
		if len(vm.Ports) != len(g.VMs[i].Ports) {
			continue
		}
		for j, port := range vm.Ports {
			out.VirtualMachines[i].Ports[j].sent(g.VMs[i].Ports[j], port.plain(g.VMs[i].Ports[j].Number))
		}
	}
	return out
}

// sent writes a port's end and sources as they were sent, if they are the window's. An end is kept in milliseconds.
func (out *requestPort) sent(w jit.Window, port wire.RequestPort) {
	if _, end, err := wire.Ending(nil, port.End, ""); err == nil && jit.Instant(end).Equal(w.End) {
		out.End = ticks(end)
	}
	if port.Prefix == nil && port.Prefixes == nil {
		return
	}
	if s, err := wire.Sources(port.Prefix, port.Prefixes, ""); err == nil && s.Equal(w.Sources) {
		out.Prefix, out.Prefixes = "", port.Prefixes
		if port.Prefix != nil {
			out.Prefix = *port.Prefix
		}
	}
}

// status says how a port is in the words of the contract, which knows no wait: what waits for approval, or for its start, is about to be opened.
func status(s jit.Status) string {
	if s == jit.AwaitingApproval || s == jit.Scheduled {
		s = jit.Initiating
	}
	return s.String()
}

// reason says why a port is as it is in the three words of the contract.
// What is open or opening is so because somebody asked. Of our own reasons, a
// policy's change or removal, and a denial, was somebody's wish; an opening that failed and a machine that is gone
// ended by themselves.
func reason(w jit.Window) string {
	if w.Status != jit.Revoked {
		return string(jit.UserRequested)
	}
	switch w.Reason {
	case jit.UserRequested, jit.Expired, jit.NewerRequestInitiated:
		return string(w.Reason)
	case jit.PolicyRemoved, jit.PolicyChanged, jit.Denied:
		return string(jit.UserRequested)
	}
	return string(jit.Expired)
}

// ticks writes a time as .NET services do: seven fractional digits.
func ticks(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
