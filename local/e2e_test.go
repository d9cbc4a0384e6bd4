package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
	"portcullis/local/realhost"
)

// The end-to-end tests start what `make run` starts, the binary that ships
// included, and drive it over HTTP. Real seconds pass in them, as few as they can.

const (
	sub  = "/subscriptions/00000000-0000-0000-0000-00000000d3e0"
	demo = sub + "/resourceGroups/demo/providers"
	web  = demo + "/Microsoft.Compute/virtualMachines/web"
	nsgs = demo + "/Microsoft.Network/networkSecurityGroups/"
)

var packaged struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if packaged.dir != "" {
		os.RemoveAll(packaged.dir)
	}
	os.Exit(code)
}

// app builds and packages the app once, as `make package` does, and unzips the
// package as the platform would: what the tests run is what is deployed.
func app(t *testing.T) string {
	t.Helper()
	packaged.once.Do(func() {
		if packaged.dir, packaged.err = os.MkdirTemp("", "portcullis-app"); packaged.err == nil {
			packaged.err = makePackage(packaged.dir)
		}
	})
	if packaged.err != nil {
		t.Fatal(packaged.err)
	}
	return filepath.Join(packaged.dir, "app")
}

// rig is a running machine and a client.
type rig struct {
	*azure
	t     *testing.T
	ports ports
	log   *bytes.Buffer
	trust string // the certificate of the https ports
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// onHost says what the rigs run on; make check-host says real.
var onHost = flag.String("host", "", "real: run the tests on the Functions host that Azure runs; empty: on the stand-in")

func newRig(t *testing.T, dir string, tap func(string, *http.Request, bool)) *rig {
	t.Helper()
	return newRigOn(t, *onHost == "real", dir, tap)
}

func newRigOn(t *testing.T, real bool, dir string, tap func(string, *http.Request, bool)) *rig {
	t.Helper()
	return newRigWith(t, real, dir, tap, func(ports) []string { return nil })
}

// newRigWith is newRigOn with more settings of the app.
func newRigWith(t *testing.T, real bool, dir string, tap func(string, *http.Request, bool), more func(ports) []string) *rig {
	t.Helper()
	return newRigOf(t, real, dir, func(p ports) *azure { return &azure{tap: tap, more: more(p)} })
}

// newRigOf is newRigOn for stand-ins that are set up otherwise.
func newRigOf(t *testing.T, real bool, dir string, setUp func(ports) *azure) *rig {
	t.Helper()
	if real && !realhost.Installed() {
		t.Skip("NOT RUN: the Functions host that Azure runs is not installed; make check-host installs it (Linux on x86-64, npm)")
	}
	r := &rig{t: t, log: &bytes.Buffer{}, trust: certificateFile(dir)}
	out := &syncWriter{w: r.log}
	for tries := 1; ; tries++ {
		// A port that was free may be taken by another test before it is listened to.
		r.ports = ports{freePort(t), freePort(t), freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)}
		r.azure = setUp(r.ports)
		r.still, r.onReal = true, real
		err := r.start(t.Context(), r.ports, dir, app(t), slog.New(slog.NewTextHandler(out, nil)))
		if err == nil {
			break
		}
		if tries == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		r.close()
		if t.Failed() {
			t.Logf("log:\n%s", tail(r.log.String(), 6000))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.ready(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// call sends a request of the admin's and returns the status and the JSON of the answer.
func (r *rig) call(method, path string, body any) (int, map[string]any) {
	r.t.Helper()
	return r.callWith(r.as("admin"), method, path, body)
}

// as returns the header of a persona.
func (r *rig) as(persona string) http.Header {
	r.t.Helper()
	token, err := r.tokens.Token(persona, "")
	if err != nil {
		r.t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

func (r *rig) callWith(header http.Header, method, path string, body any) (int, map[string]any) {
	r.t.Helper()
	var b []byte
	if body != nil {
		b, _ = json.Marshal(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, url(r.ports.Host)+path, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, map[string]any{"error": err.Error()}
	}
	defer res.Body.Close()
	answer := map[string]any{}
	text, _ := io.ReadAll(res.Body)
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			answer["text"] = string(text)
		}
	}
	return res.StatusCode, answer
}

func (r *rig) must(status int, method, path string, body any) map[string]any {
	r.t.Helper()
	got, answer := r.call(method, path, body)
	if got != status {
		r.t.Fatalf("%s %s: status %d, want %d: %v", method, path, got, status, answer)
	}
	return answer
}

// patience is how long anything may take on the slowest of machines with everything else going
// on in it. No test waits for it but one that fails.
const patience = 2 * time.Minute

// eventually waits until f reports true.
func (r *rig) eventually(what string, f func() bool) {
	r.t.Helper()
	if !comes(f) {
		r.t.Fatalf("not within %s: %s", patience, what)
	}
}

// comes waits until f reports true, and says whether it did.
func comes(f func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

// nsg returns an NSG as ARM shows it, without what ARM itself changes with every write.
func (r *rig) nsg(name string) map[string]any {
	r.t.Helper()
	res, err := http.Get(url(r.ports.ARM) + nsgs + name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		r.t.Fatal(err)
	}
	return stripped(doc).(map[string]any)
}

func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "etag")
		delete(v, "provisioningState")
		for k := range v {
			v[k] = stripped(v[k])
		}
	case []any:
		for i := range v {
			v[i] = stripped(v[i])
		}
	}
	return v
}

// rules returns the names and priorities of an NSG's rules, by priority.
func (r *rig) rules(name string) []string {
	r.t.Helper()
	props := r.nsg(name)["properties"].(map[string]any)
	var out []string
	for _, v := range props["securityRules"].([]any) {
		rule := v.(map[string]any)
		p := rule["properties"].(map[string]any)
		out = append(out, fmt.Sprintf("%04.0f %s %s", p["priority"], p["access"], rule["name"]))
	}
	slices.Sort(out)
	return out
}

func (r *rig) open(nsg string) bool {
	return slices.ContainsFunc(r.rules(nsg), func(s string) bool { return strings.Contains(s, "Allow portcullis-") })
}

// foreign returns the NSG without the rules of ours.
func (r *rig) foreign(name string) map[string]any {
	doc := r.nsg(name)
	props := doc["properties"].(map[string]any)
	props["securityRules"] = slices.DeleteFunc(props["securityRules"].([]any), func(v any) bool {
		return strings.HasPrefix(v.(map[string]any)["name"].(string), "portcullis-")
	})
	return doc
}

func vms(ids ...string) map[string]any {
	var list []any
	for _, id := range ids {
		list = append(list, map[string]any{"id": id})
	}
	return map[string]any{"virtualMachines": list}
}

// ask is a request for port 22 of web.
func ask(length, why string) map[string]any {
	return map[string]any{"justification": why, "virtualMachines": []any{map[string]any{"id": web,
		"ports": []any{map[string]any{"number": 22, "duration": length, "allowedSourceAddressPrefix": "203.0.113.7"}}}}}
}

func TestMainJob(t *testing.T) {
	t.Parallel()
	mainJob(t, newRig(t, t.TempDir(), nil))
}

// TestMainJobOnTheHostOfAzure: the same on the Functions host that Azure runs.
func TestMainJobOnTheHostOfAzure(t *testing.T) {
	t.Parallel()
	mainJob(t, newRigOn(t, true, t.TempDir(), nil))
}

func mainJob(t *testing.T, r *rig) {
	before := r.nsg("web-nsg")

	enabled := r.must(200, "POST", "/api/enable", vms(web))
	got := r.rules("web-nsg")
	if len(got) != 3 || !strings.HasPrefix(got[1], "0299 Deny portcullis-deny-") || got[2] != "0300 Allow AllowSshAny" {
		t.Fatalf("after enable the deny does not stand above AllowSshAny: %q", got)
	}
	if text := fmt.Sprint(enabled); !strings.Contains(text, "AllowSshAny") {
		t.Errorf("enable does not name the rule that it overrides: %v", enabled)
	}

	began := time.Now()
	grant := r.must(200, "POST", "/api/request", ask("PT10S", "the main job"))
	if grant["status"] != "Initiated" {
		t.Errorf("the request is answered 200 with status %v", grant["status"])
	}
	if !r.open("web-nsg") {
		t.Fatalf("no allow stands: %q", r.rules("web-nsg"))
	}
	if got := r.rules("web-nsg")[0]; !strings.HasPrefix(got, "0100 Allow portcullis-allow-") {
		t.Errorf("the first rule is %q, want our allow at 100", got)
	}
	t.Logf("open after %v", time.Since(began).Round(time.Millisecond))
	end, err := time.Parse(time.RFC3339, grant["endTimeUtc"].(string))
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the port is closed", func() bool { return !r.open("web-nsg") })
	if early := time.Until(end); early > 0 {
		t.Errorf("closed %v before its end", early)
	}
	t.Logf("closed %v after its end at most,", time.Since(end).Round(time.Millisecond))

	path := "/api/requests/" + grant["id"].(string)
	r.eventually("the request reads Revoked", func() bool { return r.must(200, "GET", path, nil)["status"] == "Revoked" })
	var ops []string
	for _, v := range r.must(200, "GET", "/api/activity", nil)["value"].([]any) {
		e := v.(map[string]any)
		if e["operation"] == "Sweep" {
			continue // the timer's, on the host of Azure, where five minutes pass during the test
		}
		ops = append(ops, fmt.Sprint(e["operation"], " ", e["result"]))
	}
	slices.Reverse(ops)
	if diff := cmp.Diff([]string{"Enable Succeeded", "Request Succeeded", "Open Succeeded", "Close Succeeded"}, ops); diff != "" {
		t.Errorf("activity (-want +got):\n%s", diff)
	}

	r.must(200, "POST", "/api/disable", vms(web))
	if diff := cmp.Diff(before, r.nsg("web-nsg")); diff != "" {
		t.Errorf("after disable the NSG is not what it was:\n%s", diff)
	}
}

func TestWithoutServiceBus(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	grant := r.must(200, "POST", "/api/request", ask("PT10S", "the bus stops"))
	r.bus.Refuse(true)
	r.bus.DropConnections()
	end, _ := time.Parse(time.RFC3339, grant["endTimeUtc"].(string))
	r.eventually("the window has ended", func() bool { return time.Now().After(end) })
	if !r.open("web-nsg") {
		t.Fatal("something closed the port without the bus and without a sweep")
	}
	swept := r.must(200, "POST", "/api/sweep", nil)
	if r.open("web-nsg") {
		t.Errorf("after the sweep the port is open: %v", swept)
	}
	if swept["requestsClosed"] != 1.0 {
		t.Errorf("the sweep closed %v requests, want 1", swept["requestsClosed"])
	}
	// And nothing is opened whose end cannot be scheduled.
	status, answer := r.call("POST", "/api/request", ask("PT3S", "the bus is still down"))
	if status != 503 || !strings.Contains(fmt.Sprint(answer), "ServiceBusUnavailable") {
		t.Errorf("status %d %v, want 503 ServiceBusUnavailable", status, answer)
	}
	if r.open("web-nsg") {
		t.Error("a port was opened whose end is not scheduled")
	}
}

// TestKilledAnywhere kills the handler at every call that a request makes to
// Resource Manager and Table Storage, before it takes effect and before its answer is
// heard. Whatever it left, nothing may be open past its end and one sweep.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen, at int // calls seen since armed, and at which one to kill; 0 for never
	var host func()
	killed := make(chan struct{}, 1)
	tap := func(service string, q *http.Request, answered bool) {
		mu.Lock()
		if at == 0 || strings.Contains(q.URL.Path, "/operations/") {
			mu.Unlock()
			return
		}
		seen++
		kill := seen == at
		if kill {
			at = 0
		}
		mu.Unlock()
		if kill {
			host()
			killed <- struct{}{}
		}
	}
	r := newRig(t, t.TempDir(), tap)
	host = r.host.Kill
	if err := r.arm.Tune(func(k *armsim.Knobs) { k.Writes = armsim.Writes{Answer: armsim.AnswerSucceeded} }); err != nil {
		t.Fatal(err)
	}
	r.must(200, "POST", "/api/enable", vms(web))
	foreign, closed := r.foreign("web-nsg"), r.nsg("web-nsg")

	const tooFar = 200    // more calls than a request makes
	const length = "PT6S" // longer than a request takes that nothing kills
	steps := 0
	for n := 1; n <= tooFar; n++ {
		mu.Lock()
		seen, at = 0, n
		mu.Unlock()
		status, _ := r.call("POST", "/api/request", ask(length, fmt.Sprint("killed at step ", n)))
		mu.Lock()
		reached := at == 0
		at = 0
		mu.Unlock()
		if !reached { // the whole request made fewer calls than n: every one has been tried
			if status != 200 {
				t.Fatalf("a request that nothing kills is answered %d", status)
			}
			steps = n - 1
			break
		}
		<-killed // from here on a handler that is ready is a new one
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := r.ready(ctx); err != nil {
			t.Fatalf("after a kill at step %d: %v", n, err)
		}
		cancel()
	}
	if steps < 10 {
		t.Fatalf("only %d steps were tried", steps)
	}
	t.Logf("killed at each of %d steps", steps)
	last := time.Now().Add(6 * time.Second)
	r.eventually("the last window has ended", func() bool { return time.Now().After(last) })
	r.must(200, "POST", "/api/sweep", nil)
	if diff := cmp.Diff(closed, r.nsg("web-nsg")); diff != "" {
		t.Errorf("after the ends and one sweep the NSG is not closed as before:\n%s", diff)
	}
	if diff := cmp.Diff(foreign, r.foreign("web-nsg")); diff != "" {
		t.Errorf("something foreign changed:\n%s", diff)
	}
	for _, v := range r.must(200, "GET", "/api/requests?top=1000", nil)["value"].([]any) {
		if g := v.(map[string]any); g["status"] != "Revoked" {
			t.Errorf("%v is left %v", g["justification"], g["status"])
		}
	}
}

func TestStateSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	r.must(200, "POST", "/api/enable", vms(web))
	long := ask("PT1H", "open over a restart")
	long["virtualMachines"].([]any)[0].(map[string]any)["ports"].([]any)[0].(map[string]any)["number"] = 3389
	stays := r.must(200, "POST", "/api/request", long)["id"].(string)
	ends := r.must(200, "POST", "/api/request", ask("PT8S", "due after a restart"))["id"].(string)
	r.close()

	r = newRig(t, dir, nil)
	stands := func(grant string) bool {
		return slices.ContainsFunc(r.rules("web-nsg"), func(s string) bool {
			return strings.Contains(s, "Allow portcullis-allow-"+strings.ReplaceAll(grant, "-", ""))
		})
	}
	if !stands(stays) {
		t.Fatalf("the open window is gone after a restart: %q", r.rules("web-nsg"))
	}
	r.eventually("the scheduled message closes the port", func() bool { return !stands(ends) })
	if !stands(stays) {
		t.Errorf("the other window is gone with it: %q", r.rules("web-nsg"))
	}
}
