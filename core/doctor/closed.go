package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// closed is the last window that this instance closed at its end. The zero value is none.
type closed struct {
	mu       sync.Mutex
	at, ends time.Time
}

// Noting wraps an activity log so that the doctor sees which windows this instance closes.
func (d *Doctor) Noting(log store.Activity) store.Activity { return noting{log, d} }

type noting struct {
	store.Activity
	d *Doctor
}

// Append implements [store.Activity].
func (n noting) Append(ctx context.Context, entries ...store.Entry) error {
	err := n.Activity.Append(ctx, entries...)
	if err != nil {
		return err
	}
	n.d.closed.mu.Lock()
	defer n.d.closed.mu.Unlock()
	for _, e := range entries {
		if e.Operation == store.OpClose && e.Result == store.Succeeded && e.Reason == string(jit.Expired) && e.Time.After(n.d.closed.at) {
			n.d.closed.at, n.d.closed.ends = e.Time, e.End
		}
	}
	return nil
}

// lastClosing returns when a window was last closed at its end, and how late.
func (d *Doctor) lastClosing() Fact {
	d.closed.mu.Lock()
	defer d.closed.mu.Unlock()
	if d.closed.at.IsZero() {
		return Fact{Name: "lastClosingAtAnEnd", Reason: "this instance has closed none since its start"}
	}
	return Fact{Name: "lastClosingAtAnEnd", Value: fmt.Sprintf("%s, %.1f s after its end", d.closed.at.UTC().Format(time.RFC3339), max(d.closed.at.Sub(d.closed.ends), 0).Seconds())}
}
