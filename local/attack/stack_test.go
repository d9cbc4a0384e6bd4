package attack

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portcullis/local/child"
)

// packaged is a folder as `make package` stages it; another release is attacked with it.
var packaged = flag.String("app", "", "folder of a packaged app to attack; empty builds the one of these sources")

// settings make the app demand what an attacker would get around, with quotas that few calls reach.
var settings = []string{
	"PORTCULLIS_TELL=", // messages to people are rows as well, one for each window and channel
	"PORTCULLIS_FORBID_ANY_SOURCE=on", "PORTCULLIS_REQUIRE_JUSTIFICATION=on",
	fmt.Sprintf("PORTCULLIS_REQUESTOR_WINDOWS=%d", mostWindows), fmt.Sprintf("PORTCULLIS_REQUESTOR_ADDRESSES=%d", mostAddresses),
}

const (
	mostWindows   = 3
	mostAddresses = 120
)

// patience is how long the stack may take to stand, on the slowest of machines with everything else going on in it.
const patience = 2 * time.Minute

// stack is what make run starts, in a process of its own.
type stack struct {
	t        testing.TB
	cmd      *exec.Cmd
	release  func() // once it has been waited for
	output   *output
	app      string            // URL of the front door
	arm      string            // URL of Resource Manager and the token issuer
	table    string            // URL of Table Storage
	door     string            // host and port of the front door
	pid      int               // of the handler; 0 where it cannot be known
	given    int               // roles, so far
	window   string            // the id of a request of the admin's for app1, which stands all the time
	standing string            // the rules while it does
	waiting  string            // the id of a request that waits for approval, see await
	digest   string            // of what it asks for
	drill    string            // the id of a drill that owes a review
	hold     string            // the id of a hold that stands
	idle     memory            // of the handler, before anything was sent
	tokens   map[string]string // by who; not changed once everybody is met
}

// output keeps what a process printed, to be shown where a test fails.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	return text[max(0, len(text)-6000):]
}

// build makes what make run makes, in the form in which the other end-to-end tests make it, so that it is compiled once.
func build(t testing.TB, dir string) (local, app string) {
	t.Helper()
	local, app = filepath.Join(dir, "local"), filepath.Join(dir, "app")
	commands := []*exec.Cmd{exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", local, "portcullis/local")}
	if *packaged != "" {
		app = *packaged
	} else {
		commands = append(commands, exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(app, "handlers"), "portcullis"),
			exec.Command("go", "run", "-trimpath", "portcullis/local/pack", "-src", "../..", "-out", app))
	}
	for _, cmd := range commands {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	return local, app
}

// newStack starts the stack on free ports, and ends it with the test.
func newStack(t testing.TB) *stack {
	t.Helper()
	dir := t.TempDir()
	local, app := build(t, dir)
	for tries := 1; ; tries++ {
		s, err := launch(t, local, app, filepath.Join(dir, fmt.Sprint("state", tries)), freePorts(t))
		if err == nil {
			t.Cleanup(s.end)
			return s
		}
		if tries == 5 || !strings.Contains(err.Error(), "address already in use") {
			t.Fatal(err)
		}
	}
}

// freePorts gives the first of four ports in a row on which nobody listens. They lie below those that the kernel hands out by
// itself and those of the handlers.
func freePorts(t testing.TB) int {
	t.Helper()
	for range 100 {
		base := 10000 + rand.IntN(9990)
		free := true
		for n := range 6 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+n))
			if free = free && err == nil; err == nil {
				_ = l.Close() // it only had to be free
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no six ports in a row are free")
	return 0
}

func launch(t testing.TB, local, app, state string, base int) (*stack, error) {
	s := &stack{t: t, output: &output{}, door: fmt.Sprintf("127.0.0.1:%d", base)}
	s.app, s.arm, s.table = "http://"+s.door, fmt.Sprintf("http://127.0.0.1:%d", base+1), fmt.Sprintf("http://127.0.0.1:%d", base+2)
	args := []string{"-app", app, "-state", state, "-still", "-for", "10m"} // it ends by itself even where this process is killed
	for _, setting := range settings {
		args = append(args, "-setting", setting)
	}
	s.cmd = exec.Command(local, args...)
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("PORTCULLIS_LOCAL_PORT_BASE=%d", base))
	s.cmd.Stderr = s.output
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.release, err = child.Start(s.cmd); err != nil {
		return nil, err
	}
	up := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "Portcullis is up") {
				up <- true
			}
		}
		_, _ = io.Copy(io.Discard, out) // a line too long for the scanner must not block the process
		close(up)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case stands := <-up:
		if stands {
			s.pid = handler(s.cmd.Process.Pid)
			return s, nil
		}
		err = errors.New("it ended")
	case <-timer.C:
		err = fmt.Errorf("it does not stand within %s", patience)
	}
	s.end()
	return nil, fmt.Errorf("start the stack: %w\n%s", err, s.output)
}

// end ends the stack as Ctrl-C does, the handler with it.
func (s *stack) end() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	timer := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.cmd.Wait() // how it ended is of no matter now
	s.release()
	if s.t.Failed() {
		s.t.Logf("the stack printed:\n%s", s.output)
	}
}

// handler gives the process id of the handler, the child of the host's process; 0 where there is no /proc to find it in.
func handler(host int) int {
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0
	}
	for _, path := range all {
		if of := statusOf(path); of["Name"] == "handlers" && of["PPid"] == strconv.Itoa(host) {
			pid, _ := strconv.Atoi(of["Pid"])
			return pid
		}
	}
	return 0
}

// statusOf reads a process's status file; what is gone has none.
func statusOf(path string) map[string]string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		out[name] = strings.TrimSpace(value)
	}
	return out
}

// cpu is the processor time that the handler has used; 0 where there is no /proc to find it in. Linux counts it in hundredths of a second.
func (s *stack) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if s.pid == 0 || err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // its name is in brackets
	var ticks int64
	if of := strings.Fields(rest); len(of) > 12 {
		for _, field := range of[11:13] { // utime and stime
			n, _ := strconv.ParseInt(field, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is the resident memory of the handler in MiB, as it is now and as it was at most.
type memory struct {
	now, most float64
	known     bool
}

func (s *stack) memory() memory {
	of := statusOf(fmt.Sprintf("/proc/%d/status", s.pid))
	mib := func(name string) float64 {
		kb, _ := strconv.ParseFloat(strings.TrimSuffix(of[name], " kB"), 64)
		return kb / 1024
	}
	return memory{mib("VmRSS"), mib("VmHWM"), s.pid != 0 && of["VmRSS"] != ""}
}
