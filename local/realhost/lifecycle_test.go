package realhost_test

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/local/azurite"
	"portcullis/local/realhost"
)

// recording returns the folder of an app whose handler is the recorder, with a schedule for its timer.
func recording(t *testing.T, schedule string) string {
	t.Helper()
	installed(t)
	root := t.TempDir()
	unpack(t, filepath.Join(root, "app"))
	if err := realhost.Prepare(filepath.Join(root, "app"), filepath.Join(root, "real"), schedule); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "real")
}

func sweeps(t *testing.T, notes string) int {
	t.Helper()
	n := 0
	for _, line := range (host{notes: notes}).seen(t) {
		if strings.HasPrefix(line, "POST /sweep") {
			n++
		}
	}
	return n
}

// everything is set by make check-host: it runs what takes minutes too.
var everything = flag.Bool("everything", false, "run also what takes minutes")

// timers returns what hosts with one storage and one id need, and where each notes its calls.
func timers(t *testing.T, schedule string) (cfg func(name string) realhost.Config, notes func(name string) string) {
	t.Helper()
	root := recording(t, schedule)
	url, stop, err := azurite.Run(azurite.Blob, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	notes = func(name string) string { return filepath.Join(root, name) }
	return func(name string) realhost.Config {
		return realhost.Config{Root: root, Env: append(settings, "RECORD="+notes(name)), Storage: azurite.Storage(url), ID: "timers"}
	}, notes
}

// TestTimers: a timer comes by its schedule beside the proxy, again and again.
func TestTimers(t *testing.T) {
	t.Parallel()
	cfg, notes := timers(t, "*/2 * * * * *")
	startReal(t, cfg("only"), "/api/any/ready")
	eventually(t, "the timer comes twice", func() bool { return sweeps(t, notes("only")) > 1 })
}

// minutes leaves a test to make check-host.
func minutes(t *testing.T) {
	t.Helper()
	if !*everything {
		t.Skip("NOT RUN: it takes minutes; make check-host runs it")
	}
}

// TestMissedOccurrence: an occurrence that passed while no host ran comes at the next start, and says so.
func TestMissedOccurrence(t *testing.T) {
	t.Parallel()
	minutes(t)
	cfg, notes := timers(t, "0 * * * * *") // of what comes more often than each minute the host keeps no status
	first := startReal(t, cfg("first"), "/api/any/ready")
	eventually(t, "the timer comes", func() bool { return sweeps(t, notes("first")) > 0 })
	ran := time.Now().Truncate(time.Minute)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "a minute passes", func() bool { return time.Now().Truncate(time.Minute).After(ran) })
	startReal(t, cfg("second"), "/api/any/ready")
	eventually(t, "it comes", func() bool { return sweeps(t, notes("second")) > 0 })
	if got := (host{notes: notes("second")}).seen(t); !slices.Contains(got, "POST /sweep past due") {
		t.Errorf("the handler saw %q", got)
	}
}

// TestTwoHosts: of two hosts on one storage one runs the timer, and the other goes on where that one has gone.
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	minutes(t) // a host takes a timer over after one
	cfg, notes := timers(t, "*/2 * * * * *")
	first := startReal(t, cfg("first"), "/api/any/ready")
	eventually(t, "the timer comes", func() bool { return sweeps(t, notes("first")) > 0 })
	startReal(t, cfg("second"), "/api/any/ready")
	before := sweeps(t, notes("first"))
	eventually(t, "it comes again and again", func() bool { return sweeps(t, notes("first")) >= before+2 })
	if n := sweeps(t, notes("second")); n != 0 {
		t.Errorf("the second host ran the timer %d times beside the first", n)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "the second host goes on", func() bool { return sweeps(t, notes("second")) > 0 })
}

// TestHandlerKilled: the host starts a handler that was killed again, and what comes meanwhile waits.
func TestHandlerKilled(t *testing.T) {
	t.Parallel()
	root := recording(t, "")
	h := startReal(t, realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"))}, "/api/any/ready")
	before := handlerOf(t, h)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host answers again", func() bool { return status(t, h.URL+"/api/any/a") == http.StatusOK })
	if after := handlerOf(t, h); after == before {
		t.Errorf("the handler is %d still", after)
	}
}

// TestSlowStart: whoever calls while the handler starts waits and is answered.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	root := recording(t, "")
	h := startReal(t, realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"), "RECORD_AFTER=2s")}, "/api/any/ready")
	if got := status(t, h.URL+"/api/any/a"); got != http.StatusOK {
		t.Errorf("answered %d", got)
	}
}

// TestRestart: a change of host.json restarts the host's inside without losing a call.
func TestRestart(t *testing.T) {
	t.Parallel()
	root := recording(t, "")
	h := startReal(t, realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"))}, "/api/any/ready")
	before := handlerOf(t, h)
	file := filepath.Join(root, "host.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	var answers []int
	eventually(t, "there is another handler", func() bool {
		answers = append(answers, status(t, h.URL+"/api/any/a"))
		children := childrenOf(t, h.PID())
		return len(children) > 0 && !slices.Contains(children, before)
	})
	if lost := slices.DeleteFunc(answers, func(s int) bool { return s == http.StatusOK }); len(lost) > 0 {
		t.Errorf("calls during the restart were answered %v", lost)
	}
}

// edit replaces a text of a file by another.
func edit(t *testing.T, file, old, by string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, by, 1)
	if changed == string(text) {
		t.Fatalf("%s does not hold %s", file, old)
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// handlerOf returns the process of a host's handler.
func handlerOf(t *testing.T, h *realhost.Host) int {
	t.Helper()
	children := childrenOf(t, h.PID())
	if len(children) != 1 {
		t.Fatalf("the host has the children %v", children)
	}
	return children[0]
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, child)
		}
	}
	return out
}
