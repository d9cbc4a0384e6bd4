package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"portcullis/local/armsim"
	"portcullis/local/bussim"
	"portcullis/local/child"
	"portcullis/local/issuer"
)

// machineRoom is the stand-ins on loopback and the binary that ships before them, in real time.
type machineRoom struct {
	*world
	binary string
	env    []string
	token  string
	tokens *issuer.Issuer
}

const namespace = "portcullis-bench.servicebus.windows.net"

func newMachineRoom(t *testing.T, e estate) *machineRoom {
	t.Helper()
	w := newWorld(t, setting{estate: e, real: true, seed: 1, knobs: armsim.Knobs{Writes: armsim.Writes{Answer: armsim.AnswerSucceeded}}})
	r := &machineRoom{world: w, binary: filepath.Join(t.TempDir(), "handlers")}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", r.binary, "portcullis")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, out)
	}
	front := httptest.NewUnstartedServer(nil)
	url := "http://" + front.Listener.Addr().String()
	var err error
	r.tokens, err = issuer.Open(issuer.Config{URL: url, IdentityHeader: "bench"})
	w.check(err)
	mux := http.NewServeMux()
	mux.Handle("/subscriptions/", w.arm)
	mux.Handle("/providers/", w.arm)
	mux.Handle("/", r.tokens)
	front.Config.Handler = mux
	front.Start()
	t.Cleanup(front.Close)
	tables := httptest.NewServer(w.tables)
	t.Cleanup(tables.Close)
	bus, err := bussim.Open(bussim.Config{Queues: []bussim.Queue{{Name: "portcullis-revoke", LockDuration: time.Minute, MaxDeliveryCount: maxDeliveries}},
		VerifyToken: func(context.Context, string, string) error { return nil }})
	w.check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	go func() { _ = bus.Serve(l) }() // it ends with the broker
	t.Cleanup(func() { w.check(bus.Close()) })
	r.token, err = r.tokens.Token("admin", "")
	w.check(err)
	r.env = []string{
		"PORTCULLIS_TENANT=" + issuer.DefaultTenant, "PORTCULLIS_AUDIENCE=" + issuer.DefaultAudience, "PORTCULLIS_AUTHORITY=" + url, "PORTCULLIS_SUBSCRIPTIONS=" + sub,
		"PORTCULLIS_TABLE_ENDPOINT=" + tables.URL + "/devaccount", "PORTCULLIS_ARM_ENDPOINT=" + url, "PORTCULLIS_SERVICEBUS_ADDRESS=" + l.Addr().String(),
		"ServiceBus__fullyQualifiedNamespace=" + namespace, "IDENTITY_ENDPOINT=" + url + "/msi/token", "IDENTITY_HEADER=bench",
	}
	return r
}

// process is one run of the binary.
type process struct {
	room    *machineRoom
	cmd     *exec.Cmd
	release func() // once it has been waited for
	url     string
	start   time.Duration // from its start to the first 200 of its health
}

// launch starts the binary and waits until it is healthy. It is ended with the test.
func (r *machineRoom) launch(t *testing.T) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.check(err)
	port := l.Addr().(*net.TCPAddr).Port
	r.check(l.Close())
	p := &process{room: r, cmd: exec.Command(r.binary), url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	p.cmd.Env = append(r.env, fmt.Sprintf("FUNCTIONS_CUSTOMHANDLER_PORT=%d", port))
	began := time.Now()
	p.release, err = child.Start(p.cmd)
	r.check(err)
	t.Cleanup(p.end)
	for time.Since(began) < 20*time.Second {
		if resp, err := http.Get(p.url + "/api/health"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				p.start = time.Since(began)
				return p
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the app does not become healthy")
	return nil
}

func (p *process) end() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		_ = p.cmd.Wait()
		p.release()
	}
}

// resident returns the process's resident memory now, and the most it ever was, in MiB.
func (p *process) resident() (now, most float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	p.room.check(err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			kb, _ := strconv.ParseFloat(fields[1], 64)
			switch fields[0] {
			case "VmRSS:":
				now = kb / 1024
			case "VmHWM:":
				most = kb / 1024
			}
		}
	}
	return now, most
}

// post calls the app as the admin, wants 200, and returns the answer.
func (p *process) post(method, path, body string) string {
	p.room.tb.Helper()
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	p.room.check(err)
	r.Header.Set("Authorization", "Bearer "+p.room.token)
	return p.do(http.DefaultClient, r)
}

// sweep invokes the timer's function as the Functions host does.
func (p *process) sweep() {
	p.room.tb.Helper()
	r, err := http.NewRequest(http.MethodPost, p.url+"/sweep", strings.NewReader(`{"Data":{"timer":{}},"Metadata":{}}`))
	p.room.check(err)
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Azure-Functions-InvocationId", newID())
	plain := &http.Transport{DisableCompression: true} // the host sends no Accept-Encoding
	defer plain.CloseIdleConnections()
	p.do(&http.Client{Transport: plain}, r)
}

func (p *process) do(client *http.Client, r *http.Request) string {
	p.room.tb.Helper()
	resp, err := client.Do(r)
	p.room.check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	p.room.check(err)
	if resp.StatusCode != http.StatusOK {
		p.room.tb.Fatalf("%s %s: %d %s", r.Method, r.URL.Path, resp.StatusCode, text)
	}
	return string(text)
}

// rate is what wrk found.
type rate struct {
	perSecond float64
	p50, p99  string
	bad       string // answers that are not 2xx, "" for none
}

// What wrk prints, each on a line of its own. The table above the distribution also ends in per cents.
var (
	perSecond = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)\s*$`)
	half      = regexp.MustCompile(`(?m)^\s+50(?:\.0+)?%\s+([0-9.]+(?:us|ms|s|m|h))\s*$`)
	nearlyAll = regexp.MustCompile(`(?m)^\s+99(?:\.0+)?%\s+([0-9.]+(?:us|ms|s|m|h))\s*$`)
	notGood   = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)\s*$`)
)

// readRate reads wrk's output. Where a figure is missing or no number, it is an error.
func readRate(out string) (rate, error) {
	var r rate
	for _, want := range []struct {
		name string
		re   *regexp.Regexp
		into *string
	}{{"50%", half, &r.p50}, {"99%", nearlyAll, &r.p99}} {
		m := want.re.FindStringSubmatch(out)
		if m == nil {
			return rate{}, fmt.Errorf("wrk printed no time at %s", want.name)
		}
		*want.into = m[1]
	}
	m := perSecond.FindStringSubmatch(out)
	if m == nil {
		return rate{}, errors.New("wrk printed no requests per second")
	}
	var err error
	if r.perSecond, err = strconv.ParseFloat(m[1], 64); err != nil {
		return rate{}, fmt.Errorf("requests per second: %w", err)
	}
	if m := notGood.FindStringSubmatch(out); m != nil {
		r.bad = m[1]
	}
	return r, nil
}

// wrk loads the app with GETs of a path over 16 connections for some seconds.
func (p *process) wrk(t *testing.T, path string, length time.Duration) rate {
	t.Helper()
	out, err := exec.Command("wrk", "--latency", "-t", "2", "-c", "16", "-d", fmt.Sprintf("%ds", int(length.Seconds())), "-H", "Authorization: Bearer "+p.room.token, p.url+path).CombinedOutput()
	if err != nil {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	r, err := readRate(string(out))
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return r
}

// TestReadsWrk holds that figures are read by their names, also where the table above them ends in the same per cents.
func TestReadsWrk(t *testing.T) {
	const good = `Running 8s test @ http://127.0.0.1:7071/api/openapi.json
  2 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    51.27ms   58.83ms 499.72ms   86.50%
    Req/Sec   188.52     70.56   404.00     68.99%
  Latency Distribution
     50%   36.11ms
     75%   80.02ms
     90%  128.34ms
     99%  232.36ms
  3004 requests in 8.05s, 1.21GB read
Requests/sec:    373.12
Transfer/sec:    154.36MB
`
	got, err := readRate(good)
	if want := (rate{perSecond: 373.12, p50: "36.11ms", p99: "232.36ms"}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	got, err = readRate(good + "  Non-2xx or 3xx responses: 7\n")
	if err != nil || got.bad != "7" {
		t.Errorf("answers that are not good: %+v, %v", got, err)
	}
	for _, gone := range []string{"     50%   36.11ms\n", "     99%  232.36ms\n", "Requests/sec:    373.12\n"} {
		if got, err := readRate(strings.Replace(good, gone, "", 1)); err == nil {
			t.Errorf("without %q: %+v", gone, got)
		}
	}
}
