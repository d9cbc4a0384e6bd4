package hostsim_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/hostsim"
)

// TestGivesUp checks the handlers that the host does not serve for long.
func TestGivesUp(t *testing.T) {
	quick := strings.Replace(theApp, `"enableProxying`, `"initializationTimeout":"00:00:00.1","enableProxying`, 1)
	tests := []struct {
		name, mode, want string
		stopped          bool
		status           int
	}{
		{"an error each time", "exit 7", "exited with 7", true, 503},
		{"never listening", "mute", "no answer within 100ms", true, 503},
		{"exit code 0", "exit 0", "exited with 0 and is not started again", false, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := theApp
			if tt.mode == "mute" {
				app = quick
			}
			r := start(t, app, tt.mode, nil)
			err := r.Ready(within(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, hostsim.ErrStopped) != tt.stopped {
				t.Fatalf("ready: %v, want one that says %q and is ErrStopped: %t", err, tt.want, tt.stopped)
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", "/api/items", nil))
			if w.Code != tt.status || w.Body.Len() > 0 {
				t.Errorf("a request got %d %q, want %d", w.Code, w.Body, tt.status)
			}
			if pid := r.PID(); pid != 0 {
				t.Errorf("PID %d, want 0", pid)
			}
			starts := 1
			if tt.stopped {
				starts = 3
			}
			if got := strings.Count(r.log.String(), "handler process started"); got != starts {
				t.Errorf("started %d times, want %d", got, starts)
			}
			if err := r.Fire(within(t), "sweep"); err == nil {
				t.Error("fired a timer without a handler")
			}
		})
	}
}

// TestExitZeroFailsMessages checks that a handler that is gone fails what comes
// for it until the queue gives up.
func TestExitZeroFailsMessages(t *testing.T) {
	r := start(t, theApp, "exit 0", nil)
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1}
	for _, want := range []string{"abandon 1", "abandon 2", "dead-letter 3"} {
		if got := receive(t, r.queue.settled, want); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRestarts(t *testing.T) {
	tests := []struct {
		name, mode string
		always     bool
		errors     int
	}{
		{"after an error", "once 7", false, 1},
		{"after exit code 200, which is no error", "once 200", false, 0},
		{"after exit code 0, if told to", "once 0", true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, theApp, tt.mode, func(c *hostsim.Config) { c.AlwaysRestart = tt.always })
			// A request that arrives meanwhile waits for the handler.
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", "/api/items", nil))
			if w.Code != 200 {
				t.Errorf("a request got %d", w.Code)
			}
			if got := strings.Count(r.log.String(), "handler process started"); got != 2 {
				t.Errorf("started %d times, want 2", got)
			}
			if got := strings.Count(r.log.String(), "handler process failed"); got != tt.errors {
				t.Errorf("%d errors counted, want %d", got, tt.errors)
			}
		})
	}
}

// TestThreeStrikes kills the handler again and again.
func TestThreeStrikes(t *testing.T) {
	tests := []struct {
		name   string
		gap    time.Duration // between the kills
		always bool
		kills  int
		stops  bool
	}{
		{"three within half an hour of each other", 30 * time.Minute, false, 3, true},
		{"two", 0, false, 2, false},
		{"four, further apart", 30*time.Minute + 1, false, 4, false},
		{"four, and told to go on", 0, true, 4, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var offset atomic.Int64
			r := start(t, theApp, "echo", func(c *hostsim.Config) {
				c.AlwaysRestart = tt.always
				c.Now = func() time.Time { return time.Unix(1e9, 0).Add(time.Duration(offset.Load())) }
			})
			r.ready()
			for range tt.kills {
				before := r.PID()
				offset.Add(int64(tt.gap))
				r.Kill()
				err := r.Ready(within(t))
				if err == nil && (r.PID() == before || r.PID() == 0) {
					t.Fatalf("ready again with process %d, killed %d", r.PID(), before)
				}
			}
			if err := r.Ready(within(t)); errors.Is(err, hostsim.ErrStopped) != tt.stops {
				t.Errorf("ready: %v, want ErrStopped: %t", err, tt.stops)
			}
		})
	}
}

// TestEmptyAnswer checks the worst of the contract: an answer that says nothing
// is not a failure but a hang, which costs the handler its life.
func TestEmptyAnswer(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
	}{
		{"200 without a body", answer{200, "application/json", "", ""}},
		{"200 without a body or a type", answer{200, "", "", ""}},
		{"204", answer{204, "", "", ""}},
		{"null", answer{200, "application/json", "null", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, shortTimeout, "echo", nil)
			r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1}
			first := r.next()
			first.answer <- tt.answer
			if got := receive(t, r.queue.settled, "abandon"); got != "abandon 1" {
				t.Errorf("got %s", got)
			}
			second := r.next()
			second.answer <- ok
			if got := receive(t, r.queue.settled, "complete"); got != "complete 2" {
				t.Errorf("got %s", got)
			}
			if first.PID == second.PID {
				t.Error("the handler lived on")
			}
			if log := r.log.String(); strings.Contains(log, "handler process failed") {
				t.Error("a function timeout was counted as the handler's error")
			}
		})
	}
}

// TestTimeoutOfRequest checks that a slow HTTP function costs the handler its
// life too.
func TestTimeoutOfRequest(t *testing.T) {
	t.Parallel()
	r := start(t, shortTimeout, "echo", nil)
	r.ready()
	before := r.PID()
	req := httptest.NewRequest("GET", "/api/items", nil)
	req.Header.Set("Ask", "the test, which does not answer")
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { r.ServeHTTP(w, req); close(done) }()
	r.next()
	receive(t, done, "the answer")
	if w.Code != 500 {
		t.Errorf("got %d, want 500", w.Code)
	}
	r.ready()
	if r.PID() == before {
		t.Error("the handler lived on")
	}
}

// TestCrash lets the handler die in the middle of a message.
func TestCrash(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	r.queue.max = 9
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1}
	first := r.next()
	first.answer <- answer{status: 200, die: "3"}
	if got := receive(t, r.queue.settled, "abandon"); got != "abandon 1" {
		t.Fatalf("got %s", got)
	}
	// The next delivery may find the handler dead, before the host has noticed;
	// as with the real host, that is one more failure.
	second := r.next()
	second.answer <- ok
	for got := ""; !strings.HasPrefix(got, "complete"); {
		if got = receive(t, r.queue.settled, "complete"); strings.HasPrefix(got, "dead-letter") {
			t.Fatalf("got %s", got)
		}
	}
	if first.PID == second.PID {
		t.Error("one process answered both")
	}
}

// TestCloseLeavesNothing checks that the handler is gone after Close, and with it
// whatever waits.
func TestCloseLeavesNothing(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1}
	pid := r.next().PID
	if pid != r.PID() {
		t.Errorf("PID is %d, the handler says %d", r.PID(), pid)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after close: %v", pid, err)
	}
	if err := r.Ready(within(t)); !errors.Is(err, hostsim.ErrStopped) {
		t.Errorf("ready: %v", err)
	}
	if len(r.queue.settled) > 0 {
		t.Errorf("the message in flight was settled: %s", <-r.queue.settled)
	}
	r.Kill() // nothing left to kill
}

// TestCloseEndsTheGroup checks that what the handler started ends with it: the
// child's connection to the test breaks.
func TestCloseEndsTheGroup(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := start(t, theApp, "parent", func(c *hostsim.Config) { c.Env = append(c.Env, "ORPHAN="+l.Addr().String()) })
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the handler's child lives on: %v", err)
	}
}

func TestContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	host, err := hostsim.Start(ctx, hostsim.Config{
		Root: unpack(t, theApp), Env: []string{"HANDLER=mute"},
		Queues: func(string, string) (hostsim.Queue, error) { return newQueue(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := host.Ready(within(t)); !errors.Is(err, hostsim.ErrStopped) {
		t.Errorf("ready: %v", err)
	}
	if err := host.Close(); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	var root string
	r := start(t, theApp, "echo", func(c *hostsim.Config) { root = c.Root })
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/api/items", nil))
	got := decode(t, w.Body)
	vars := map[string]string{}
	for _, e := range got.Env {
		name, value, _ := strings.Cut(e, "=")
		vars[name] = value
	}
	port, id := vars["FUNCTIONS_CUSTOMHANDLER_PORT"], vars["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"]
	if port == "" || id == "" {
		t.Fatalf("no port or id in %v", vars)
	}
	want := map[string]string{
		"FUNCTIONS_CUSTOMHANDLER_PORT": port, "FUNCTIONS_HTTPWORKER_PORT": port,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID": id, "FUNCTIONS_HTTPWORKER_ID": id,
		"FUNCTIONS_APP_ROOT_PATH": root,
	}
	if diff := cmp.Diff(want, vars); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if len(got.Args) > 0 || got.Dir != root {
		t.Errorf("run with %q in %s, want no arguments in %s", got.Args, got.Dir, root)
	}
}

// TestExecutableBelowRoot runs the handler by a relative path, as host.json
// names it.
func TestExecutableBelowRoot(t *testing.T) {
	r := start(t, strings.Replace(theApp, "EXECUTABLE", "handlers", 1), "echo", func(c *hostsim.Config) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(c.Root, "handlers")); err != nil {
			t.Fatal(err)
		}
	})
	r.ready()
}

func TestOutput(t *testing.T) {
	t.Run("to the log", func(t *testing.T) {
		r := start(t, theApp, "echo", nil)
		for _, want := range []string{
			`level=INFO msg=handler line=listening`,
			`level=WARN msg=handler line="a warning"`,
			`level=ERROR msg=handler line="an error"`,
		} {
			r.log.waitFor(t, want)
		}
	})
	t.Run("to a writer", func(t *testing.T) {
		var out bytes.Buffer
		r := start(t, theApp, "echo", func(c *hostsim.Config) { c.Output = &out })
		r.ready()
		r.Close() // nothing writes after it
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		slices.Sort(lines)
		if diff := cmp.Diff([]string{"a warning", "an error", "listening"}, lines); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}
