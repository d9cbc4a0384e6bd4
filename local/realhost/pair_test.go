package realhost_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"portcullis/local/hostsim"
	"portcullis/local/realhost"
)

// theApp has the routes of the app that matter to a path: catch-alls, parameters, and triggers
// under the names that the app's have.
const theApp = `
-- host.json --
{"version":"2.0","functionTimeout":"00:01:00","customHandler":{"description":{"defaultExecutablePath":"EXECUTABLE"},"enableProxyingHttpRequest":true},
 "extensionBundle":{"id":"Microsoft.Azure.Functions.ExtensionBundle","version":"[4.*, 5.0.0)"}}
-- any/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","route":"any/{*path}"},{"type":"http","direction":"out","name":"res"}]}
-- item/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["get","post"],"route":"items/{id?}"},{"type":"http","direction":"out","name":"res"}]}
-- act/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["post"],"route":"items/{id}/act"},{"type":"http","direction":"out","name":"res"}]}
-- revoke/function.json --
{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"message","queueName":"q","connection":"Bus"}]}
-- sweep/function.json --
{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 0 1 1 *"}]}
`

// settings are the app's own, as the deployment sets them.
var settings = []string{"ASPNETCORE_FORWARDEDHEADERS_ENABLED=true", "AzureWebJobsDisableHomepage=true"}

// host is either host with the recording handler in it.
type host struct {
	addr, notes string
	real        *realhost.Host // nil for the stand-in
}

// seen returns the calls that reached the handler: "METHOD target", one a line.
func (h host) seen(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(h.notes)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// installed leaves a test out, for all to see, where the real host cannot be had.
func installed(t *testing.T) {
	t.Helper()
	if !realhost.Installed() {
		t.Skip("NOT RUN: the Functions host that Azure runs is not installed; make check-host installs it (Linux on x86-64, npm)")
	}
}

// pair starts the real host and the stand-in with the same app.
func pair(t *testing.T) (real, sim host) {
	t.Helper()
	installed(t)
	root := t.TempDir()
	unpack(t, filepath.Join(root, "app"))
	if err := realhost.Prepare(filepath.Join(root, "app"), filepath.Join(root, "real"), ""); err != nil {
		t.Fatal(err)
	}
	real, sim = host{notes: filepath.Join(root, "real.calls")}, host{notes: filepath.Join(root, "sim.calls")}
	real.real = startReal(t, realhost.Config{Root: filepath.Join(root, "real"), Env: append(settings, "RECORD="+real.notes)}, "/api/any/ready")
	real.addr = strings.TrimPrefix(real.real.URL, "http://")
	sim.addr = startSim(t, filepath.Join(root, "app"), sim.notes)
	return real, sim
}

// unpack writes the app to a folder, with the test binary as its handler.
func unpack(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(theApp)).Files {
		path := filepath.Join(to, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(f.Data, []byte("EXECUTABLE"), []byte(self)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startReal starts the real host until the test ends.
func startReal(t *testing.T, cfg realhost.Config, ready string) *realhost.Host {
	t.Helper()
	log := &lockedBuffer{}
	cfg.Log = log
	h, err := realhost.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the real host's log:\n%s", log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.Ready(ctx, ready); err != nil {
		t.Fatal(err)
	}
	return h
}

func startSim(t *testing.T, root, notes string) string {
	t.Helper()
	addr, _ := startStandIn(t, root, notes)
	return addr
}

func startStandIn(t *testing.T, root, notes string) (addr string, _ *hostsim.Host) {
	t.Helper()
	h, err := hostsim.Start(t.Context(), hostsim.Config{
		Root: root, Env: append(os.Environ(), append(settings, "RECORD="+notes)...), Log: slog.New(slog.DiscardHandler), Still: true,
		Queues: func(string, string) (hostsim.Queue, error) { return silent{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return server.Listener.Addr().String(), h
}

// silent is a queue to which nothing comes.
type silent struct{ hostsim.Queue }

// Receive implements hostsim.Queue.
func (silent) Receive(ctx context.Context) (*hostsim.Message, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// outcome is what a client gets, and what the handler got, of one raw request.
type outcome struct {
	Status  int
	Reason  string   // the reason phrase
	Headers []string // those of the answer that are compared
	Text    string   // the answer's body where it is no record
	Call    *call    // the record
	Dropped bool     // no answer came, or not all of it
	Closed  bool     // the answer says that the connection ends
}

// compared are the headers of an answer that both hosts have to agree on.
var compared = []string{"Content-Type", "Location", "Server", "Set-Cookie", "ETag", "X-Mine"}

// send writes a raw request and reads one answer.
func (h host) send(t *testing.T, raw string) outcome {
	t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(strings.ReplaceAll(raw, "{host}", h.addr))); err != nil {
		return outcome{Dropped: true}
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.ToUpper(method)})
	if err != nil {
		return outcome{Dropped: true}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcome{Status: resp.StatusCode, Dropped: true}
	}
	out := outcome{Status: resp.StatusCode, Closed: resp.Close, Reason: strings.TrimSpace(strings.TrimPrefix(resp.Status, fmt.Sprint(resp.StatusCode)))}
	for _, name := range compared {
		for _, v := range resp.Header.Values(name) {
			out.Headers = append(out.Headers, name+": "+strings.ReplaceAll(v, h.addr, "HOST"))
		}
	}
	var c call
	if len(text) == 0 || json.Unmarshal(text, &c) != nil || c.Method == "" {
		out.Text = string(text)
		return out
	}
	for i := range c.Headers {
		c.Headers[i] = strings.ReplaceAll(c.Headers[i], h.addr, "HOST")
	}
	c.Target = strings.ReplaceAll(c.Target, h.addr, "HOST")
	out.Call = &c
	return out
}
