package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/child"
)

// makePackage makes dir/app.zip as `make package` does, and unzips it to dir/app.
func makePackage(dir string) error {
	staging, out := filepath.Join(dir, "staging"), filepath.Join(dir, "app.zip")
	for _, cmd := range []*exec.Cmd{
		exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(staging, "handlers"), "portcullis"),
		exec.Command("go", "run", "-trimpath", "portcullis/local/pack", "-src", "..", "-out", staging),
		exec.Command("go", "run", "-trimpath", "portcullis/local/notices", "-src", "..", "-program", filepath.Join(staging, "handlers"), "-out", filepath.Join(staging, "THIRD-PARTY-NOTICES.txt")),
		exec.Command("go", "run", "-trimpath", "portcullis/local/archive", "-app", staging, "-out", out),
	} {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // one form of everything, which is compiled once
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return unzip(out, filepath.Join(dir, "app"))
}

// unzip unpacks with the names and modes that the zip says, and refuses names that lead out of dir.
func unzip(from, dir string) error {
	z, err := zip.OpenReader(from)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%s holds %s", from, f.Name)
		}
		to := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("unzip %s: %w", f.Name, err)
		}
		if err := os.WriteFile(to, text, f.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// TestPackage checks the package that every end-to-end test runs: its files and
// modes, and that building it again gives the same bytes.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := app(t)
	want := []string{"-rw-r--r-- THIRD-PARTY-NOTICES.txt", "-rw-r--r-- host.json", "-rwxr-xr-x handlers"}
	declared, err := filepath.Glob("../functions/*/function.json")
	if err != nil || len(declared) == 0 {
		t.Fatal(declared, err)
	}
	for _, path := range declared {
		want = append(want, "-rw-r--r-- "+filepath.Base(filepath.Dir(path))+"/function.json")
	}
	var got []string
	z, err := zip.OpenReader(filepath.Join(dir, "..", "app.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		got = append(got, fmt.Sprint(f.Mode(), " ", f.Name))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("package (-want +got):\n%s", diff)
	}

	again := t.TempDir()
	if err := makePackage(again); err != nil {
		t.Fatal(err)
	}
	var zips [2][]byte
	for i, at := range []string{filepath.Dir(dir), again} {
		if zips[i], err = os.ReadFile(filepath.Join(at, "app.zip")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("the same sources gave two different packages")
	}
}

// TestVersion checks that the packaged handler and its health say the same version, as it stands in the file.
func TestVersion(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(app(t), "handlers")
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	want := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			want += " (" + s.Value + ")"
		}
	}
	holdVersion(t, binary, want, info.GoVersion)
}

// holdVersion runs a handler and holds what --version and health say.
func holdVersion(t *testing.T, binary, version, goVersion string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, "--version").Output()
	if want := "portcullis " + version + " " + goVersion + "\n"; err != nil || string(out) != want || version == "" {
		t.Errorf("--version: %q, %v; want %q", out, err, want)
	}
	authority, token := tokenOf(t, "reader")
	_, port, _ := startHandler(t, binary, "PORTCULLIS_AUTHORITY="+authority)
	if health := healthOf(t, port, token); health["version"] != version {
		t.Errorf("health says the version %q, want %q", health["version"], version)
	}
}

// healthOf returns what health says to whoever holds a token.
func healthOf(t *testing.T, port int, token string) (health map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url(port)+"/api/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	return health
}

// maxMemory is what the app may take at rest, in KiB.
const maxMemory = 60 << 10

// TestStart starts the packaged handler as the host does, with nothing behind it
// that answers, and measures how long it takes and what memory it holds. The time is
// only logged: it says more of the machine than of the app.
//
// With a collector named in the standard way it sends spans there soon after a
// call: the telemetry is wired in what is shipped, and needs no end to be sent.
func TestStart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sent := map[string]bool{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		sent[r.URL.Path] = true
	}))
	defer collector.Close()
	cmd, port, took := startHandler(t, filepath.Join(app(t), "handlers"), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	r := &rig{t: t}
	res, err := http.Get(url(port) + "/api/machines")
	if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a call without a token: %v, %v", res, err)
	}
	r.eventually("the span of the call is with the collector", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return sent["/v1/traces"]
	})
	if runtime.GOOS != "linux" {
		return // nothing else has /proc
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	memory, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("listens after %v at most, with %d KiB", took.Round(time.Millisecond), memory)
	if memory > maxMemory {
		t.Errorf("the handler holds %d KiB at rest, want %d at most", memory, maxMemory)
	}
}

// startHandler starts a build of the handler, with settings besides those that it needs, until the test ends, and returns its port and when at
// the latest it listened. A port that was free may be taken by another program before it does.
func startHandler(t *testing.T, binary string, settings ...string) (*exec.Cmd, int, time.Duration) {
	t.Helper()
	for range 5 {
		port := freePort(t)
		cmd := exec.CommandContext(t.Context(), binary)
		cmd.Env = append(needed(port), settings...)
		began, ended := time.Now(), make(chan struct{})
		release, err := child.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(ended)
			_ = cmd.Wait()
			release()
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // as the host stops it
			<-ended
		})
		over := false
		(&rig{t: t}).eventually("the handler listens", func() bool {
			select {
			case <-ended:
				over = true
				return true
			default:
			}
			res, err := http.Get(url(port) + "/")
			if err != nil {
				return false
			}
			return res.Body.Close() == nil && res.StatusCode == http.StatusOK
		})
		if !over {
			return cmd, port, time.Since(began)
		}
	}
	t.Fatal("the handler ended before it listened, five times")
	return nil, 0, 0
}

// needed returns the settings without which the handler does not start. Nothing behind them answers.
func needed(port int) []string {
	return []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + strconv.Itoa(port),
		"PORTCULLIS_TENANT=00000000-0000-0000-0000-00000000d1d0", "PORTCULLIS_AUDIENCE=api://portcullis", "PORTCULLIS_SUBSCRIPTIONS=00000000-0000-0000-0000-00000000d3e0",
		"PORTCULLIS_TABLE_ENDPOINT=http://127.0.0.1:1/x", "PORTCULLIS_SERVICEBUS_ADDRESS=127.0.0.1:1", "ServiceBus__fullyQualifiedNamespace=x.servicebus.windows.net",
		"PORTCULLIS_ARM_ENDPOINT=http://127.0.0.1:1", "IDENTITY_ENDPOINT=http://127.0.0.1:1", "IDENTITY_HEADER=x",
	}
}
