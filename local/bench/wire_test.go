package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// How long a call takes to go and come back, beside what the service does meanwhile. They
// are assumptions, of the order that is seen inside a region.
const (
	armTrip   = 50 * time.Millisecond
	tableTrip = 10 * time.Millisecond
	busTrip   = 10 * time.Millisecond
)

// wire carries an SDK's requests to a handler in this process, so that inside a bubble of
// synctest nothing waits for a socket, which would hold its clock.
type wire struct {
	to   http.Handler
	trip time.Duration
}

// Do implements policy.Transporter.
func (w wire) Do(r *http.Request) (*http.Response, error) {
	if err := sleep(r.Context(), w.trip/2); err != nil {
		return nil, err
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	w.to.ServeHTTP(out, in)
	if err := sleep(r.Context(), w.trip-w.trip/2); err != nil {
		return nil, err
	}
	if trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	return &http.Response{
		Status: http.StatusText(out.Code), StatusCode: out.Code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.Header(), Body: io.NopCloser(out.Body), ContentLength: int64(out.Body.Len()), Request: r,
	}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// identity is the token of a managed identity, which never grows old here.
type identity string

// GetToken implements azcore.TokenCredential.
func (i identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(i), ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// cloudAt is a cloud whose Resource Manager is at the endpoint.
func cloudAt(endpoint string) cloud.Configuration {
	return cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: endpoint, Audience: audience}}}
}
