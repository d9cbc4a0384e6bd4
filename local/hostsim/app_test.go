package hostsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
)

// theApp is the packaged folder that most tests run.
const theApp = `
-- host.json --
{"version":"2.0","functionTimeout":"00:01:00",
 "customHandler":{"description":{"defaultExecutablePath":"EXECUTABLE"},"enableProxyingHttpRequest":true},
 "extensionBundle":{"id":"Microsoft.Azure.Functions.ExtensionBundle","version":"[4.*, 5.0.0)"},
 "extensions":{"serviceBus":{"maxConcurrentCalls":2}}}
-- item/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["get","post"],"route":"Items/{id?}"},
 {"type":"http","direction":"out","name":"res"}]}
-- special/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","methods":["get"],"route":"items/special"},
 {"type":"http","direction":"out","name":"res"}]}
-- files/function.json --
{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous","route":"files/{*rest}"},
 {"type":"http","direction":"out","name":"res"}]}
-- Revoke/function.json --
{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"message","queueName":"ends","connection":"Bus"}]}
-- sweep/function.json --
{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 0 1 1 *"}]}
`

// shortTimeout is theApp with a function timeout that a test can wait for, and within which
// a handler answers on a slow machine too.
var shortTimeout = strings.Replace(theApp, `"00:01:00"`, `"00:00:03"`, 1)

// unpack writes an archive of files to a new folder, with the test binary as
// the handler.
func unpack(t *testing.T, app string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range txtar.Parse([]byte(app)).Files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := bytes.ReplaceAll(f.Data, []byte("EXECUTABLE"), []byte(self))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// rig is a running host with an in-memory queue, and the test's side of the
// handler.
type rig struct {
	*hostsim.Host
	t     *testing.T
	queue *queue
	log   *logBuffer
	calls chan call // one for each request that the handler reports
}

// call is a request that the handler has reported and waits to be told about.
type call struct {
	seen
	answer chan answer
}

type answer struct {
	status    int
	mediaType string
	body      string
	die       string // exit code to end with instead
}

// ok is the answer of a trigger that did its work.
var ok = answer{200, "application/json", `{"Outputs":{},"Logs":["done"],"ReturnValue":null}`, ""}

// start runs app with the handler in the given mode. Edit may change the
// configuration.
func start(t *testing.T, app, mode string, edit func(*hostsim.Config)) *rig {
	t.Helper()
	r := &rig{t: t, queue: newQueue(), log: &logBuffer{}, calls: make(chan call)}
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var s seen
		if err := json.NewDecoder(req.Body).Decode(&s); err != nil {
			t.Errorf("report: %v", err)
		}
		c := call{s, make(chan answer, 1)}
		select {
		case r.calls <- c:
		case <-done:
			return
		}
		select {
		case a := <-c.answer:
			if a.die != "" {
				w.Header().Set("Die", a.die)
			}
			w.Header()["Content-Type"] = nil
			if a.mediaType != "" {
				w.Header().Set("Content-Type", a.mediaType)
			}
			w.WriteHeader(a.status)
			w.Write([]byte(a.body))
		case <-done:
		}
	}))
	cfg := hostsim.Config{
		Root: unpack(t, app),
		// The race detector would make each exit of a handler take a second.
		Env: []string{"GORACE=atexit_sleep_ms=0", "HANDLER=" + mode, "REPORT=" + server.URL, "MARK=" + filepath.Join(t.TempDir(), "mark")},
		Queues: func(connection, name string) (hostsim.Queue, error) {
			if connection != "Bus" || name != "ends" {
				t.Errorf("queue %q of %q", name, connection)
			}
			return r.queue, nil
		},
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&cfg)
	}
	host, err := hostsim.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	t.Cleanup(func() {
		close(done)
		if err := host.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		server.Close()
		if t.Failed() {
			t.Logf("host log:\n%s", r.log)
		}
	})
	return r
}

// limit bounds every wait of a test. It is for what never comes: a machine may be slow.
const limit = 2 * time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// ready waits for the handler.
func (r *rig) ready() {
	r.t.Helper()
	if err := r.Ready(within(r.t)); err != nil {
		r.t.Fatalf("ready: %v", err)
	}
}

// next returns the next request that the handler reports.
func (r *rig) next() call {
	r.t.Helper()
	return receive(r.t, r.calls, "a call of the handler")
}

func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-within(t).Done():
		t.Fatalf("timed out waiting for %s", what)
		panic("unreachable")
	}
}

// queue is an in-memory queue whose deliveries and settlements a test sees.
type queue struct {
	messages chan *hostsim.Message
	settled  chan string // such as "complete 1" with the delivery count
	renewed  chan string
	max      uint32 // deliveries before a message is dead-lettered

	mu   sync.Mutex
	errs []error // what Receive returns first
}

func newQueue() *queue {
	return &queue{
		messages: make(chan *hostsim.Message, 100), settled: make(chan string, 100), renewed: make(chan string, 100), max: 3,
	}
}

func (q *queue) Receive(ctx context.Context) (*hostsim.Message, error) {
	q.mu.Lock()
	if len(q.errs) > 0 {
		err := q.errs[0]
		q.errs = q.errs[1:]
		q.mu.Unlock()
		return nil, err
	}
	q.mu.Unlock()
	select {
	case m := <-q.messages:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *queue) Complete(_ context.Context, m *hostsim.Message) error {
	q.settled <- "complete " + count(m)
	return nil
}

func (q *queue) Abandon(_ context.Context, m *hostsim.Message) error {
	if m.DeliveryCount >= q.max {
		q.settled <- "dead-letter " + count(m)
		return nil
	}
	q.settled <- "abandon " + count(m)
	again := *m
	again.DeliveryCount++
	q.messages <- &again
	return nil
}

func (q *queue) RenewLock(_ context.Context, m *hostsim.Message) (time.Time, error) {
	select {
	case q.renewed <- m.MessageID:
		return time.Now().Add(50 * time.Millisecond), nil
	default:
		return time.Time{}, errors.New("lock lost")
	}
}

func count(m *hostsim.Message) string { return string(rune('0' + m.DeliveryCount)) }

// logBuffer is a log that goroutines write while a test reads.
type logBuffer struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed by the next write, if anybody waits for one
}

// waitFor waits until the log holds text.
func (b *logBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	for ctx := within(t); ; {
		b.mu.Lock()
		found := strings.Contains(b.buf.String(), text)
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the log never said %q", text)
		}
	}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
