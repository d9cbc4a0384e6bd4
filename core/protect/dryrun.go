package protect

import (
	"context"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/preview"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// PreviewDisable tells what [Protection.Disable] would do: the windows on the machines that it would close, and the changes
// of the rules. It refuses what Disable refuses, and writes nothing.
func (s *Protection) PreviewDisable(ctx context.Context, vms []jit.ID) (narrow.Ends, []preview.Change, error) {
	vms, records, err := s.disabling(ctx, vms)
	if err != nil {
		return narrow.Ends{}, nil, err
	}
	ended := s.without(vms)
	narrowed, targets, err := s.previewNarrow(ctx, ended)
	if err != nil {
		return narrowed, nil, err
	}
	for _, rec := range records {
		targets = append(targets, store.TargetsOf(rec.Placements)...)
	}
	changes, err := preview.Standing(ctx, s.Rounds, store.Distinct(targets), func(state *roster.State) {
		state.Policies = keep(state.Policies, func(p roster.Protected) bool { return !slices.ContainsFunc(vms, p.Policy.VM.Equal) })
		for i := range state.Openings {
			state.Openings[i].Grant, _ = ended(state.Openings[i].Grant)
		}
	})
	return narrowed, changes, err
}
