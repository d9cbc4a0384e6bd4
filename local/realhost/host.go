package realhost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"portcullis/local/child"
)

// Config says what a host runs. The zero value of what is not Root is a host without
// storage, on which HTTP functions run and timers do not.
type Config struct {
	Root    string    // the packaged app: host.json, <name>/function.json, the binary
	Env     []string  // the app's settings, NAME=value
	Storage string    // connection string of the host's own storage, in which timers keep their lease and status
	ID      string    // the app's id; hosts with one id and one storage are instances of one app. "" is an id of its own
	Log     io.Writer // what host and handler print; nil for nowhere
}

// Host is a running host. It is safe for concurrent use.
type Host struct {
	// URL is where it listens, on 127.0.0.1.
	URL string

	cmd    *exec.Cmd
	home   string // temporary files, and the keys
	master string // the key of the admin doors
	ended  chan struct{}
	once   sync.Once
	client *http.Client
}

// stopWithin is how long a host may take to finish the calls in flight.
const stopWithin = 10 * time.Second

// Start starts a host. [Install] has to have put it there. It does not wait until the app answers; see [Host.Ready].
func Start(cfg Config) (*Host, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	if !Installed() {
		return nil, fmt.Errorf("the Functions host is not at %s; make check-host puts it there", dir)
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "functions-host")
	if err != nil {
		return nil, err
	}
	port, err := child.FreePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	h := &Host{URL: fmt.Sprintf("http://127.0.0.1:%d", port), home: home, master: rand.Text(), ended: make(chan struct{}), client: &http.Client{Timeout: time.Minute}}
	if err := writeJSON(filepath.Join(home, "secrets", "host.json"), keys{MasterKey: key{Name: "master", Value: h.master}, FunctionKeys: []key{}, SystemKeys: []key{}}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	h.cmd = exec.Command(filepath.Join(dir, "host", "webhost"))
	h.cmd.Dir = root
	h.cmd.Env = append(environment(dir, home, root, h.URL, cfg), cfg.Env...)
	h.cmd.Stdout, h.cmd.Stderr = cfg.Log, cfg.Log
	release, err := child.Start(h.cmd) // the handler is ended with it, whatever becomes of the host
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the Functions host: %w", err), os.RemoveAll(home))
	}
	go func() {
		_ = h.cmd.Wait() // how it ended is in its log
		release()
		close(h.ended)
	}()
	return h, nil
}

// environment is what the host itself is told.
func environment(dir, home, root, url string, cfg Config) []string {
	id := cfg.ID
	if id == "" {
		id = strings.ToLower(filepath.Base(home))
		id = id[max(0, len(id)-32):]
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home,
		"DOTNET_ROOT=" + filepath.Join(dir, "dotnet"), "DOTNET_ROLL_FORWARD=Major", "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1", "DOTNET_EnableDiagnostics=0",
		"ASPNETCORE_URLS=" + url, "AzureWebJobsScriptRoot=" + root, "AzureFunctionsWebHost__hostid=" + id,
		"FUNCTIONS_WORKER_RUNTIME=custom", "AzureWebJobsSecretStorageType=files", "FUNCTIONS_SECRETS_PATH=" + filepath.Join(home, "secrets"), "AzureFunctionsJobHost__logging__console__isEnabled=true",
		"AzureFunctionsJobHost__extensionBundle__downloadPath=" + filepath.Join(dir, "bundles"), "AzureFunctionsJobHost__extensionBundle__ensureLatest=false",
	}
	if cfg.Storage != "" {
		env = append(env, "AzureWebJobsStorage="+cfg.Storage)
	}
	return env
}

// Ready waits until a GET of path is answered by a function: with anything but 404 and 503.
func (h *Host) Ready(ctx context.Context, path string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for status := 0; ; {
		if resp, err := h.client.Get(h.URL + path); err == nil {
			_ = resp.Body.Close()
			if status = resp.StatusCode; status != http.StatusNotFound && status != http.StatusServiceUnavailable {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the host does not become ready: %s is answered %d: %w", path, status, ctx.Err())
		case <-h.ended:
			return errors.New("the host has ended")
		case <-tick.C:
		}
	}
}

// Trigger has the host run a function that is no HTTP function, by its admin door. The host
// posts to the handler what it would for the trigger's own event, and does not tell how it ended.
// For a manual trigger input is the value of its binding.
func (h *Host) Trigger(ctx context.Context, function, input string) error {
	body, err := json.Marshal(map[string]string{"input": input})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/admin/functions/"+function, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("x-functions-key", h.master)
	resp, err := h.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // the status says enough without it
		return fmt.Errorf("run %s: %d %s", function, resp.StatusCode, text)
	}
	return nil
}

// keys are the host's own keys as it keeps them. Function keys are not used: the app's functions are anonymous.
type keys struct {
	MasterKey    key   `json:"masterKey"`
	FunctionKeys []key `json:"functionKeys"`
	SystemKeys   []key `json:"systemKeys"`
}

type key struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Encrypted bool   `json:"encrypted"`
}

// PID is the host's process id; the handler is its only child.
func (h *Host) PID() int { return h.cmd.Process.Pid }

// Ended is closed when the host has ended, whoever ended it.
func (h *Host) Ended() <-chan struct{} { return h.ended }

// Kill ends the host in the middle of what it does, as a machine that is lost does. The handler ends too.
func (h *Host) Kill() error { return h.end(0) }

// Close stops the host after the calls in flight, and the handler.
func (h *Host) Close() error { return h.end(stopWithin) }

func (h *Host) end(within time.Duration) (err error) {
	h.once.Do(func() {
		if within > 0 {
			_ = h.cmd.Process.Signal(os.Interrupt) // SIGTERM does nothing; it may have ended by itself
			select {
			case <-h.ended:
			case <-time.After(within):
			}
		}
		_ = syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL) // whatever is left of the group
		<-h.ended
		err = os.RemoveAll(h.home)
	})
	return err
}

// Prepare copies a packaged app to a folder in which its Service Bus triggers are manual ones,
// for a host that lacks the extension. Schedules are replaced where schedule is not "".
func Prepare(from, to, schedule string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	declared, err := filepath.Glob(filepath.Join(to, "*", "function.json"))
	if err != nil {
		return err
	}
	for _, path := range declared {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f struct {
			Bindings []map[string]any `json:"bindings"`
		}
		if err := json.Unmarshal(text, &f); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for i, b := range f.Bindings {
			switch {
			case b["type"] == "serviceBusTrigger":
				f.Bindings[i] = map[string]any{"type": "manualTrigger", "direction": "in", "name": b["name"]}
			case b["type"] == "timerTrigger" && schedule != "":
				b["schedule"] = schedule
			}
		}
		if err := writeJSON(path, f); err != nil {
			return err
		}
	}
	return nil
}
