package compat

import (
	"cmp"
	"errors"
	"strings"

	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// grouped gives the error of an operation that has found nothing: where the path's resource group is not there it is that, as Resource
// Manager answers. Azure is asked only then, so that nobody else waits for it. What it cannot tell changes no answer.
func (f Face) grouped(r call, p params, found bool, err error) error {
	if refused, ok := errors.AsType[*jit.Error](err); ok && refused.Code == jit.CodePolicyNotFound {
		found = false
	}
	if found || p[paramGroup] == "" {
		return err
	}
	if gone, unknown := f.GroupGone(r.Context(), r.who, p[paramSubscription], p[paramGroup]); unknown == nil && gone {
		return wire.GroupNotFound(p[paramGroup])
	}
	return err
}

// mayHold refuses a replacement of a policy in a resource group that is not there. A group that one of the policy's machines is in is
// looked for with the machine.
func (f Face) mayHold(r call, p params, machines []jit.ValidPolicy) error {
	for _, m := range machines {
		if strings.EqualFold(m.Policy().VM.ResourceGroup, p[paramGroup]) {
			return nil
		}
	}
	gone, err := f.GroupGone(r.Context(), r.who, p[paramSubscription], p[paramGroup])
	if gone {
		err = cmp.Or(err, wire.GroupNotFound(p[paramGroup]))
	}
	return err
}
