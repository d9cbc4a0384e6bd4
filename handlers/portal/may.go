package portal

import (
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/handlers/portal/second"
	"portcullis/handlers/portal/show"
)

// What somebody may not do is not offered, or said beside it. That is for people to see:
// what may be done is decided where it is done.

// lacks gives the first permission that the caller lacks for a verb at one of the machines, "" for none.
func (s *server) lacks(c call, v permit.Verb, vms ...jit.ID) (string, error) {
	for _, vm := range vms {
		missing, err := s.App.Access.Permit.Lacks(c.Context(), c.who, v, vm)
		if missing != "" || err != nil {
			return missing, err
		}
	}
	return "", nil
}

// may reports whether the caller lacks nothing for a verb at the machines.
func (s *server) may(c call, v permit.Verb, vms ...jit.ID) (bool, error) {
	missing, err := s.lacks(c, v, vms...)
	return missing == "" && err == nil, err
}

// offered is what a row offers to whoever looks at it.
type offered struct {
	Request, Configure, Disable bool
}

// offers gives what the caller may do with a machine.
func (s *server) offers(c call, m inventory.MachineView) (offered, error) {
	var o offered
	if m.State == inventory.MachineUnsupported {
		return o, nil
	}
	var err error
	if o.Configure, err = s.may(c, permit.VerbEnable, m.VM); err != nil || m.State != inventory.MachineConfigured {
		return o, err
	}
	if o.Request, err = s.may(c, permit.VerbRequest, m.VM); err != nil {
		return o, err
	}
	o.Disable, err = s.may(c, permit.VerbDisable, m.VM)
	return o, err
}

// offersOf notes in a view of a request what the caller may do with it.
func (s *server) offersOf(c call, v *show.Grant, g jit.Grant) error {
	vms := g.Machines()
	var err error
	if !v.Own {
		if v.Waits != "" {
			if v.MayDecide, err = second.Allowed(s.App.Approvals.MayDecide(c.Context(), c.who, g.ID)); err != nil {
				return err
			}
		}
		v.MayClose, err = s.may(c, permit.VerbRevokeOther, vms...)
		return err
	}
	v.MayClose = true // whatever became of the role
	if v.Over() {
		v.MayAgain, err = s.may(c, permit.VerbRequest, vms...)
		return err
	}
	v.MayExtend, err = s.may(c, permit.VerbExtend, vms...)
	return err
}
