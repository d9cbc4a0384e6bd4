package hostsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"portcullis/local/hostsim/route"
)

// Bounds of the host's server: the request line and the header lines, in bytes, the number of
// these, and the header lines of an answer.
const (
	maxRequestLine   = 8 << 10
	maxHeaders       = 100
	maxHeaderBytes   = 32 << 10
	maxAnswerHeaders = 64 << 10
)

// ServeHTTP proxies a request to the handler if a declared route matches it, as
// enableProxyingHttpRequest does: bodies and answers are streamed, and when the client goes
// away the handler's connection is closed. Everything else is answered with an empty body.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, status := h.admit(r)
	var f *function
	if status == 0 {
		if f = lookup(h.functions, strings.ToUpper(r.Method), path); f == nil {
			status = http.StatusNotFound
		}
	}
	if status == 0 && r.ContentLength > h.cfg.MaxBody {
		w.Header().Set("Connection", "close")
		status = http.StatusInternalServerError
	}
	if status != 0 {
		refuse(w, status)
		return
	}
	p, err := h.awaitBounded()
	if err != nil {
		h.log.Error("request without a handler", "function", f.name, "error", err)
		status := http.StatusServiceUnavailable
		if errors.Is(err, errGone) {
			status = http.StatusInternalServerError
		}
		refuse(w, status)
		return
	}
	invocation := uuid.NewString()
	h.log.Debug("proxy", "function", f.name, "invocation", invocation)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	err = h.within(ctx, p, func(ctx context.Context) error { return h.proxy(ctx, w, r, path, invocation) })
	if err != nil {
		h.log.Error("request failed", "function", f.name, "invocation", invocation, "error", err)
	}
}

// refuse answers as the host's server does for itself.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Server", "Kestrel")
	switch status {
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(status)
}

// admit returns the path of a request that may be routed, or the status of the refusal. The
// home page is taken to be turned off.
func (h *Host) admit(r *http.Request) (path string, status int) {
	if len(r.Method)+len(r.RequestURI)+len("  HTTP/1.1\r\n") > maxRequestLine {
		return "", http.StatusRequestURITooLong
	}
	lines, size := 1, len("Host: \r\n")+len(r.Host)
	latin, beyond := false, false
	for name, values := range r.Header {
		for _, v := range values {
			lines, size = lines+1, size+len(name)+len(": \r\n")+len(v)
			latin = latin || !utf8.ValidString(v)
			beyond = beyond || !isASCII(v)
		}
	}
	path, ok := route.ReadPath(r.URL.EscapedPath())
	switch {
	case !ok || latin || !isASCII(r.RequestURI) || !isASCII(r.Host):
		return "", http.StatusBadRequest
	case lines > maxHeaders || size > maxHeaderBytes:
		return "", http.StatusRequestHeaderFieldsTooLarge
	case path == "/":
		return "", http.StatusNoContent
	case strings.HasPrefix(path, "/admin/") || strings.HasPrefix(path, "/runtime/webhooks/"):
		return "", http.StatusUnauthorized
	case beyond || r.Host == "": // the proxy cannot write the one, and has no name for the other
		return path, http.StatusInternalServerError
	}
	return path, 0
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// awaitBounded waits for a handler as long as one may take to start.
func (h *Host) awaitBounded() (*process, error) {
	ctx, cancel := context.WithTimeout(h.ctx, h.settings.initializationTimeout)
	defer cancel()
	return h.await(ctx)
}

// proxy has the handler answer the request. The error is the handler's, and the answer 500
// then, unless the answer has begun: then the connection is broken off.
func (h *Host) proxy(ctx context.Context, w http.ResponseWriter, r *http.Request, path, invocation string) (failure error) {
	w.Header()["Content-Type"] = nil // none is added to an answer without
	r.Body = http.MaxBytesReader(w, r.Body, h.cfg.MaxBody)
	(&httputil.ReverseProxy{
		Transport:     repeater{h},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Method = strings.ToUpper(r.Method)
			p.Out.URL.Scheme, p.Out.URL.Path, p.Out.URL.RawPath, p.Out.URL.RawQuery = "http", path, route.WritePath(path), route.WriteQuery(p.In.URL.RawQuery)
			p.Out.Header = h.outgoing(r, invocation)
			p.Out.Host = ""
			if strings.Contains(strings.ToLower(r.Host), "xn--") { // the proxy writes such a name itself
				p.Out.Host = r.Host
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			for name, values := range resp.Header {
				if !isASCII(strings.Join(values, "")) {
					return fmt.Errorf("the answer's %s is not ASCII", name)
				}
			}
			if resp.Header.Get("Server") == "" {
				resp.Header.Set("Server", "Kestrel")
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			failure = err
			refuse(w, http.StatusInternalServerError)
		},
	}).ServeHTTP(w, r.WithContext(ctx))
	return failure
}

// hopByHop is what the host does not pass on; what Connection names, it does.
var hopByHop = []string{"Connection", "Keep-Alive", "Te", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Transfer-Encoding",
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix"}

// outgoing returns the headers of a request to the handler.
func (h *Host) outgoing(r *http.Request, invocation string) http.Header {
	out := http.Header{"User-Agent": {""}} // Go's own is not added
	for name, values := range r.Header {
		separator := ", "
		switch name {
		case "Cookie":
			separator = "; "
		case "User-Agent":
			separator = " "
		}
		out[name] = []string{strings.Join(values, separator)}
	}
	for _, name := range hopByHop {
		out.Del(name)
	}
	caller, proto := h.forwarded(r, out)
	out.Set("X-Forwarded-For", caller)
	out.Set("X-Forwarded-Host", r.Host)
	out.Set("X-Forwarded-Proto", proto)
	out.Set("X-Azure-Functions-HostVersion", Version)
	out.Set("X-Azure-Functions-InvocationId", invocation)
	out.Set("x-ms-invocation-id", invocation)
	return out
}

// forwarded returns the caller's address and protocol: those of the connection, or, where the
// app has the setting, what the nearest proxy says they are. What is then replaced is kept in out.
func (h *Host) forwarded(r *http.Request, out http.Header) (caller, proto string) {
	peer := r.RemoteAddr
	caller, proto = peer, "http"
	if host, _, err := net.SplitHostPort(peer); err == nil {
		caller = host
	}
	if !h.trustsForwarded {
		return caller, proto
	}
	addr, known := address(last(r.Header.Values("X-Forwarded-For")))
	said := last(r.Header.Values("X-Forwarded-Proto"))
	if known {
		caller = addr
	}
	if known || said != "" {
		out.Set("X-Original-For", peer)
	}
	if said != "" {
		out.Set("X-Original-Proto", proto)
		proto = said
	}
	return caller, proto
}

// last returns the last of the values that lines hold between commas, empty ones left out.
func last(lines []string) string {
	values := strings.FieldsFunc(strings.Join(lines, ","), func(r rune) bool { return r == ',' || r == ' ' })
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// address reads an address with or without a port.
func address(text string) (string, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().String(), true
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.String(), err == nil
}

// repeater sends a request to the handler that runs, and again when there is no answer: the host
// tries 10 times, and its client 4 times in each what has no body at all and was dropped. A body that
// was begun cannot be sent again.
type repeater struct{ host *Host }

const tries, triesInEach = 10, 4

func (t repeater) RoundTrip(r *http.Request) (*http.Response, error) {
	each := 1
	body := &begun{Reader: r.Body}
	if r.ContentLength == 0 {
		body.Reader = strings.NewReader("")
		if !saysLength(r) {
			each = triesInEach
		}
	}
	for n := 1; ; n++ {
		resp, err := t.send(r, body)
		for inner := 1; inner < each && dropped(err); inner++ {
			resp, err = t.send(r, body)
		}
		if err == nil || body.read || n == tries || r.Context().Err() != nil {
			return resp, err
		}
		sleep(r.Context(), min(50*time.Millisecond<<min(n-1, 3), 250*time.Millisecond))
	}
}

// dropped reports whether the handler closed the connection without an answer.
func dropped(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) }

// send sends r once.
func (t repeater) send(r *http.Request, body io.Reader) (*http.Response, error) {
	t.host.mu.Lock()
	p := t.host.state.process
	t.host.mu.Unlock()
	if p == nil {
		return nil, errors.New("the handler is being started")
	}
	out := r.Clone(r.Context())
	out.URL.Host = strings.TrimPrefix(p.base, "http://")
	out.Body = io.NopCloser(body)
	if r.ContentLength == 0 && saysLength(r) {
		out.Body = http.NoBody
	} else if r.ContentLength == 0 {
		out.ContentLength = -1 // Go's client would repeat by itself what it knows to have no body
	}
	return t.host.client.Transport.RoundTrip(out)
}

// saysLength reports whether a request without a body says so to the handler.
func saysLength(r *http.Request) bool {
	return r.Header["Content-Length"] != nil || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
}

// begun is a body that knows whether anything was read of it.
type begun struct {
	io.Reader
	read bool
}

func (b *begun) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read = b.read || n > 0
	return n, err
}
