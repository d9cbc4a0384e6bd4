package decide

import (
	"fmt"
	"time"

	"portcullis/core/jit"
)

// checkEnd refuses an end that is none at any time.
func checkEnd(p jit.RequestPort) *jit.Error {
	switch {
	case (p.Duration != 0) == !p.End.IsZero():
		return refuse(jit.CodeInvalidInitiate, "", "only one of endTimeUtc and duration can be set, and one must be")
	case p.Duration < 0:
		return refuse(jit.CodeInvalidDuration, "duration", "a duration of %s is not positive", jit.Length(p.Duration))
	case p.Duration > 0 && p.Duration < time.Second:
		return refuse(jit.CodeInvalidDuration, "duration", "a duration of %s is under one second", p.Duration)
	}
	return nil
}

// endOf returns the time at which the port closes that opens at begins, or a refusal of an end that has passed, or comes before that.
func endOf(p jit.RequestPort, begins, now time.Time) (time.Time, *jit.Error) {
	end := p.End.Truncate(time.Millisecond) // as it is stored: one that is not later would have ended already
	switch {
	case p.Duration > 0:
		return begins.Add(p.Duration), nil
	case !end.After(begins) && begins.After(now):
		return time.Time{}, refuse(CodeEndBeforeStart, "endTimeUtc", "endTimeUtc %s is not after startTimeUtc %s", timeText(p.End), timeText(begins))
	case !end.After(now):
		return time.Time{}, refuse(jit.CodeEndInPast, "endTimeUtc", "endTimeUtc %s is not after %s", timeText(p.End), timeText(now))
	}
	return p.End.UTC(), nil
}

// ValidRequest is a request that [Validate] found usable, with its justification as it is stored. Verbs take
// it in this form, and so need not check it again. The zero value asks for nothing, and [Request] refuses it.
type ValidRequest struct {
	request jit.Request
}

// Request returns what was checked. Do not change its slices.
func (v ValidRequest) Request() jit.Request { return v.request }

// Validate returns the request as a checked one, or, as an [*jit.Error] whose target is a path below the request, the
// first thing that makes it unusable regardless of the policies. ahead is how far ahead its start may be. Do not change the slices of r afterwards.
func Validate(r jit.Request, now time.Time, ahead time.Duration) (ValidRequest, error) {
	now = jit.Instant(now)
	switch {
	case len(r.VMs) == 0:
		return ValidRequest{}, errNoVMs()
	case len(r.VMs) > jit.MaxVMs:
		return ValidRequest{}, refuse(jit.CodeTooManyVMs, "virtualMachines", "%d virtual machines; one request takes at most %d", len(r.VMs), jit.MaxVMs)
	}
	var err error
	if r.Justification, err = jit.Justification(r.Justification); err != nil {
		return ValidRequest{}, err
	}
	if err := emergency(r, now); err != nil {
		return ValidRequest{}, err
	}
	begins, err := start(r.Opens, now, ahead)
	if err != nil {
		return ValidRequest{}, err
	}
	vms := map[string]bool{}
	for i, vm := range r.VMs {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		if vms[vm.VM.Key()] {
			return ValidRequest{}, refuse(jit.CodeDuplicateVM, at+".id", "%s stands twice", vm.VM.Name)
		}
		vms[vm.VM.Key()] = true
		if err := check(vm, begins, now); err != nil {
			return ValidRequest{}, err.At(at)
		}
	}
	return ValidRequest{r}, nil
}

func errNoVMs() *jit.Error {
	return refuse(jit.CodeNoVMs, "virtualMachines", "name at least one virtual machine")
}

// check refuses ports of the machine that nothing could open from begins on. Targets are paths below the machine.
func check(vm jit.RequestVM, begins, now time.Time) *jit.Error {
	if len(vm.Ports) == 0 {
		return refuse(jit.CodeNoPorts, "ports", "name at least one port of %s", vm.VM.Name)
	}
	if len(vm.Ports) > jit.MaxPorts {
		return refuse(jit.CodeTooManyPorts, "ports", "%d ports of %s; one request takes at most %d of a machine", len(vm.Ports), vm.VM.Name, jit.MaxPorts)
	}
	ports := map[uint16]bool{}
	for j, port := range vm.Ports {
		at := fmt.Sprintf("ports[%d]", j)
		if ports[port.Number] {
			return refuse(jit.CodeDuplicatePort, at+".number", "port %d of %s stands twice", port.Number, vm.VM.Name)
		}
		ports[port.Number] = true
		if port.Sources.IsEmpty() {
			return refuse(jit.CodeNoSource, at+".allowedSourceAddressPrefix", "name the source address for port %d: the caller's own address is not known", port.Number)
		}
		if err := checkEnd(port); err != nil {
			return err.At(at)
		}
		if _, err := endOf(port, begins, now); err != nil {
			return err.At(at)
		}
	}
	return nil
}

// Request returns the grant that the policies allow for the request at now, with the given id, or an [*jit.Error] that
// says why there is none. It is all or nothing over the request's machines and ports. policy returns the policy of
// a machine, or false. floor is what the installation demands of every request, regardless of the policies.
//
// Refusals, in this order: [jit.CodePolicyNotFound]; [jit.CodeJustificationRequired]; [jit.CodePortNotInPolicy]; [jit.CodeEndInPast] and
// [CodeEndBeforeStart], for an end that has passed since the request was checked; [jit.CodeDurationOverMaximum]; [jit.CodeSourceNotAllowed];
// [jit.CodeSourceAnyForbidden]; [jit.CodeSourceTooWide]; [jit.CodeSourcesTogether]. An end up to [jit.ClockSkew] beyond the maximum is cut
// to the maximum.
//
// It does NOT ensure that the caller may ask, that the machine exists, or that the target has room for the rules.
func Request(policy func(jit.ID) (jit.Policy, bool), floor jit.Options, checked ValidRequest, id string, now time.Time) (jit.Grant, error) {
	now = jit.Instant(now)
	r := checked.request
	if len(r.VMs) == 0 { // the zero value
		return jit.Grant{}, errNoVMs()
	}
	g := jit.Grant{ID: id, RequestorID: r.RequestorID, Requestor: r.Requestor, Justification: r.Justification, BreakGlass: r.BreakGlass, Start: now, OpenBy: now.Add(jit.OpeningTimeout), Generation: 1}
	begins := now
	if r.Opens.After(now) {
		begins = jit.Instant(r.Opens)
		g.Wait.Opens, g.OpenBy = begins, begins.Add(jit.OpeningTimeout)
	}
	for i, vm := range r.VMs {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		p, ok := policy(vm.VM)
		if !ok {
			return jit.Grant{}, refuse(jit.CodePolicyNotFound, at+".id", "%s has no just-in-time policy; enable it first", vm.VM.Name)
		}
		options := p.InForce(floor)
		if err := allowJustification(options, r.Justification); err != nil {
			return jit.Grant{}, err
		}
		granted := jit.GrantVM{VM: p.VM}
		for j, want := range vm.Ports {
			w, err := decidePort(p, options, want, begins, now)
			if err != nil {
				return jit.Grant{}, err.At(fmt.Sprintf("%s.ports[%d]", at, j))
			}
			w.Fixed = w.Fixed || !r.Opens.IsZero()
			if r.BreakGlass == jit.NoBreakGlass {
				g.Wait.Approvers = max(g.Wait.Approvers, Approvers(p, options, want.Number))
			}
			granted.Ports = append(granted.Ports, w)
		}
		g.VMs = append(g.VMs, granted)
	}
	return g, nil
}

// rough writes a length as people say it: in whole minutes, upwards, so that it stays longer than what it is said to be longer than. One that is counted
// from when a window was opened has odd seconds, which nobody has asked for.
func rough(length time.Duration) string {
	if length > time.Minute && length < 1000*time.Hour {
		length = (length + time.Minute - 1).Truncate(time.Minute)
	}
	return jit.Length(length)
}

func decidePort(p jit.Policy, options jit.Options, want jit.RequestPort, begins, now time.Time) (jit.Window, *jit.Error) {
	rule, ok := p.Port(want.Number)
	if !ok {
		return jit.Window{}, refuse(jit.CodePortNotInPolicy, "number", "port %d is not in the policy of %s", want.Number, p.VM.Name)
	}
	end, err := endOf(want, begins, now)
	if err != nil {
		return jit.Window{}, err
	}
	switch length := end.Sub(begins); {
	case length <= rule.Maximum:
	case want.Duration == 0 && length <= rule.Maximum+jit.ClockSkew:
		end = begins.Add(rule.Maximum)
	default:
		at := "duration"
		if want.Duration == 0 {
			at = "endTimeUtc"
		}
		return jit.Window{}, refuse(jit.CodeDurationOverMaximum, at, "%s is longer than the %s that the policy of %s allows for port %d", rough(length), jit.Length(rule.Maximum), p.VM.Name, want.Number)
	}
	if !rule.Sources.Contains(want.Sources) {
		return jit.Window{}, refuse(jit.CodeSourceNotAllowed, "allowedSourceAddressPrefix", "%s is not inside %s, which the policy of %s allows for port %d", want.Sources, rule.Sources, p.VM.Name, want.Number)
	}
	if err := options.AllowSources(want.Sources, want.Number); err != nil {
		return jit.Window{}, err
	}
	end = end.Truncate(time.Millisecond)
	return jit.Window{Number: want.Number, Protocol: rule.Protocol, Sources: want.Sources, End: end, Fixed: want.Duration == 0, Length: end.Sub(begins), Status: jit.Initiating}, nil
}
