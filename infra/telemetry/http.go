package telemetry

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Request begins one span of each request but the host's probe, below the span that the host's traceparent header names, and
// returns the request with it. ended ends it, with the status that was answered.
// The span is named after the function, not the path: paths hold ids without
// end. Neither query, headers nor bodies go into it.
func (t *Telemetry) Request(r *http.Request) (with *http.Request, ended func(status int)) {
	if r.URL.Path == "/" {
		return r, func(int) {}
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, name(r), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", r.Method), attribute.String("faas.invocation_id", t.invocation(ctx))))
	return r.WithContext(ctx), func(status int) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// name gives a span's name: the method and at most the first two segments of the path.
func name(r *http.Request) string {
	segments := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	n := 1
	if segments[0] == "api" && len(segments) > 1 {
		n = 2
	}
	return r.Method + " /" + strings.Join(segments[:n], "/")
}
