package realhost_test

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"portcullis/local/realhost"
)

// TestClientGoesAway: both hosts close the handler's connection once the client has closed its own, so
// that a call's context ends in the middle of what it does.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	real, sim := pair(t)
	for name, h := range map[string]host{"real": real, "stand-in": sim} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.addr+"/api/any/away?wait", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				t.Errorf("the %s host answered %d", name, resp.StatusCode)
				resp.Body.Close()
			}
		}()
		eventually(t, "the call arrives", func() bool { return slices.Contains(h.seen(t), "GET /api/any/away?wait") })
		cancel()
		eventually(t, "the "+name+" host closes the connection", func() bool { return slices.Contains(h.seen(t), "GONE /api/any/away?wait") })
	}
}

// TestHandlerDies: a call without a body whose handler dies at work is sent to the next one, a call with
// a body fails. The third death ends the real host; of the stand-in hostsim.TestThreeStrikes checks that.
func TestHandlerDies(t *testing.T) {
	t.Parallel()
	root := recording(t, "")
	notes := filepath.Join(root, "calls")
	h := startReal(t, realhost.Config{Root: root, Env: append(settings, "RECORD="+notes)}, "/api/any/ready")
	real := host{addr: strings.TrimPrefix(h.URL, "http://"), notes: notes, real: h}
	app, simNotes := t.TempDir(), filepath.Join(root, "sim.calls")
	unpack(t, app)
	sim, stand := startStandIn(t, app, simNotes)

	type killable struct {
		host
		kill func()
	}
	end := func() {
		if err := syscall.Kill(handlerOf(t, h), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	for name, k := range map[string]killable{"real": {real, end}, "stand-in": {host{addr: sim, notes: simNotes}, stand.Kill}} {
		for _, tc := range []struct {
			target, raw    string
			status, atMost int
		}{
			{"/api/any/get?second", get("/api/any/get?second"), 200, 40},
			{"/api/any/post?second", post("/api/any/post?second", "{}"), 500, 1},
		} {
			if got := k.send(t, get("/api/any/before")); got.Status != 200 { // the next handler is there
				t.Fatalf("the %s host answered %d", name, got.Status)
			}
			done := make(chan outcome, 1)
			go func() { done <- k.send(t, tc.raw) }()
			eventually(t, "the call arrives", func() bool { return arrivals(k.seen(t), tc.target) > 0 })
			k.kill()
			got := <-done
			if n := arrivals(k.seen(t), tc.target); got.Status != tc.status || n > tc.atMost || tc.status == 200 && n < 2 {
				t.Errorf("the %s host answered %s with %d after %d arrivals", name, tc.target, got.Status, n)
			}
		}
	}
	if got := real.send(t, get("/api/any/before")); got.Status != 200 {
		t.Fatalf("after two deaths the host answered %d", got.Status)
	}
	end()
	ended(t, h)
}

func arrivals(seen []string, target string) int {
	n := 0
	for _, line := range seen {
		if !strings.HasPrefix(line, "GONE ") && strings.HasSuffix(line, " "+target) {
			n++
		}
	}
	return n
}

// ended waits for a host that gives up.
func ended(t *testing.T, h *realhost.Host) {
	t.Helper()
	select {
	case <-h.Ended():
	case <-time.After(patience):
		t.Error("the host goes on")
	}
}

// TestHandlerSilent: the real host gives up a handler that does not begin to answer in time, three times.
func TestHandlerSilent(t *testing.T) {
	t.Parallel()
	root := recording(t, "")
	edit(t, filepath.Join(root, "host.json"), `"enableProxying`, `"initializationTimeout":"00:00:01","enableProxying`)
	h, err := realhost.Start(realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"), "RECORD_AFTER=1h")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Kill() })
	ended(t, h)
}
