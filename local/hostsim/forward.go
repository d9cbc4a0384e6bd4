package hostsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// ServeHTTP forwards a request to the handler if a declared route matches it,
// with the losses of enableForwardingHttpRequest, and answers 404 with an empty
// body otherwise. The invocation goes on when the client goes away.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := lookup(h.functions, r.Method, r.URL.EscapedPath())
	if f == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := h.readBody(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		w.WriteHeader(status)
		return
	}
	p, err := h.awaitBounded()
	if err != nil {
		h.log.Error("request without a handler", "function", f.name, "error", err)
		status := http.StatusServiceUnavailable
		if errors.Is(err, errGone) {
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		return
	}
	invocation := uuid.NewString()
	h.log.Debug("forward", "function", f.name, "invocation", invocation)
	var resp *http.Response
	var answer []byte
	err = h.within(h.ctx, p, func(ctx context.Context) (err error) {
		resp, answer, err = h.forward(ctx, p, r, invocation, body)
		return err
	})
	if err != nil {
		h.log.Error("request failed", "function", f.name, "invocation", invocation, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	copyHeader(w.Header(), resp.Header)
	if r.Method != http.MethodHead && len(answer) > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	w.WriteHeader(resp.StatusCode)
	// An error here is the client's going away, which is nobody's fault.
	_, _ = w.Write(answer)
}

// readBody returns the body that the host would forward: all of it if its
// length is declared, nothing otherwise.
func (h *Host) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > h.cfg.MaxBody {
		return nil, &http.MaxBytesError{Limit: h.cfg.MaxBody}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.cfg.MaxBody))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if r.ContentLength <= 0 {
		return nil, nil
	}
	return body, nil
}

// awaitBounded waits for a handler as long as one may take to start.
func (h *Host) awaitBounded() (*process, error) {
	ctx, cancel := context.WithTimeout(h.ctx, h.settings.initializationTimeout)
	defer cancel()
	return h.await(ctx)
}

func (h *Host) forward(ctx context.Context, p *process, r *http.Request, invocation string, body []byte) (*http.Response, []byte, error) {
	target := p.base + r.URL.EscapedPath()
	if query := collapse(r.URL.RawQuery); query != "" {
		target += "?" + query
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	copyHeader(req.Header, r.Header)
	req.Host = r.Host
	// The platform's front end adds the peer it sees; what the client claims
	// stays before it.
	hops := append(r.Header.Values("X-Forwarded-For"), r.RemoteAddr)
	req.Header.Set("X-Forwarded-For", strings.Join(hops, ", "))
	addHostHeaders(req.Header, invocation)
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil, errors.New("the handler switched protocols, which cannot be forwarded")
	}
	answer, err := readAnswer(resp)
	return resp, answer, err
}

// collapse rebuilds a query string with one value for each key, as the host
// does: keys compared without case, values joined by commas.
func collapse(raw string) string {
	var keys []string
	values := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, value := unescape(k), unescape(v)
		folded := strings.ToLower(key)
		if _, ok := values[folded]; !ok {
			keys = append(keys, key)
		}
		values[folded] = append(values[folded], value)
	}
	var b strings.Builder
	for i, key := range keys {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(key) + "=" + escape(strings.Join(values[strings.ToLower(key)], ",")))
	}
	return b.String()
}

// unescape decodes a part of a query string; one that is broken stays as it is.
func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// escape writes a part of a query string with %20 for a space, as .NET does.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = append([]string(nil), values...)
	}
}
