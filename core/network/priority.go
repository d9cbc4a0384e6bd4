package network

import (
	"context"
	"time"
)

// Priority orders the calls to Azure that have to wait: closings before everything else, the most overdue one first. The zero
// value is that of a call that closes nothing. It travels in the context, since the adapter's HTTP pipeline, where calls
// wait, is given nothing else.
type Priority struct {
	Closing bool
	Since   time.Time // since when the closing has been due; zero for not known
}

type urgencyKey struct{}

// WithPriority returns a context that carries u.
func WithPriority(ctx context.Context, u Priority) context.Context {
	return context.WithValue(ctx, urgencyKey{}, u)
}

// PriorityOf returns what [WithPriority] put into the context.
func PriorityOf(ctx context.Context) Priority {
	u, _ := ctx.Value(urgencyKey{}).(Priority)
	return u
}

// Before reports whether u goes before o.
func (u Priority) Before(o Priority) bool {
	if u.Closing != o.Closing {
		return u.Closing
	}
	return u.Closing && !u.Since.IsZero() && (o.Since.IsZero() || u.Since.Before(o.Since))
}
