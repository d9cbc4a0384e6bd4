package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/local/child"
)

// built is the packaged app and the stand-ins, made once as `make run` makes them.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	closeBrowser()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func build(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "portcullis-browser"); built.err != nil {
			return
		}
		app := filepath.Join(built.dir, "app")
		for _, args := range [][]string{
			{"build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(app, "handlers"), "portcullis"},
			{"build", "-trimpath", "-o", filepath.Join(built.dir, "local"), "portcullis/local"},
			{"run", "-trimpath", "portcullis/local/pack", "-src", "../..", "-out", app},
		} {
			cmd := exec.Command("go", args...)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
				return
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// machine is a running `make run` of its own.
type machine struct {
	t   *testing.T
	url string // of the app
	arm string // of Resource Manager
}

// start runs the whole machine until the test ends.
func start(t *testing.T) *machine {
	t.Helper()
	dir := build(t)
	for try := 1; ; try++ {
		// A port that was free may be taken by another program before it is listened to.
		m, said := tryStart(t, dir, freePorts(t))
		if m != nil {
			return m
		}
		if try == 5 || !strings.Contains(said, "address already in use") {
			t.Fatalf("the machine did not start:\n%s", said)
		}
	}
}

// onHost says what the machine runs on; make check-host says real.
var onHost = flag.String("host", "", "real: run the tests on the Functions host that Azure runs; empty: on the stand-in")

// tryStart returns what the machine said instead of a machine if it ended before it was up.
func tryStart(t *testing.T, dir string, base int) (*machine, string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "local"), "-app", filepath.Join(dir, "app"), "-state", t.TempDir())
	if *onHost != "" {
		cmd.Args = append(cmd.Args, "-host", *onHost)
	}
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORTCULLIS_LOCAL_PORT_BASE=%d", base))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var said lockedBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	release, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // by the interrupt, or by itself: what it said tells
		release()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("the machine said:\n%s", said.String())
		}
	})
	over := false
	// What it says itself, since another program could answer at its port.
	eventually(t, "the machine is up", func() bool {
		select {
		case <-ended:
			over = true
		default:
		}
		return over || strings.Contains(said.String(), "Portcullis is up")
	})
	if over {
		return nil, said.String()
	}
	return &machine{t: t, url: fmt.Sprintf("http://127.0.0.1:%d", base), arm: fmt.Sprintf("http://127.0.0.1:%d", base+1)}, ""
}

// api calls the app's API as a script of somebody's does, and fails unless it is done. A
// request that takes longer than the app waits is looked at until its ports are open.
func (m *machine) api(as, method, path, body string) string {
	m.t.Helper()
	status, header, text := m.call(as, method, path, body)
	if status == http.StatusAccepted {
		eventually(m.t, method+" "+path+" is done", func() bool {
			status, _, text = m.call(as, "GET", header.Get("Location"), "")
			return status != http.StatusOK || !strings.Contains(text, `"Initiating"`)
		})
	}
	if status != http.StatusOK {
		m.t.Fatalf("%s %s as %s: %d %s", method, path, as, status, text)
	}
	return text
}

func (m *machine) call(as, method, path, body string) (int, http.Header, string) {
	m.t.Helper()
	res, err := http.Post(m.arm+"/local/token?as="+as, "", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil {
		m.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Access)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatalf("%s %s as %s: %v", method, path, as, err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// writing sets how long Resource Manager takes for a write.
func (m *machine) writing(takes time.Duration) {
	m.t.Helper()
	body := fmt.Sprintf(`{"writes":{"latencyMin":%q,"latencyMax":%q}}`, takes, takes)
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodPut, m.arm+"/local/knobs", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
		m.t.Fatalf("set the knobs: %v, %v", res, err)
	}
}

// freePorts returns the first of four ports in a row that nobody listens on. They lie below those
// that systems give to connections: beside one of these, the next is often what some connection
// that has ended still holds, and four in a row are not to be had where there were thousands.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 50 {
		base, free := 10_000+rand.IntN(20_000), true
		for i := range 6 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return base
		}
	}
	t.Fatal("there are no six free ports in a row")
	return 0
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

// patience is how long anything may take on the slowest of machines with everything else
// going on in it. No test waits for it but one that fails.
const patience = 2 * time.Minute

// eventually asks until it is so: what another process does can only be looked at.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	if !until(so) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// until asks until it is so, and reports whether it was.
func until(so func() bool) bool {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-limit.C:
			return false
		case <-again.C:
		}
	}
	return true
}
