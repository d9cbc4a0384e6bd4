package telemetry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/telemetry"
)

// collector is an OTLP collector: the metrics and spans that it was sent.
type collector struct {
	mu      sync.Mutex
	metrics map[string]float64 // last sum, count or value by name and attributes
	spans   []string
	service string

	invocations []string // of the spans
}

func newCollector(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{metrics: map[string]float64{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return c, server.URL
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	if err == nil {
		err = c.take(r.URL.Path, raw)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) take(path string, raw []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path == "/v1/traces" {
		var request collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(raw, &request); err != nil {
			return err
		}
		for _, rs := range request.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					c.spans = append(c.spans, s.Name)
					for _, a := range s.Attributes {
						if a.Key == "faas.invocation_id" {
							c.invocations = append(c.invocations, a.Value.GetStringValue())
						}
					}
				}
			}
		}
		return nil
	}
	var request collectormetrics.ExportMetricsServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil {
		return err
	}
	for _, rm := range request.ResourceMetrics {
		for _, a := range rm.Resource.Attributes {
			if a.Key == "service.name" {
				c.service = a.Value.GetStringValue()
			}
		}
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				for _, p := range m.GetHistogram().GetDataPoints() {
					c.metrics[m.Name+" sum"], c.metrics[m.Name+" count"] = p.GetSum(), float64(p.GetCount())
				}
				for _, p := range m.GetSum().GetDataPoints() {
					name := m.Name
					for _, a := range p.Attributes {
						if name += " " + a.Value.GetStringValue(); a.Value.GetBoolValue() {
							name += a.Key
						}
					}
					c.metrics[name] = float64(p.GetAsInt())
				}
				for _, p := range m.GetGauge().GetDataPoints() {
					c.metrics[m.Name] = float64(p.GetAsInt()) + p.GetAsDouble()
				}
			}
		}
	}
	return nil
}

func clock() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

type invocationKey struct{}

// invocationOf stands for what the doors know of a call.
func invocationOf(ctx context.Context) string {
	id, _ := ctx.Value(invocationKey{}).(string)
	return id
}

func start(t *testing.T, log io.Writer, environ ...string) *telemetry.Telemetry {
	t.Helper()
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value) // the exporters read the process's
	}
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Environ: environ, Version: "test", Log: slog.New(slog.NewJSONHandler(log, nil)), Now: clock, Invocation: invocationOf})
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func TestStartRefuses(t *testing.T) {
	for _, tt := range []struct{ name, environ, want string }{
		{"another protocol", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "only http/protobuf"},
		{"another protocol for metrics alone", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json", "only http/protobuf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := telemetry.Start(t.Context(), telemetry.Config{Environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", tt.environ}, Log: slog.New(slog.DiscardHandler), Now: clock, Invocation: invocationOf})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestOffWithoutAnEndpoint(t *testing.T) {
	for _, environ := range [][]string{nil, {"OTEL_EXPORTER_OTLP_ENDPOINT="}, {"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, {"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_SDK_DISABLED=true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"}} {
		tel := start(t, io.Discard, environ...)
		if tracer := tel.Tracing().NewTracer("any", "v1"); tracer.Enabled() {
			t.Errorf("%q: the SDKs would make spans", environ)
		}
		asked := false
		if err := tel.Watch(&grants{}, func([]store.GrantRecord) time.Duration { asked = true; return 0 }); err != nil {
			t.Fatal(err)
		}
		if err := tel.Stop(t.Context()); err != nil || asked {
			t.Errorf("%q: stop: %v, the store was asked: %v; nothing should have been started", environ, err, asked)
		}
	}
}

// firewall answers each write with the next of its errors.
type firewall struct {
	network.RuleStore
	errs []error
}

// Apply implements access.Firewall.
func (f *firewall) Apply(context.Context, network.Priority, network.Snapshot, plan.Changes) (network.Snapshot, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return network.Snapshot{Version: "next"}, err
}

func id(t *testing.T, s string) jit.ID {
	t.Helper()
	out, err := jit.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const vmID = "/subscriptions/00000000-0000-0000-0000-0000000000aa/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"

func TestMetricsAndSpans(t *testing.T) {
	c, url := newCollector(t)
	tel := start(t, io.Discard, "OTEL_EXPORTER_OTLP_ENDPOINT="+url)
	ctx := t.Context()

	// Three writes, one of them refused, and one call that is no write.
	refusal := &store.Unavailable{Dependency: "x", Err: errors.New("y")}
	f := tel.RuleStore(&firewall{errs: []error{nil, nil, refusal, nil}})
	change := plan.Changes{Delete: []jit.Rule{{}}}
	for i, s := range []network.Snapshot{{}, {Standing: network.Standing{Unconfirmed: true}}, {}, {}} {
		c := change
		if i == 1 || i == 3 {
			c = plan.Changes{}
		}
		next, err := f.Apply(ctx, network.Ordinary(), s, c)
		if next.Version != "next" || (i == 2) != errors.Is(err, refusal.Err) {
			t.Errorf("write %d is given on as %v, %v", i, next, err)
		}
	}

	// A grant that opened after 3 s, one that never did, and closings: 4 s late, replaced, refused.
	log := tel.Activity(coretest.NewMemory())
	entry := func(op store.Operation, result store.Result, grant string, at, end time.Time) store.Entry {
		return store.Entry{ID: grant + string(op) + string(result) + end.String(), Operation: op, Result: result, Grant: grant, Time: at, End: end, VM: id(t, vmID), Reason: "Expired"}
	}
	now, later := clock(), clock().Add(time.Hour)
	for _, e := range []store.Entry{
		entry(store.OpRequest, store.Succeeded, "a", now.Add(-3*time.Second), later),
		entry(store.OpRequest, store.Succeeded, "b", now.Add(-9*time.Second), later),
		entry(store.OpOpen, store.Succeeded, "a", now, later),
		entry(store.OpOpen, store.Succeeded, "a", now, later.Add(1)), // its second machine
		entry(store.OpOpen, store.Failed, "b", now, later),
		entry(store.OpOpen, store.Succeeded, "b", now, later), // begun when is not known any more
		entry(store.OpClose, store.Succeeded, "c", now, now.Add(-4*time.Second)),
		entry(store.OpClose, store.Succeeded, "d", now, later),
		entry(store.OpClose, store.Failed, "e", now, now.Add(-time.Minute)),
	} {
		if err := log.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}

	stored := &grants{}
	overdue := func(open []store.GrantRecord) time.Duration { return time.Duration(len(open)) * 90 * time.Second }
	if err := tel.Watch(stored, overdue); err != nil {
		t.Fatal(err)
	}
	down := tel.Activity(&coretest.Faulty{Store: coretest.NewMemory(), Fault: func(context.Context, coretest.Step) error { return refusal }})
	if err := down.Append(ctx, entry(store.OpOpen, store.Failed, "d", clock(), clock()), entry(store.OpRequest, store.Refused, "e", clock(), clock())); !errors.Is(err, refusal) {
		t.Errorf("an append that failed is given on as %v", err)
	}
	for _, identified := range []bool{true, true, false} {
		tel.TurnedAway(identified)
	}
	if err := tel.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if stored.reads != 1 {
		t.Errorf("one export read the open grants %d times", stored.reads)
	}
	want := map[string]float64{
		"portcullis.arm.writes ok": 2, "portcullis.arm.writes unavailable": 1,
		"portcullis.open.duration sum": 3, "portcullis.open.duration count": 1,
		"portcullis.closing.lateness sum": 4, "portcullis.closing.lateness count": 1,
		"portcullis.log.unwritten": 2, "portcullis.calls.turned_away identified": 2, "portcullis.calls.turned_away ": 1,
		"portcullis.windows.open": 2, "portcullis.closing.overdue": 90,
	}
	if diff := cmp.Diff(want, c.metrics, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if c.service != "portcullis" {
		t.Errorf("service.name is %q", c.service)
	}
	if want := []string{"firewall.apply", "firewall.apply", "firewall.apply", "firewall.apply"}; !cmp.Equal(want, c.spans) {
		t.Errorf("spans %q, want %q", c.spans, want)
	}
}

// grants has two windows that are or may be open among five.
type grants struct {
	store.Grants
	reads int
}

// OpenGrants implements access.Grants.
func (g *grants) OpenGrants(context.Context) ([]store.GrantRecord, error) {
	g.reads++
	var ports []jit.Window
	for _, s := range []jit.Status{0, jit.Initiating, jit.Initiated, jit.Revoking, jit.Revoked} {
		ports = append(ports, jit.Window{Status: s})
	}
	return []store.GrantRecord{{Grant: jit.Grant{VMs: []jit.GrantVM{{Ports: ports}}}}}, nil
}

// TestKilled holds that nothing relies on a shutdown: what was measured is with
// the collector soon after, though nobody stops the exporters.
func TestKilled(t *testing.T) {
	c, url := newCollector(t)
	tel := start(t, io.Discard, "OTEL_EXPORTER_OTLP_ENDPOINT="+url, "OTEL_METRIC_EXPORT_INTERVAL=50", "OTEL_BSP_SCHEDULE_DELAY=50")
	if _, err := tel.RuleStore(&firewall{errs: []error{nil}}).Apply(t.Context(), network.Ordinary(), network.Snapshot{Standing: network.Standing{Unconfirmed: true}}, plan.Changes{}); err != nil {
		t.Fatal(err)
	}
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-deadline.C:
			t.Fatal("nothing came to the collector")
		case <-tick.C:
			c.mu.Lock()
			done = c.metrics["portcullis.arm.writes ok"] == 1 && len(c.spans) == 1
			c.mu.Unlock()
		}
	}
	if err := tel.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRequest(t *testing.T) {
	c, url := newCollector(t)
	tel := start(t, io.Discard, "OTEL_EXPORTER_OTLP_ENDPOINT="+url)
	for _, r := range []struct{ method, path, id string }{
		{"GET", "/", "probe"}, {"POST", "/sweep", "one"}, {"GET", "/api/requests/00000000-0000-0000-0000-000000000001", "two"}, {"PUT", "/api/subscriptions/a/b/c", ""},
	} {
		req := httptest.NewRequest(r.method, r.path, nil)
		with, ended := tel.Request(req.WithContext(context.WithValue(req.Context(), invocationKey{}, r.id)))
		if with.Method != r.method || with.URL.Path != r.path {
			t.Errorf("%s %s became %s %s", r.method, r.path, with.Method, with.URL.Path)
		}
		ended(http.StatusOK)
	}
	if err := tel.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"POST /sweep", "GET /api/requests", "PUT /api/subscriptions"}, c.spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"one", "two", ""}, c.invocations); diff != "" {
		t.Errorf("invocations of the spans (-want +got):\n%s", diff)
	}
}

// TestSweepLines holds the lines that the alert rules look for, whether or not
// anything is exported.
func TestSweepLines(t *testing.T) {
	var out bytes.Buffer
	tel := start(t, &out)
	sweeps := tel.Sweeps(coretest.NewMemory(), &ends{})
	ctx, now := t.Context(), clock()
	running := store.SweepRecord{Started: now, Findings: []store.Finding{{Kind: store.FindingOverdue}}}
	if err := sweeps.PutSweep(ctx, running); err != nil || out.Len() > 0 {
		t.Fatalf("a sweep that runs still: %v, logged %q", err, out.String())
	}
	ended := running
	ended.Ended, ended.Completed, ended.Targets, ended.Closed = now.Add(2*time.Second), now.Add(2*time.Second), 7, 1
	ended.Findings = append(ended.Findings, store.Finding{Kind: store.FindingExposed}, store.Finding{Kind: store.FindingExposed})
	ended.Findings[0].Grant, ended.Findings[0].VM, ended.Findings[0].Since = "g", id(t, vmID), now
	if err := sweeps.PutSweep(ctx, ended); err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "time")
		lines = append(lines, doc)
	}
	want := []map[string]any{
		{"level": "WARN", "msg": "finding", "invocation": "", "kind": "Overdue", "target": "", "virtualMachine": vmID, "request": "g", "since": "2026-07-01T12:00:00Z"},
		{"level": "INFO", "msg": "sweep", "invocation": "", "complete": true, "took": 2e9, "targets": 7.0, "changed": 0.0, "closed": 1.0, "findings": map[string]any{"Exposed": 2.0, "Overdue": 1.0}, "error": ""},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if got, err := sweeps.LastSweep(ctx); err != nil || got.Targets != 7 {
		t.Errorf("the record is not given on: %v, %v", got, err)
	}
}

func TestSweepLinesAreNotWrittenForWhatIsNotStored(t *testing.T) {
	var out bytes.Buffer
	broken := errors.New("broken")
	err := start(t, &out).Sweeps(noSweeps{broken}, &ends{}).PutSweep(t.Context(), store.SweepRecord{Ended: clock()})
	if !errors.Is(err, broken) || out.Len() > 0 {
		t.Errorf("error %v, logged %q; want the store's error and no heartbeat", err, out.String())
	}
}

type noSweeps struct{ err error }

// PutSweep implements access.Sweeps.
func (s noSweeps) PutSweep(context.Context, store.SweepRecord) error { return s.err }

// LastSweep implements access.Sweeps.
func (s noSweeps) LastSweep(context.Context) (store.SweepRecord, error) {
	return store.SweepRecord{}, s.err
}
