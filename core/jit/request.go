package jit

import (
	"fmt"
	"time"
)

// The bounds of one request.
const (
	MaxVMs           = 200
	MaxJustification = 1000 // characters
	// ClockSkew is how far a client's clock may be ahead: an end that exceeds the maximum by no more is cut to it.
	ClockSkew = 2 * time.Minute
)

// Request asks for ports of machines on behalf of an identified caller.
type Request struct {
	RequestorID   string // the requestor's permanent id, compared by [Grant.SameRequestor]
	Requestor     string // the requestor's display name: a user principal name or an application id
	Justification string
	VMs           []RequestVM
}

// RequestVM is the part of a request for one machine.
type RequestVM struct {
	VM    ID
	Ports []RequestPort
}

// Machines returns the machines that are asked for.
func (r Request) Machines() []ID {
	var out []ID
	for _, vm := range r.VMs {
		out = append(out, vm.VM)
	}
	return out
}

// RequestPort asks for one port. Exactly one of Duration and End is set.
type RequestPort struct {
	Number   uint16
	Duration time.Duration // counted from the decision
	End      time.Time
	Sources  Sources
}

// checkEnd refuses an end that is none at any time.
func (p RequestPort) checkEnd() *Error {
	switch {
	case (p.Duration != 0) == !p.End.IsZero():
		return refuse(CodeInvalidInitiate, "", "only one of endTimeUtc and duration can be set, and one must be")
	case p.Duration < 0:
		return refuse(CodeInvalidDuration, "duration", "a duration of %s is not positive", Length(p.Duration))
	case p.Duration > 0 && p.Duration < time.Second:
		return refuse(CodeInvalidDuration, "duration", "a duration of %s is under one second", p.Duration)
	}
	return nil
}

// end returns the time at which the port closes, or a refusal of an end that has passed.
func (p RequestPort) end(now time.Time) (time.Time, *Error) {
	switch {
	case p.Duration > 0:
		return now.Add(p.Duration), nil
	case !p.End.Truncate(time.Millisecond).After(now): // stored ends have millisecond precision: this one would have ended already
		return time.Time{}, refuse(CodeEndInPast, "endTimeUtc", "endTimeUtc %s is not after %s", timeText(p.End), timeText(now))
	}
	return p.End.UTC(), nil
}

// ValidRequest is a request that [Request.Validate] found usable, with its justification as it is stored. Verbs take
// it in this form, and so need not check it again. The zero value asks for nothing, and [Decide] refuses it.
type ValidRequest struct {
	request Request
}

// Request returns what was checked. Do not change its slices.
func (v ValidRequest) Request() Request { return v.request }

// Validate returns the request as a checked one, or, as an [*Error] whose target is a path below the request, the
// first thing that makes it unusable regardless of the policies. Do not change the slices of r afterwards.
func (r Request) Validate(now time.Time) (ValidRequest, error) {
	now = Instant(now)
	switch {
	case len(r.VMs) == 0:
		return ValidRequest{}, errNoVMs()
	case len(r.VMs) > MaxVMs:
		return ValidRequest{}, refuse(CodeTooManyVMs, "virtualMachines", "%d virtual machines; one request takes at most %d", len(r.VMs), MaxVMs)
	}
	var err error
	if r.Justification, err = Justification(r.Justification); err != nil {
		return ValidRequest{}, err
	}
	vms := map[string]bool{}
	for i, vm := range r.VMs {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		if vms[vm.VM.Key()] {
			return ValidRequest{}, refuse(CodeDuplicateVM, at+".id", "%s stands twice", vm.VM.Name)
		}
		vms[vm.VM.Key()] = true
		if err := vm.check(now); err != nil {
			return ValidRequest{}, err.At(at)
		}
	}
	return ValidRequest{r}, nil
}

func errNoVMs() *Error {
	return refuse(CodeNoVMs, "virtualMachines", "name at least one virtual machine")
}

// check refuses ports of the machine that nothing could open. Targets are paths below the machine.
func (vm RequestVM) check(now time.Time) *Error {
	if len(vm.Ports) == 0 {
		return refuse(CodeNoPorts, "ports", "name at least one port of %s", vm.VM.Name)
	}
	if len(vm.Ports) > MaxPorts {
		return refuse(CodeTooManyPorts, "ports", "%d ports of %s; one request takes at most %d of a machine", len(vm.Ports), vm.VM.Name, MaxPorts)
	}
	ports := map[uint16]bool{}
	for j, port := range vm.Ports {
		at := fmt.Sprintf("ports[%d]", j)
		if ports[port.Number] {
			return refuse(CodeDuplicatePort, at+".number", "port %d of %s stands twice", port.Number, vm.VM.Name)
		}
		ports[port.Number] = true
		if port.Sources.IsEmpty() {
			return refuse(CodeNoSource, at+".allowedSourceAddressPrefix", "name the source address for port %d: the caller's own address is not known", port.Number)
		}
		if err := port.checkEnd(); err != nil {
			return err.At(at)
		}
		if _, err := port.end(now); err != nil {
			return err.At(at)
		}
	}
	return nil
}

// Decide returns the grant that the policies allow for the request at now, with the given id, or an [*Error] that
// says why there is none. It is all or nothing over the request's machines and ports. policy returns the policy of
// a machine, or false. floor is what the installation demands of every request, regardless of the policies.
//
// Refusals, in this order: [CodePolicyNotFound]; [CodeJustificationRequired]; [CodePortNotInPolicy]; [CodeEndInPast],
// for an end that has passed since the request was checked; [CodeDurationOverMaximum]; [CodeSourceNotAllowed];
// [CodeSourceAnyForbidden]; [CodeSourceTooWide]; [CodeSourcesTogether]. An end up to [ClockSkew] beyond the maximum is cut
// to the maximum.
//
// It does NOT ensure that the caller may ask, that the machine exists, or that the target has room for the rules.
func Decide(policy func(ID) (Policy, bool), floor Options, checked ValidRequest, id string, now time.Time) (Grant, error) {
	now = Instant(now)
	r := checked.request
	if len(r.VMs) == 0 { // the zero value
		return Grant{}, errNoVMs()
	}
	g := Grant{ID: id, RequestorID: r.RequestorID, Requestor: r.Requestor, Justification: r.Justification, Start: now, OpenBy: now.Add(OpeningTimeout), Generation: 1}
	for i, vm := range r.VMs {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		p, ok := policy(vm.VM)
		if !ok {
			return Grant{}, refuse(CodePolicyNotFound, at+".id", "%s has no just-in-time policy; enable it first", vm.VM.Name)
		}
		options := p.InForce(floor)
		if err := options.allowJustification(r.Justification); err != nil {
			return Grant{}, err
		}
		granted := GrantVM{VM: p.VM}
		for j, want := range vm.Ports {
			w, err := decidePort(p, options, want, now)
			if err != nil {
				return Grant{}, err.At(fmt.Sprintf("%s.ports[%d]", at, j))
			}
			granted.Ports = append(granted.Ports, w)
		}
		g.VMs = append(g.VMs, granted)
	}
	return g, nil
}

func decidePort(p Policy, options Options, want RequestPort, now time.Time) (Window, *Error) {
	rule, ok := p.Port(want.Number)
	if !ok {
		return Window{}, refuse(CodePortNotInPolicy, "number", "port %d is not in the policy of %s", want.Number, p.VM.Name)
	}
	end, err := want.end(now)
	if err != nil {
		return Window{}, err
	}
	switch length := end.Sub(now); {
	case length <= rule.Maximum:
	case want.Duration == 0 && length <= rule.Maximum+ClockSkew:
		end = now.Add(rule.Maximum)
	default:
		at := "duration"
		if want.Duration == 0 {
			at = "endTimeUtc"
		}
		return Window{}, refuse(CodeDurationOverMaximum, at, "%s is longer than the %s that the policy of %s allows for port %d", Length(length), Length(rule.Maximum), p.VM.Name, want.Number)
	}
	if !rule.Sources.Contains(want.Sources) {
		return Window{}, refuse(CodeSourceNotAllowed, "allowedSourceAddressPrefix", "%s is not inside %s, which the policy of %s allows for port %d", want.Sources, rule.Sources, p.VM.Name, want.Number)
	}
	if err := options.allowSources(want.Sources, want.Number); err != nil {
		return Window{}, err
	}
	return Window{Number: want.Number, Protocol: rule.Protocol, Sources: want.Sources, End: end.Truncate(time.Millisecond), Status: Initiating}, nil
}
