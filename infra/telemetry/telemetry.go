package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/Azure/azure-sdk-for-go/sdk/tracing/azotel"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// scope names the instrumentation.
const scope = "portcullis"

// How long what was measured stays in a process that may be killed at any moment.
const (
	spanDelay     = time.Second
	metricsEvery  = 15 * time.Second
	exportTimeout = 5 * time.Second
)

// Config is what [Start] needs. Every field must be set.
type Config struct {
	Environ []string // NAME=value; decides whether anything is exported. The exporters read their own settings from the process.
	Version string
	Log     *slog.Logger
	Now     func() time.Time
	// Invocation gives the host's id of the call that a context belongs to, "" outside of one.
	Invocation func(context.Context) string
}

// Telemetry hands out the decorators. It is safe for concurrent use.
type Telemetry struct {
	log         *slog.Logger
	now         func() time.Time
	invocation  func(context.Context) string
	tracer      trace.Tracer
	meter       metric.Meter
	tracing     tracing.Provider
	instruments instruments
	stops       []func(context.Context) error

	mu        sync.Mutex
	requested map[string]time.Time // when a request not yet open was made, by grant
}

// Start reads the standard OTLP variables and, where they name an endpoint,
// starts exporting to it. It does not connect: a collector that is down does not
// keep the app from starting. Errors of exports go to the log as warnings.
func Start(ctx context.Context, cfg Config) (*Telemetry, error) {
	traces, metrics, err := endpoints(cfg.Environ)
	if err != nil {
		return nil, fmt.Errorf("start telemetry: %w", err)
	}
	t := &Telemetry{log: cfg.Log, now: cfg.Now, invocation: cfg.Invocation, requested: map[string]time.Time{}}
	var tracers trace.TracerProvider = tracenoop.NewTracerProvider()
	var meters metric.MeterProvider = metricnoop.NewMeterProvider()
	if traces || metrics {
		// The SDK takes its error handler from a global and nowhere else.
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Warn("export telemetry", "error", err.Error()) }))
	}
	if traces {
		provider, err := startTraces(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("start traces: %w", err)
		}
		tracers, t.tracing = provider, azotel.NewTracingProvider(provider, nil)
		t.stops = append(t.stops, provider.Shutdown)
	}
	if metrics {
		provider, err := startMetrics(ctx, cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start metrics: %w", err), t.Stop(ctx))
		}
		meters = provider
		t.stops = append(t.stops, provider.Shutdown)
	}
	t.tracer, t.meter = tracers.Tracer(scope), meters.Meter(scope)
	if t.instruments, err = newInstruments(t.meter); err != nil {
		return nil, errors.Join(fmt.Errorf("make the instruments: %w", err), t.Stop(ctx))
	}
	return t, nil
}

// endpoints says whether the environment asks for traces and for metrics.
func endpoints(environ []string) (traces, metrics bool, err error) {
	env := map[string]string{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	if strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") {
		return false, false, nil
	}
	wanted := func(signal string) (bool, error) {
		if env["OTEL_EXPORTER_OTLP_ENDPOINT"] == "" && env["OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT"] == "" || env["OTEL_"+signal+"_EXPORTER"] == "none" {
			return false, nil
		}
		for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
			if p := env[name]; p == "http/protobuf" {
				return true, nil
			} else if p != "" {
				return false, fmt.Errorf("%s is %q: only http/protobuf is spoken here", name, p)
			}
		}
		return true, nil
	}
	if traces, err = wanted("TRACES"); err != nil {
		return false, false, err
	}
	metrics, err = wanted("METRICS")
	return traces, metrics, err
}

// set reports whether the environment gives the name a value.
func set(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(line string) bool {
		value, ok := strings.CutPrefix(line, name+"=")
		return ok && value != ""
	})
}

// about describes this process; OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
func about(ctx context.Context, cfg Config) (*resource.Resource, error) {
	return resource.New(ctx, resource.WithAttributes(attribute.String("service.name", scope), attribute.String("service.version", cfg.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
}

func startTraces(ctx context.Context, cfg Config) (*sdktrace.TracerProvider, error) {
	about, err := about(ctx, cfg)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	options := []sdktrace.BatchSpanProcessorOption{sdktrace.WithExportTimeout(exportTimeout)}
	if !set(cfg.Environ, "OTEL_BSP_SCHEDULE_DELAY") {
		options = append(options, sdktrace.WithBatchTimeout(spanDelay))
	}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter, options...)), nil
}

func startMetrics(ctx context.Context, cfg Config) (*sdkmetric.MeterProvider, error) {
	about, err := about(ctx, cfg)
	if err != nil {
		return nil, err
	}
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, err
	}
	options := []sdkmetric.PeriodicReaderOption{sdkmetric.WithTimeout(exportTimeout)}
	if !set(cfg.Environ, "OTEL_METRIC_EXPORT_INTERVAL") {
		options = append(options, sdkmetric.WithInterval(metricsEvery))
	}
	return sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter, options...))), nil
}

// Tracing is what azcore.ClientOptions.TracingProvider takes, so that every call
// of an Azure SDK becomes a span; the zero Provider, which does nothing, where traces are off.
func (t *Telemetry) Tracing() tracing.Provider { return t.tracing }

// Stop exports what is left and stops. It is for tests and tools: the app is
// killed without one.
func (t *Telemetry) Stop(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stops {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}
