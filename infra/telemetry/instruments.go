package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"portcullis/core/jit"
	"portcullis/core/store"
)

type instruments struct {
	lateness metric.Float64Histogram
	opening  metric.Float64Histogram
	writes   metric.Int64Counter
	panics   metric.Int64Counter
	unlogged metric.Int64Counter
	told     metric.Int64Counter
	turned   metric.Int64Counter
	streamed metric.Int64Counter
	open     metric.Int64ObservableGauge
	overdue  metric.Float64ObservableGauge
	waits    metric.Float64Histogram
	queue    metric.Int64ObservableGauge
}

func newInstruments(m metric.Meter) (instruments, error) {
	// The buckets, in seconds: openings take one to ten seconds; a closing is late by
	// seconds, by minutes when the sweep had to do it, and by hours in a disaster.
	openings := []float64{0.5, 1, 2, 3, 5, 8, 13, 25, 60, 120, 300}
	closings := []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400}
	var i instruments
	errs := make([]error, 12)
	i.lateness, errs[0] = m.Float64Histogram("portcullis.closing.lateness", metric.WithUnit("s"),
		metric.WithDescription("From a window's end until its closing was confirmed."), metric.WithExplicitBucketBoundaries(closings...))
	i.opening, errs[1] = m.Float64Histogram("portcullis.open.duration", metric.WithUnit("s"),
		metric.WithDescription("From a request until its ports were confirmed open."), metric.WithExplicitBucketBoundaries(openings...))
	i.writes, errs[2] = m.Int64Counter("portcullis.arm.writes", metric.WithUnit("{write}"),
		metric.WithDescription("Writes of network security groups, by result."))
	i.open, errs[3] = m.Int64ObservableGauge("portcullis.windows.open", metric.WithUnit("{window}"),
		metric.WithDescription("Windows that are open, or may still be. Every instance tells the same."))
	i.overdue, errs[4] = m.Float64ObservableGauge("portcullis.closing.overdue", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest window that should be closed and is not confirmed to be. Every instance tells the same."))
	waits := []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800}
	i.waits, errs[5] = m.Float64Histogram("portcullis.arm.wait", metric.WithUnit("s"),
		metric.WithDescription("What calls of Azure Resource Manager waited for their turn, by kind and lane."), metric.WithExplicitBucketBoundaries(waits...))
	i.queue, errs[6] = m.Int64ObservableGauge("portcullis.arm.queue", metric.WithUnit("{call}"),
		metric.WithDescription("Calls of Azure Resource Manager that wait for their turn in this instance, by kind and lane."))
	i.panics, errs[7] = m.Int64Counter("portcullis.panics", metric.WithUnit("{panic}"),
		metric.WithDescription("Panics in background work, which end the work on one target or grant and are left to the sweep."))
	i.unlogged, errs[8] = m.Int64Counter("portcullis.log.unwritten", metric.WithUnit("{entry}"),
		metric.WithDescription("Entries of the activity log that could not be written when they were to be; some are tried again."))
	i.told, errs[9] = m.Int64Counter("portcullis.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Tries to deliver a message to people, by channel and result."))
	i.turned, errs[10] = m.Int64Counter("portcullis.calls.turned_away", metric.WithUnit("{call}"),
		metric.WithDescription("Calls of callers who were lately permitted nothing that were refused before they were looked at, by whether they had a valid token."))
	i.streamed, errs[11] = m.Int64Counter("portcullis.log.streamed", metric.WithUnit("{event}"),
		metric.WithDescription("Events of the activity log that the receiver of the stream has taken."))
	return i, errors.Join(errs...)
}

// Panicked counts and logs a panic in background work: of what it was for, and the stack.
func (t *Telemetry) Panicked(of string, stack []byte) {
	t.instruments.panics.Add(context.Background(), 1)
	t.log.Error("panic in the background", "of", of, "stack", string(stack))
}

// Uncounted logs that the number of refusals could not be written to the activity log; it is tried again.
func (t *Telemetry) Uncounted(err error) {
	t.log.Error("refusals are not counted in the activity log", "error", err.Error())
}

// Told counts a try to deliver a message to people, and logs one that failed. Errors of channels hold no address.
func (t *Telemetry) Told(channel string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
		t.log.Warn("message not delivered", "channel", channel, "error", err.Error())
	}
	t.instruments.told.Add(context.Background(), 1, metric.WithAttributes(attribute.String("channel", channel), attribute.String("result", outcome)))
}

// Streamed counts the events of the activity log that a receiver has taken, and logs why it has not taken all. The error holds no event.
func (t *Telemetry) Streamed(taken int, err error) {
	if err != nil {
		t.log.Warn("activity not streamed", "taken", taken, "error", err.Error())
	}
	t.instruments.streamed.Add(context.Background(), int64(taken))
}

// TurnedAway counts a call that was refused before it was looked at, because its caller was lately permitted nothing.
func (t *Telemetry) TurnedAway(identified bool) {
	t.instruments.turned.Add(context.Background(), 1, metric.WithAttributes(attribute.Bool("identified", identified)))
}

// Queued is how many calls of one kind and lane wait for their turn.
type Queued struct {
	Kind    string // reads, writes or deletes
	Closing bool
	Calls   int
}

func laneOf(closing bool) attribute.KeyValue {
	if closing {
		return attribute.String("lane", "closing")
	}
	return attribute.String("lane", "opening")
}

// Waited measures what a call of Azure Resource Manager waited for its turn.
func (t *Telemetry) Waited(kind string, closing bool, waited time.Duration) {
	t.instruments.waits.Record(context.Background(), waited.Seconds(), metric.WithAttributes(attribute.String("kind", kind), laneOf(closing)))
}

// WatchQueue reports portcullis.arm.queue at each export of metrics.
func (t *Telemetry) WatchQueue(queued func() []Queued) error {
	_, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, q := range queued() {
			o.ObserveInt64(t.instruments.queue, int64(q.Calls), metric.WithAttributes(attribute.String("kind", q.Kind), laneOf(q.Closing)))
		}
		return nil
	}, t.instruments.queue)
	if err != nil {
		return fmt.Errorf("watch the queue: %w", err)
	}
	return nil
}

// watchTimeout bounds what one export waits for Table Storage.
const watchTimeout = 4 * time.Second

// Watch reports portcullis.windows.open and portcullis.closing.overdue from what
// is stored, at each export of metrics: one read of the open grants, and none
// where metrics are off. What cannot be read is not reported, rather than 0.
func (t *Telemetry) Watch(grants store.Grants, overdue func(open []store.GrantRecord) time.Duration) error {
	_, err := t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, watchTimeout)
		defer cancel()
		all, err := grants.OpenGrants(ctx)
		if err != nil {
			return fmt.Errorf("measure the open windows: %w", err)
		}
		o.ObserveInt64(t.instruments.open, openWindows(all))
		o.ObserveFloat64(t.instruments.overdue, overdue(all).Seconds())
		return nil
	}, t.instruments.open, t.instruments.overdue)
	if err != nil {
		return fmt.Errorf("watch the open windows: %w", err)
	}
	return nil
}

// openWindows counts the windows that were confirmed open and are not confirmed closed.
func openWindows(grants []store.GrantRecord) int64 {
	var n int64
	for _, g := range grants {
		for _, vm := range g.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Initiated || w.Status == jit.Revoking {
					n++
				}
			}
		}
	}
	return n
}
