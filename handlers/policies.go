package handlers

import (
	"fmt"
	"net/http"

	"portcullis/core/jit"
)

// enable protects machines: POST /api/enable[?dryRun=true].
func (s *server) enable(w http.ResponseWriter, r call) error {
	dryRun := r.query.Flag("dryRun")
	var body enableBody
	if err := decode(r.Request, &body); err != nil {
		return err
	}
	policies, err := body.policies()
	if err != nil {
		return err
	}
	enabled, changes, err := s.app.Access.Enable(r.Context(), r.who, policies, dryRun)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, enableAnswer{DryRun: dryRun, VirtualMachines: toEnabled(enabled), Changes: toChanges(changes)})
	return nil
}

type disableAnswer struct {
	DryRun          bool           `json:"dryRun,omitzero"`
	VirtualMachines []vmRef        `json:"virtualMachines"`
	Closes          []closedWindow `json:"closes,omitempty"`  // of a dry run: the windows that would be closed
	Changes         []targetChange `json:"changes,omitempty"` // of a dry run: to the rules
}

// closedWindow is the windows of one request on one machine.
type closedWindow struct {
	Request string   `json:"request"`
	VM      string   `json:"virtualMachine"`
	Ports   []uint16 `json:"ports"`
}

// disable ends protection: POST /api/disable[?dryRun=true].
func (s *server) disable(w http.ResponseWriter, r call) error {
	var body vmsBody
	if err := decode(r.Request, &body); err != nil {
		return err
	}
	var vms []jit.ID
	for i, vm := range body.VirtualMachines {
		id, err := jit.ParseVM(vm.ID)
		if err != nil {
			return below(err, fmt.Sprintf("virtualMachines[%d].id", i))
		}
		vms = append(vms, id)
	}
	answer := disableAnswer{VirtualMachines: body.VirtualMachines, DryRun: r.query.Flag("dryRun")}
	if answer.DryRun {
		closing, changes, err := s.app.Access.PreviewDisable(r.Context(), r.who, vms)
		if err != nil {
			return err
		}
		answer.Closes, answer.Changes = toClosed(closing), toChanges(changes)
	} else if err := s.app.Access.Disable(r.Context(), r.who, vms); err != nil {
		return err
	}
	write(w, http.StatusOK, answer)
	return nil
}

func (b enableBody) policies() ([]jit.Policy, error) {
	var out []jit.Policy
	for i, vm := range b.VirtualMachines {
		p, err := vm.policy(fmt.Sprintf("virtualMachines[%d]", i))
		if err != nil {
			return nil, err
		}
		if vm.Ports == nil {
			p.Ports = jit.DefaultPorts()
		}
		out = append(out, p)
	}
	return out, nil
}

// policy reads what a body says of a machine, without ports where it says nothing of them.
func (vm enableVM) policy(at string) (jit.Policy, error) {
	id, err := jit.ParseVM(vm.ID)
	if err != nil {
		return jit.Policy{}, below(err, at+".id")
	}
	p := jit.Policy{VM: id}
	if p.ExistingRules, err = jit.ParseExistingRules(vm.ExistingRules); err != nil {
		return p, below(err, at)
	}
	if o := vm.Options; o != nil {
		p.Options = &jit.Options{ForbidAnySource: o.ForbidAnySource, WidestIPv4: o.WidestIPv4Prefix, WidestIPv6: o.WidestIPv6Prefix, RequireJustification: o.RequireJustification}
	}
	if p.PublicAddress, err = publicIP(vm.PublicIP, at); err != nil {
		return p, err
	}
	for j, port := range vm.Ports {
		rule, err := port.rule(fmt.Sprintf("%s.ports[%d]", at, j))
		if err != nil {
			return p, err
		}
		p.Ports = append(p.Ports, rule)
	}
	return p, nil
}

// toClosed tells which windows of grants as they would be are not closed already.
func toClosed(grants []jit.Grant) []closedWindow {
	var out []closedWindow
	for _, g := range grants {
		for _, vm := range g.VMs {
			one := closedWindow{Request: g.ID, VM: vm.VM.String()}
			for _, w := range vm.Ports {
				if w.Reason == jit.PolicyRemoved {
					one.Ports = append(one.Ports, w.Number)
				}
			}
			if len(one.Ports) > 0 {
				out = append(out, one)
			}
		}
	}
	return out
}
