package protect

import (
	"slices"

	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// Protecting projects what protecting machines does, and gives what would be wrong with it. project computes the
// outcomes for the records as they are. It sets [jit.Policy.LeavesRoom] of the records: where a deny would stand at
// the last place that a window could have, it stands lower, below a foreign allow, and what that still opens is
// hindered unless another security group closes it (docs/decisions/031).
func (s *Protection) Protecting(records []store.PolicyRecord, project func() ([]round.Outcome, error)) ([]round.Outcome, side.Hindered, error) {
	for i := range records {
		records[i].Policy.LeavesRoom = false
	}
	outs, err := project()
	if err != nil {
		return nil, nil, err
	}
	hindered, locked := s.Hindrances(outs, records), false
	for i := range records {
		p := &records[i].Policy
		if slices.ContainsFunc(hindered[p.VM.Key()], func(h side.Hindrance) bool { return h.Kind == side.Locked }) {
			p.LeavesRoom, locked = true, true
		}
	}
	if !locked {
		return outs, hindered, nil
	}
	if outs, err = project(); err != nil {
		return nil, nil, err
	}
	return outs, s.Hindrances(outs, records), nil
}

// Hindrances returns what is wrong with the protection of the machines of records, as the outcomes of their targets have it.
func (s *Protection) Hindrances(outs []round.Outcome, records []store.PolicyRecord) side.Hindered {
	sides, out := s.sides(outs), side.Hindered{}
	for _, rec := range records {
		if found := side.Hindrances(sides, rec.Policy.VM); len(found) > 0 {
			out[rec.Policy.VM.Key()] = found
		}
	}
	return out
}

// sides returns the outcomes of targets that close ports.
func (s *Protection) sides(outs []round.Outcome) []side.Group {
	var sides []side.Group
	for i := range outs {
		if !s.Kinds.Maps(outs[i].Target) {
			sides = append(sides, side.Group{Target: outs[i].Target, Policies: outs[i].State.Policies, Plan: &outs[i].Plan})
		}
	}
	return sides
}
