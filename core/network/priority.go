package network

import (
	"context"
	"time"
)

// Priority says what a call is for, so that who has to put calls in an order can: a closing
// goes before everything else, the most overdue one first. It travels in the context; the
// zero value is that of a call in which nothing closes.
type Priority struct {
	Closing bool
	Since   time.Time // when what is to be closed should have been; zero for not known
}

type urgencyKey struct{}

// WithPriority gives a context that carries u.
func WithPriority(ctx context.Context, u Priority) context.Context {
	return context.WithValue(ctx, urgencyKey{}, u)
}

// PriorityOf gives what [WithPriority] put into the context.
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
