package hostsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Version is the host version that requests carry in
// X-Azure-Functions-HostVersion and User-Agent: the one that the stand-in is compared with.
const Version = "4.1045.200.25556"

// DefaultMaxBody is the real host's bound for a request body, in bytes: 100 MB
// (FUNCTIONS_REQUEST_BODY_SIZE_LIMIT).
const DefaultMaxBody = 104857600

// ErrStopped is what waits for the handler end with once the host has stopped:
// it was closed, or it gave the handler up after three errors.
var ErrStopped = errors.New("host stopped")

// Config says what to run. Root is needed, and Queues if the app has a Service
// Bus trigger; every other zero value has a meaning.
type Config struct {
	// Root is the packaged app: host.json, <name>/function.json, the binary.
	Root string
	// Env is the app's settings: the environment of the handler, to which the host adds
	// its own variables. Nil means this process's environment. With
	// ASPNETCORE_FORWARDEDHEADERS_ENABLED=true the host takes the caller's address and protocol
	// from what the nearest proxy says.
	Env []string
	// Queues opens the queue of a Service Bus trigger. Connection is the name in
	// function.json, a prefix of settings. It is called once for each trigger; a
	// Queue that is an io.Closer is closed with the host.
	Queues func(connection, queue string) (Queue, error)
	// Log gets what the host has to say and, unless Output is set, the handler's
	// lines: stdout as Info, stderr as Warn if the line contains "warn" and as
	// Error otherwise. Nil means no log.
	Log *slog.Logger
	// Output, if set, gets the handler's lines as they are.
	Output io.Writer
	// Now tells the time. Nil means time.Now.
	Now func() time.Time
	// MaxBody bounds a request body, in bytes; a larger one is answered with
	// 500. 0 means DefaultMaxBody.
	MaxBody int64
	// AlwaysRestart starts the handler again whatever it exits with and however
	// often. From the third error on it waits in between: 100 ms, and up to 5 s
	// for a handler that never answers. The real host never does.
	AlwaysRestart bool
	// State is a folder that keeps what the timers know of their last run, so that one that
	// came due while no host ran is run at the start. "" keeps nothing.
	State string
	// Still lets no schedule come due: timer functions run when [Host.Fire] says so only.
	Still bool
}

// Host is a running stand-in: an http.Handler for the app's routes, with the
// handler process and the triggers behind it.
type Host struct {
	cfg       Config
	log       *slog.Logger
	settings  settings
	functions []*function
	client    *http.Client
	timers    map[string]*timer
	closers   []io.Closer

	trustsForwarded bool // the app's setting of forwarded headers is on

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	state   state
	changed chan struct{} // closed and replaced when state changes

	outputMu sync.Mutex // stdout and stderr are read by two goroutines
}

// Start reads the app in cfg.Root, starts its handler and begins to listen to
// its triggers. It does not wait until the handler answers: see [Host.Ready].
// What the stand-in cannot simulate is an error here. The host runs until Close
// is called or ctx ends.
func Start(ctx context.Context, cfg Config) (*Host, error) {
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, err
	}
	cfg.Root = root
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	h := &Host{cfg: cfg, log: cfg.Log, timers: map[string]*timer{}, changed: make(chan struct{})}
	if h.settings, err = readSettings(root); err != nil {
		return nil, fmt.Errorf("read the app: %w", err)
	}
	if h.functions, err = readFunctions(root, h.settings); err != nil {
		return nil, fmt.Errorf("read the app: %w", err)
	}
	if h.cfg.Env == nil {
		h.cfg.Env = os.Environ()
	}
	for _, e := range h.cfg.Env {
		if name, value, _ := strings.Cut(e, "="); name == "ASPNETCORE_FORWARDEDHEADERS_ENABLED" {
			h.trustsForwarded = strings.EqualFold(value, "true")
		}
	}
	h.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			DisableCompression:     true, // an Accept-Encoding of its own would reach the handler
			MaxIdleConnsPerHost:    64,
			MaxResponseHeaderBytes: maxAnswerHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, f := range h.functions {
		if f.trigger == "timerTrigger" {
			if h.timers[f.name], err = newTimer(h, f); err != nil {
				return nil, err
			}
		}
	}
	pumps, err := h.openPumps()
	if err != nil {
		return nil, errors.Join(err, h.closeQueues())
	}
	h.ctx, h.cancel = context.WithCancel(ctx)
	h.wg.Go(h.supervise)
	for _, p := range pumps {
		h.wg.Go(p.run)
	}
	for _, t := range h.timers {
		h.wg.Go(t.run)
	}
	return h, nil
}

// Ready waits until the handler answers. It returns ctx's error, or one that
// wraps ErrStopped if there will be no handler any more.
func (h *Host) Ready(ctx context.Context) error {
	_, err := h.await(ctx)
	return err
}

// PID returns the handler's process id, which is its process group's too, or 0
// while there is none.
func (h *Host) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.process == nil || h.state.phase == gone || h.state.phase == stopped {
		return 0
	}
	return h.state.process.pid
}

// Kill ends the handler with SIGKILL, as a crash would, and returns once the
// host has noticed. To the host that is an error: without AlwaysRestart the
// third one stops it.
func (h *Host) Kill() {
	h.mu.Lock()
	p := h.state.process
	h.mu.Unlock()
	if p == nil {
		return
	}
	p.kill()
	h.waitFor(context.Background(), func(s state) bool { return s.process != p || s.phase == gone || s.phase == stopped })
}

// Fire runs a timer function now and waits for its end. A run that is under way
// is waited for first: a timer function runs once at a time. The error is the
// invocation's.
func (h *Host) Fire(ctx context.Context, function string) error {
	t, ok := h.timers[function]
	if !ok {
		return fmt.Errorf("fire %s: no such timer function", function)
	}
	return t.fire(ctx, false)
}

// Close kills the handler and waits until nothing of the host is left running.
// Invocations in flight are cut off, and their messages stay locked until the
// queue's lock ends, as when the real host's machine goes away.
func (h *Host) Close() error {
	h.cancel()
	h.wg.Wait()
	h.client.CloseIdleConnections()
	return h.closeQueues()
}

func (h *Host) closeQueues() error {
	var errs []error
	for _, c := range h.closers {
		errs = append(errs, c.Close())
	}
	h.closers = nil
	return errors.Join(errs...)
}
