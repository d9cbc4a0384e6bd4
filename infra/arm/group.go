package arm

import (
	"context"

	"golang.org/x/sync/errgroup"

	"portcullis/core/parallel"
)

// Group is calls side by side, as [errgroup.Group] has them: the first error ends the others. A panic in one is its error.
type Group struct{ *errgroup.Group }

// NewGroup returns a group, and the context for its calls.
func NewGroup(ctx context.Context) (Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return Group{g}, ctx
}

// Go makes a call.
func (g Group) Go(call func() error) {
	g.Group.Go(func() error { return parallel.Recover(call) })
}
