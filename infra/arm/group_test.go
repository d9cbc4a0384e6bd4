package arm_test

import (
	"context"
	"errors"
	"testing"

	"portcullis/core/parallel"
	"portcullis/infra/arm"
)

// TestGroup checks that a panic in one call becomes an error that cancels the others.
func TestGroup(t *testing.T) {
	g, ctx := arm.NewGroup(t.Context())
	g.Go(func() error { <-ctx.Done(); return ctx.Err() })
	g.Go(func() error { panic("a bug") })
	err := g.Wait()
	if p, ok := errors.AsType[*parallel.Panic](err); !ok || p.Value != "a bug" || len(p.Stack) == 0 {
		t.Errorf("got %v", err)
	}
	if !errors.Is(context.Cause(ctx), err) {
		t.Errorf("the others ended because of %v", context.Cause(ctx))
	}
}
