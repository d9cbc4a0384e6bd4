package network

import (
	"context"
	"time"
)

// Priority orders the calls to Azure that have to wait: closings first, the most overdue one before the others.
// The zero value is that of a call that closes nothing. It travels in the context because the adapter's HTTP
// pipeline, where calls wait, receives nothing else.
type Priority struct {
	Closing bool
	Since   time.Time // when the closing became due; zero if not known
}

type priorityKey struct{}

// WithPriority returns a context that carries p.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

// PriorityOf returns the priority that [WithPriority] put into the context.
func PriorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}

// Before reports whether p comes before o.
func (p Priority) Before(o Priority) bool {
	if p.Closing != o.Closing {
		return p.Closing
	}
	return p.Closing && !p.Since.IsZero() && (o.Since.IsZero() || p.Since.Before(o.Since))
}
