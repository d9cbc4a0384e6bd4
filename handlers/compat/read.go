package compat

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/api"
	"portcullis/handlers/wire"
)

// What comes in. Every member of the contract is declared: it counts, or it is [ReadOnly]. A member that is not declared
// may change what its sender means, so it is refused by name; only around a policy, where Resource Manager has its own,
// others are passed over. Null is the same as absent.

// ReadOnly is a member that the contract has in answers alone. Clients send it back as they got it, and it is passed over.
type ReadOnly struct{}

// UnmarshalJSONFrom passes over the value.
func (*ReadOnly) UnmarshalJSONFrom(d *jsontext.Decoder) error { return d.SkipValue() }

// putBody is a policy. Requests are history: a request comes into being by initiate alone.
type putBody struct {
	Kind       *string        `json:"kind" api:"kind"`
	Properties *Properties    `json:"properties" api:"required"`
	ID         ReadOnly       `json:"id"`
	Name       ReadOnly       `json:"name"`
	Type       ReadOnly       `json:"type"`
	Location   ReadOnly       `json:"location"`
	SystemData ReadOnly       `json:"systemData"`
	Others     jsontext.Value `json:",embed" api:"open"`
}

// Properties are what a policy says, as clients send it.
type Properties struct {
	VirtualMachines []VM           `json:"virtualMachines" api:"required listed"`
	Append          bool           `json:"appendMode"` // machines that the policy lists and the body does not name stay
	Requests        ReadOnly       `json:"requests"`
	State           ReadOnly       `json:"provisioningState"`
	Others          jsontext.Value `json:",embed"`
}

// VM is a machine of a policy, as clients send it and get it back.
type VM struct {
	ID       string         `json:"id" api:"required vm"`
	Ports    []portRule     `json:"ports" api:"required ports"`
	PublicIP *string        `json:"publicIpAddress,omitzero" api:"ipv4"`
	Others   jsontext.Value `json:",embed"`
}

type portRule struct {
	Number   jsontext.Value `json:"number" api:"required portNumber"` // 22 or "22": azapi sends texts
	Protocol string         `json:"protocol" api:"required protocol"`
	Prefix   *string        `json:"allowedSourceAddressPrefix,omitzero" api:"prefix"`
	Prefixes []string       `json:"allowedSourceAddressPrefixes,omitzero" api:"anyPrefixes prefix"`
	Maximum  string         `json:"maxRequestAccessDuration" api:"required maximum"`
	Others   jsontext.Value `json:",embed"`
}

type initiateBody struct {
	VirtualMachines []initiateVM   `json:"virtualMachines" api:"required machines"`
	Justification   string         `json:"justification" api:"justification"`
	Start           *string        `json:"startTimeUtc" api:"time"`
	Requestor       ReadOnly       `json:"requestor"` // it is who signed in, whatever a body says
	Others          jsontext.Value `json:",embed"`
}

type initiateVM struct {
	ID     string         `json:"id" api:"required vm"`
	Ports  []initiatePort `json:"ports" api:"required ports"`
	Start  *string        `json:"startTimeUtc" api:"time"`
	Others jsontext.Value `json:",embed"`
}

type initiatePort struct {
	Number   jsontext.Value `json:"number" api:"required portNumber"`
	Duration *string        `json:"duration" api:"duration one"`
	Start    *string        `json:"startTimeUtc" api:"time"`
	End      *string        `json:"endTimeUtc" api:"time one"`
	Prefix   *string        `json:"allowedSourceAddressPrefix" api:"prefix"`
	Prefixes []string       `json:"allowedSourceAddressPrefixes" api:"anyPrefixes prefix"`
	Others   jsontext.Value `json:",embed"`
}

// places says of members where they belong, for those who put them elsewhere.
var places = map[string]string{
	"appendmode":      "it belongs into properties",
	"virtualmachines": "it belongs into properties, and in an initiate to the top",
	"requests":        "it belongs into properties",
	"ports":           "it belongs into a machine",
	"justification":   "it belongs beside virtualMachines of an initiate, since it is the whole request's",
	"starttimeutc":    "it is only a request's",
	"endtimeutc":      "it is only a requested port's",
	"duration":        "it is only a requested port's",
	"mappedport":      "it is answered and cannot be asked for here; POST /api/enable takes it",
}

// refuseOthers refuses members that are not declared, by name; of those around a policy only the contract's own.
func refuseOthers(others jsontext.Value, at string, around bool) error {
	d := jsontext.NewDecoder(bytes.NewReader(others))
	if len(others) == 0 {
		return nil
	}
	if _, err := d.ReadToken(); err != nil {
		return wire.BadJSON(err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return wire.BadJSON(err)
		}
		text := name.String() // before the next read
		value, err := d.ReadValue()
		if err != nil {
			return wire.BadJSON(err)
		}
		place, ours := places[strings.ToLower(text)]
		if value.Kind() == 'n' || around && !ours {
			continue
		}
		if place == "" {
			place = "the contract of " + typeJIT + " has no such member here, and what it should mean is not known"
		}
		shown := store.Cut(text, 100)
		return wire.Below(&jit.Error{Code: wire.CodeUnknownField, Target: shown, Message: fmt.Sprintf("%q is refused at this place: %s", shown, place)}, at)
	}
	return nil
}

// portNumber reads a port that is written as a whole number or as a text of digits.
func portNumber(v jsontext.Value, at string) (uint16, error) {
	if len(v) == 0 || v.Kind() == 'n' {
		return 0, wire.MissingNumber(strings.TrimSuffix(at, ".number"))
	}
	text, whole := string(v), wire.Whole
	if v.Kind() == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return 0, &jit.Error{Code: jit.CodeInvalidPort, Target: at, Message: "the port is not a number from 0 to 65535"}
		}
		text, whole = string(unquoted), wire.Digits
	}
	n, ok := whole(text)
	if !ok || n > 65535 {
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

// policies reads the machines of a policy, and how they and the policy are written.
func (b putBody) policies() ([]jit.ValidPolicy, defender.Written, error) {
	var w defender.Written
	if err := refuseOthers(b.Others, "", true); err != nil {
		return nil, w, err
	}
	if b.Properties == nil || b.Properties.VirtualMachines == nil {
		return nil, w, &jit.Error{Code: wire.CodeInvalidContent, Target: "properties.virtualMachines", Message: "properties.virtualMachines is missing; an empty list takes every machine out of the policy"}
	}
	if err := refuseOthers(b.Properties.Others, "properties", false); err != nil {
		return nil, w, err
	}
	var err error
	if w.Kind, err = kindOf(b.Kind); err != nil {
		return nil, w, err
	}
	w.Append = b.Properties.Append
	machines, err := wire.ReadEach(b.Properties.VirtualMachines, "properties.virtualMachines", VM.Policy)
	if err != nil {
		return nil, w, err
	}
	for i, vm := range b.Properties.VirtualMachines {
		w.Forms = append(w.Forms, vm.form(machines[i].Policy()))
	}
	return machines, w, nil
}

// maxKind is how long a policy's kind may be, in bytes.
const maxKind = 100

// kindOf reads the kind of a policy, which the contract leaves to clients; "" for the usual one.
func kindOf(kind *string) (string, error) {
	if kind == nil || *kind == usualKind {
		return "", nil
	}
	if len(*kind) > maxKind {
		return "", &jit.Error{Code: wire.CodeFieldTooLong, Target: "kind", Message: fmt.Sprintf("kind is longer than %d bytes", maxKind)}
	}
	if clean, err := jit.Text(*kind); err != nil || clean != *kind || clean == "" {
		return "", &jit.Error{Code: jit.CodeTextNotPrintable, Target: "kind", Message: "kind is empty or holds characters that cannot be seen; the usual kind is " + usualKind}
	}
	return *kind, nil
}

// Policy reads a machine of a policy; at is its place in the body, for refusals.
func (vm VM) Policy(at string) (jit.ValidPolicy, error) {
	if err := refuseOthers(vm.Others, at, false); err != nil {
		return jit.ValidPolicy{}, err
	}
	id, err := jit.ParseVM(vm.ID)
	if err != nil {
		return jit.ValidPolicy{}, wire.Below(err, at+".id")
	}
	p := jit.Policy{VM: id}
	if vm.PublicIP != nil {
		if p.PublicAddress, err = wire.PublicIP(*vm.PublicIP, at); err != nil {
			return jit.ValidPolicy{}, err
		}
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
	if err := refuseOthers(port.Others, at, false); err != nil {
		return rule, err
	}
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

// request reads an initiate at now; own is the caller's address, the source of ports that name none.
func (b initiateBody) request(own netip.Addr, now time.Time) (jit.Request, error) {
	if err := b.check(now); err != nil {
		return jit.Request{}, err
	}
	out, err := wire.Requested(b.Justification, b.VirtualMachines, func(vm initiateVM) (string, []initiatePort) { return vm.ID, vm.Ports },
		func(port initiatePort, at string) (jit.RequestPort, error) {
			n, err := portNumber(port.Number, at+".number")
			if err != nil {
				return jit.RequestPort{}, err
			}
			return wire.ToPort(port.plain(n), own, at)
		})
	if err != nil {
		return out, err
	}
	out.Opens, err = wire.Start(b.Start)
	return out, err
}

// plain gives the port as the plain face has it.
func (port initiatePort) plain(number uint16) wire.RequestPort {
	out := wire.RequestPort{Number: api.PortOf(number), Duration: port.Duration, End: port.End, Prefix: port.Prefix, Prefixes: port.Prefixes}
	if len(out.Prefixes) == 0 {
		out.Prefixes = nil
	}
	return out
}

// check refuses what an initiate says and nothing here can honour.
func (b initiateBody) check(now time.Time) error {
	if err := refuseOthers(b.Others, "", false); err != nil {
		return err
	}
	begins, err := wire.Start(b.Start)
	if err != nil {
		return err
	}
	if begins.IsZero() {
		begins = now
	}
	one := func(others jsontext.Value, start *string, at string) error {
		if err := refuseOthers(others, at, false); err != nil {
			return err
		}
		return checkStart(start, at, begins)
	}
	for i, vm := range b.VirtualMachines {
		at := fmt.Sprintf("%s[%d]", wire.MachinesField, i)
		if err := one(vm.Others, vm.Start, at); err != nil {
			return err
		}
		for j, port := range vm.Ports {
			if err := one(port.Others, port.Start, fmt.Sprintf("%s.ports[%d]", at, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStart refuses a start of a machine or a port that is not the request's, as far as clocks agree: a request has one start, and to pass over another
// would open a window at a time that nobody asked for, or move the end that a duration gives.
func checkStart(text *string, at string, begins time.Time) error {
	if text == nil {
		return nil
	}
	start, err := wire.Start(text)
	if err != nil {
		return wire.Below(err, at)
	}
	if start.Sub(begins).Abs() > jit.ClockSkew {
		return &jit.Error{Code: jit.CodeInvalidInitiate, Target: at + ".startTimeUtc", Message: fmt.Sprintf("%.40q is not %s, when the request begins, within %s: all of a request begins at once; write startTimeUtc beside virtualMachines, or send another request", *text, begins.UTC().Format(time.RFC3339), jit.Length(jit.ClockSkew))}
	}
	return nil
}

// SourcePrefixes gives the prefixes of the plural field, which [wire.EachMachine] bounds.
func (port portRule) SourcePrefixes() []string { return port.Prefixes }

// SourcePrefixes gives the prefixes of the plural field, which [wire.EachMachine] bounds.
func (port initiatePort) SourcePrefixes() []string { return port.Prefixes }

// SourceCounts gives how many prefixes each port names.
func (vm VM) SourceCounts() []int { return api.Counts(vm.Ports) }

// SourceCounts gives how many prefixes each port names.
func (vm initiateVM) SourceCounts() []int { return api.Counts(vm.Ports) }

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
