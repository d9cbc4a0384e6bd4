package access

import (
	"context"
	"time"
)

// Urgency says what a call is for, so that who has to put calls in an order can: a closing
// goes before everything else, the most overdue one first. It travels in the context; the
// zero value is that of a call in which nothing closes.
type Urgency struct {
	Closing bool
	Since   time.Time // when what is to be closed should have been; zero for not known
}

type urgencyKey struct{}

// WithUrgency gives a context that carries u.
func WithUrgency(ctx context.Context, u Urgency) context.Context {
	return context.WithValue(ctx, urgencyKey{}, u)
}

// UrgencyOf gives what [WithUrgency] put into the context.
func UrgencyOf(ctx context.Context) Urgency {
	u, _ := ctx.Value(urgencyKey{}).(Urgency)
	return u
}

// before reports whether u goes before o.
func (u Urgency) before(o Urgency) bool {
	if u.Closing != o.Closing {
		return u.Closing
	}
	return u.Closing && !u.Since.IsZero() && (o.Since.IsZero() || u.Since.Before(o.Since))
}
