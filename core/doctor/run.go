package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// wait is how long a check waits for its dependency.
const wait = 5 * time.Second

// step is one check to run.
type step struct {
	name string
	wait time.Duration // 0 is [wait]
	make func(ctx context.Context) Check
}

// run runs the checks concurrently, each with its own time limit, and returns the results in order.
func (d *Doctor) run(ctx context.Context, subscription string, steps []step) []Check {
	out := make([]Check, len(steps))
	_ = parallel.AtOnce(steps, func(i int, s step) error { // runOne returns a check whatever fails
		out[i] = d.runOne(ctx, s)
		out[i].Name, out[i].Subscription = s.name, subscription
		return nil
	})
	return out
}

// runOne runs one check. A panic affects only that check.
func (d *Doctor) runOne(ctx context.Context, s step) (c Check) {
	limit := s.wait
	if limit == 0 {
		limit = wait
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := d.Now()
	if err := parallel.Recover(func() error { c = s.make(within); return nil }); err != nil {
		c = failed(err)
	}
	if c.Err != nil && errors.Is(within.Err(), context.DeadlineExceeded) {
		c = Check{State: Unknown, Reason: fmt.Sprintf("no answer within %d s", int(limit.Seconds())), Advice: c.Advice, Facts: c.Facts, Err: c.Err}
	}
	c.Took = max(d.Now().Sub(began), 0)
	return c
}

// failed returns the result of a check that panicked.
func failed(err error) Check {
	return Check{State: Unknown, Reason: "the check itself failed", Advice: "the log has the cause under this request id; report it", Err: err}
}

// why describes an error without any of its text.
func why(err error) string {
	if down, ok := errors.AsType[*store.Unavailable](err); ok && !errors.Is(err, context.DeadlineExceeded) {
		return down.Dependency + " cannot be reached or does not take the call"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, store.ErrForbidden):
		return "the app lacks the permission"
	case errors.Is(err, store.ErrNotFound):
		return "it is not there"
	}
	return "the call failed; the log has the cause under this request id"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
