package arm

import (
	"context"

	"golang.org/x/sync/errgroup"

	"portcullis/core/parallel"
)

// Group runs calls concurrently, like [errgroup.Group]: the first error cancels the others. A panic becomes an
// error.
type Group struct{ *errgroup.Group }

// NewGroup returns a group, and the context for its calls.
func NewGroup(ctx context.Context) (Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return Group{g}, ctx
}

// Go runs a call.
func (g Group) Go(call func() error) {
	g.Group.Go(func() error { return parallel.Recover(call) })
}
