package arrival

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// arrival is what the platform says of one call.
type arrival struct {
	// invocation is the host's id of the call, or one of ours where it gave none.
	invocation string
	// caller is the address from which the platform's front end took the call, or
	// the zero Addr where that is not known.
	caller netip.Addr
}

type arrivalKey struct{}

// of returns what [Reader.Read] read; of what it did not see nothing is known.
func of(ctx context.Context) arrival {
	a, _ := ctx.Value(arrivalKey{}).(arrival)
	return a
}

// Invocation returns the id under which the host, or the app, knows the call of ctx; "" outside of one.
func Invocation(ctx context.Context) string { return of(ctx).invocation }

// Caller returns the address from which the platform took the call of ctx, if that is known.
func Caller(ctx context.Context) (netip.Addr, bool) {
	own := of(ctx).caller
	return own, own.IsValid()
}

// Scheme gives what the client used: https, unless the call never left this machine.
func Scheme(r *http.Request) string {
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return "https"
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && a.IsLoopback() || strings.EqualFold(host, "localhost") {
		return "http"
	}
	return "https"
}

// Reader reads how calls reached this process.
type Reader struct {
	// ForwardedHeaders says that the host is set to take the caller's address from its front end.
	ForwardedHeaders bool
	NewID            func() string // a new UUID each time
}

// Read reads how each call arrived before next looks at it. A call that the host proxies
// goes on under the name by which the client knows the app: what compares origins
// or writes links then has nothing to know of the proxy.
func (reader Reader) Read(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{invocation: reader.invocationOf(r.Header)}
		if reader.ForwardedHeaders {
			a.caller, _ = callerOf(r.Header)
		}
		r = r.WithContext(context.WithValue(r.Context(), arrivalKey{}, a))
		if name, ok := only(r.Header, "X-Forwarded-Host"); ok {
			r.Host = name
		}
		next.ServeHTTP(w, r)
	})
}

// only gives the value of a header that stands once and holds one value.
func only(h http.Header, name string) (string, bool) {
	lines := h.Values(name)
	if len(lines) != 1 || lines[0] == "" || strings.Contains(lines[0], ",") {
		return "", false
	}
	return lines[0], true
}

// headerInvocation names the header by which the host tells its id of a call.
const headerInvocation = "X-Azure-Functions-InvocationId"

// invocationOf gives the host's id of a call, always a GUID. The host's is the last
// value: what else stands in the header is the client's, and could lead whoever reads the log to another call.
func (reader Reader) invocationOf(h http.Header) string {
	lines := h.Values(headerInvocation)
	if n := len(lines); n > 0 {
		line := lines[n-1]
		if id := strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:]); jit.ValidGUID(id) {
			return id
		}
	}
	return reader.NewID()
}

// Foreign says why a call is not one that the host itself posts to a trigger's door.
//
// The host posts to address, 127.0.0.1 and the port that it gave this process, with one invocation id and
// nothing that a front end, a proxy or a client adds. Whatever it passes on from HTTP it marks with X-Forwarded-For,
// X-Forwarded-Host, X-Forwarded-Proto and x-ms-invocation-id, and no client can take these away
// (measured). So nothing that came in as HTTP looks like a trigger, whatever its path is read as.
func Foreign(r *http.Request, address string) error {
	if address == "" || r.Host != address {
		return fmt.Errorf("it is for the host %.80q", r.Host)
	}
	for name := range r.Header {
		if added(name) {
			return fmt.Errorf("it carries %.80q, which the Functions host does not send", name)
		}
	}
	if ids := r.Header.Values(headerInvocation); len(ids) != 1 || !jit.ValidGUID(ids[0]) {
		return errors.New("it does not carry exactly one invocation id")
	}
	return nil
}

// What is added to a call on its way here, by the beginning of the header's name: front
// ends, gateways and proxies, browsers, the SDKs of clients, authentication. Names are
// in lower case. The tracing headers of .NET (traceparent, request-id, baggage ...) are the host's too.
var addedOnTheWay = []string{
	"x-forwarded", "forwarded", "x-original", "x-arr-", "x-ms-", "x-azure-", "x-waws-", "x-appservice-", "x-site-", "x-appgw-", "x-client-", "client-ip",
	"x-real-", "x-proxy", "x-cluster-", "x-envoy-", "x-cdn", "x-http-method", "x-rewrite", "x-requested-", "cf-", "true-client-ip", "fastly-", "akamai-",
	"disguised-host", "was-default-hostname", "max-forwards", "via", "proxy-",
	"authorization", "cookie", "origin", "referer", "sec-", "accept", "access-control-", "cache-control", "pragma", "if-", "range", "dnt", "priority", "upgrade", "idempotency-", "prefer",
}

// hostsOwn are the exceptions: the host's own headers, and those by which Application
// Insights in the host may tie its records together.
var hostsOwn = []string{"x-azure-functions-", "x-ms-request-"}

// added reports whether a header is one that the host itself never sends.
func added(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.ContainsFunc(addedOnTheWay, begins) && !slices.ContainsFunc(hostsOwn, begins)
}

// callerOf gives the address in X-Forwarded-For. The host writes one there: the last
// hop that its front end added, without a port. Anything else is not the host's.
func callerOf(h http.Header) (netip.Addr, bool) {
	hop, ok := only(h, "X-Forwarded-For")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(hop)
	if err != nil {
		return netip.Addr{}, false
	}
	return plain(a)
}

// plain gives an address that can be a source, in its own family, or none.
func plain(a netip.Addr) (netip.Addr, bool) {
	if a = a.Unmap(); a.Zone() != "" || a.IsUnspecified() {
		return netip.Addr{}, false
	}
	return a, true
}
