package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// RuleStore counts the writes of f and traces its reads and writes.
func (t *Telemetry) RuleStore(f network.RuleStore) network.RuleStore { return &ruleStore{f, t} }

type ruleStore struct {
	network.RuleStore
	t *Telemetry
}

// Rules implements [network.RuleStore].
func (f *ruleStore) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	ctx, span := f.t.tracer.Start(ctx, "firewall.rules", trace.WithAttributes(attribute.String("portcullis.target", target.Key())))
	defer span.End()
	s, err := f.RuleStore.Rules(ctx, p, target)
	failed(span, err)
	return s, err
}

// Apply implements [network.RuleStore].
func (f *ruleStore) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	ctx, span := f.t.tracer.Start(ctx, "firewall.apply", trace.WithAttributes(attribute.String("portcullis.target", s.Target.Key()),
		attribute.Int("portcullis.rules.created", len(c.Create)), attribute.Int("portcullis.rules.updated", len(c.Update)), attribute.Int("portcullis.rules.deleted", len(c.Delete))))
	defer span.End()
	next, err := f.RuleStore.Apply(ctx, p, s, c)
	failed(span, err)
	if !c.Empty() || s.Unconfirmed { // anything else is no write, as the port says
		f.t.instruments.writes.Add(context.WithoutCancel(ctx), 1, metric.WithAttributes(attribute.String("result", result(err))))
	}
	return next, err
}

// Turn implements [network.Turns] where what it wraps does.
func (f *ruleStore) Turn(ctx context.Context, p network.Priority, s network.Snapshot) (context.Context, bool, error) {
	pacer, ok := f.RuleStore.(network.Turns)
	if !ok {
		return ctx, false, nil
	}
	within, span := f.t.tracer.Start(ctx, "firewall.turn", trace.WithAttributes(attribute.String("portcullis.target", s.Target.Key())))
	held, waited, err := pacer.Turn(within, p, s)
	failed(span, err)
	span.End()
	return held, waited, err
}

func failed(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, result(err)) // the text of an error may hold names that belong in the log alone
	}
}

// result sorts an outcome into few words, so that it can be an attribute.
func result(err error) string {
	_, down := errors.AsType[*store.Unavailable](err)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrConflict):
		return "conflict"
	case errors.Is(err, store.ErrNotFound):
		return "notFound"
	case errors.Is(err, store.ErrLocked):
		return "locked"
	case errors.Is(err, store.ErrForbidden):
		return "forbidden"
	case down:
		return "unavailable"
	}
	return "error"
}

// Activity measures openings and closings by what a appends.
func (t *Telemetry) Activity(a store.Activity) store.Activity { return &activity{a, t} }

type activity struct {
	store.Activity
	t *Telemetry
}

// Append implements [store.Activity].
func (a *activity) Append(ctx context.Context, entries ...store.Entry) error {
	err := a.Activity.Append(ctx, entries...)
	if err != nil {
		a.t.instruments.unlogged.Add(context.WithoutCancel(ctx), int64(len(entries)))
	}
	if err == nil {
		for _, e := range entries {
			a.t.measure(context.WithoutCancel(ctx), e)
		}
	}
	return err
}

// keptRequests bounds what is remembered of requests that never open.
const keptRequests = 4096

func (t *Telemetry) measure(ctx context.Context, e store.Entry) {
	now := t.now()
	switch {
	case e.Operation == store.OpRequest && e.Result == store.Succeeded:
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.requested) >= keptRequests {
			clear(t.requested)
		}
		t.requested[e.Grant] = e.Time
	case e.Operation == store.OpRequest, e.Operation == store.OpOpen && e.Result != store.Succeeded:
		t.took(e.Grant)
	case e.Operation == store.OpOpen:
		if began, ok := t.took(e.Grant); ok { // the first of its machines tells for all: they open together
			t.instruments.opening.Record(ctx, now.Sub(began).Seconds())
		}
	case e.Operation == store.OpClose && e.Result == store.Succeeded:
		// A window that a newer one replaces, or that never opened, ends before its end and is not late.
		if late := now.Sub(e.End); late >= 0 {
			t.instruments.lateness.Record(ctx, late.Seconds(), metric.WithAttributes(attribute.String("reason", e.Reason)))
		}
	}
}

// took gives when a request was made, and forgets it.
func (t *Telemetry) took(grant string) (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	began, ok := t.requested[grant]
	delete(t.requested, grant)
	return began, ok
}
