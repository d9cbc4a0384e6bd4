package hostsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"portcullis/local/child"
)

// probeInterval is the real host's WorkerReadyCheckPollingIntervalMilliseconds.
const probeInterval = 25 * time.Millisecond

// process is one run of the handler binary.
type process struct {
	cmd  *exec.Cmd
	pid  int
	base string // URL without a path

	exited chan struct{} // closed when the process has ended and code is set
	code   int           // exit code; -1 for a signal

	restartOnce sync.Once
	restart     chan struct{} // closed when the host itself wants a new one
}

// startProcess starts the handler on a free port of 127.0.0.1.
func (h *Host) startProcess() (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	env := []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID=" + id,
		"FUNCTIONS_HTTPWORKER_PORT=" + port,
		"FUNCTIONS_HTTPWORKER_ID=" + id,
		"FUNCTIONS_APP_ROOT_PATH=" + h.cfg.Root,
	}
	cmd := exec.Command(h.executable(h.settings.executable))
	cmd.Dir = h.cfg.Root
	cmd.Env = append(append([]string(nil), h.cfg.Env...), env...)
	stdout, stderr := &lineWriter{line: h.stdoutLine}, &lineWriter{line: h.stderrLine}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes open
	release, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd: cmd, pid: cmd.Process.Pid, base: "http://127.0.0.1:" + port,
		exited: make(chan struct{}), restart: make(chan struct{}),
	}
	h.wg.Go(func() {
		err := cmd.Wait()
		release()
		stdout.flush()
		stderr.flush()
		p.code = cmd.ProcessState.ExitCode()
		h.log.Debug("handler process ended", "pid", p.pid, "exit_code", p.code, "error", err)
		close(p.exited)
	})
	h.log.Info("handler process started", "pid", p.pid, "port", port)
	return p, nil
}

// executable resolves defaultExecutablePath: below the root if there is such a
// file, a command on PATH otherwise.
func (h *Host) executable(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	if below := filepath.Join(h.cfg.Root, path); fileExists(below) {
		return below
	}
	return path
}

func fileExists(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && !stat.IsDir()
}

// The range of ports for handlers lies below the ones that the kernel hands out
// by itself, on Linux from 32768 up: nobody who asks for any free port gets the
// handler's between the look here and its own listening, and no probe meanwhile
// connects to itself.
const firstPort, ports = 20000, 12000

// freePort returns a port of 127.0.0.1 that nobody listens on.
func freePort() (string, error) {
	var last error
	for range 100 {
		port := strconv.Itoa(firstPort + rand.IntN(ports))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return "", fmt.Errorf("find a free port: %w", last)
}

// kill ends the process group and waits for the process.
func (p *process) kill() {
	killGroup(p.pid, p.exited)
	<-p.exited
}

// wantRestart asks the supervisor for another process in p's place.
func (p *process) wantRestart() { p.restartOnce.Do(func() { close(p.restart) }) }

// probe asks the process for / until it gives any HTTP answer. It returns an
// error when the process ends or when limit has passed.
func (h *Host) probe(ctx context.Context, p *process, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v", limit))
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: h.client.CheckRedirect,
	}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		// Only a connection that was not made means not yet; the real host takes
		// any other fault for an answer.
		var op *net.OpError
		if ctx.Err() == nil && !(errors.As(err, &op) && op.Op == "dial") {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return errors.New("ended before it answered")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// maxLine bounds a line of the handler's output, in bytes; a longer one is
// passed on in pieces.
const maxLine = 64 << 10

// lineWriter calls line with each whole line written to it.
type lineWriter struct {
	line func(string)
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		switch {
		case i >= 0:
			w.line(strings.TrimSuffix(string(w.rest[:i]), "\r"))
			w.rest = w.rest[i+1:]
		case len(w.rest) > maxLine:
			w.flush()
		default:
			return len(b), nil
		}
	}
}

func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
	}
	w.rest = nil
}

func (h *Host) stdoutLine(line string) { h.output(slog.LevelInfo, line) }

func (h *Host) stderrLine(line string) {
	level := slog.LevelError
	if strings.Contains(strings.ToLower(line), "warn") {
		level = slog.LevelWarn
	}
	h.output(level, line)
}

// output passes on a line of the handler. The prefix LanguageWorkerConsoleLog
// marks a line for the platform's own log, not the app's.
func (h *Host) output(level slog.Level, line string) {
	if rest, ok := strings.CutPrefix(line, "LanguageWorkerConsoleLog"); ok {
		level, line = slog.LevelDebug, rest
	}
	if h.cfg.Output == nil {
		h.log.Log(context.Background(), level, "handler", "line", line)
		return
	}
	h.outputMu.Lock()
	defer h.outputMu.Unlock()
	fmt.Fprintln(h.cfg.Output, line)
}
