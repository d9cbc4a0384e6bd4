package realhost_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/local/realhost"
)

// The programs of clients that send a body of a length that they do not say. Each prints the status and the answer.
const (
	python = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1])
c.request("POST", "/api/any/a", body=(part for part in (b'{"a":', b'1}')), headers={"Content-Type": "application/json"})
r = c.getresponse(); print(r.status, r.read().decode())`
	node = `
const body = new ReadableStream({ start(c) { for (const part of ['{"a":', '1}']) c.enqueue(new TextEncoder().encode(part)); c.close(); } });
fetch("http://" + process.argv[1] + "/api/any/a", { method: "POST", body, duplex: "half", headers: { "Content-Type": "application/json" } })
  .then(async r => console.log(r.status, await r.text()));`
	curl = `printf '{"a":1}' | curl -sS -X POST -T - -H 'Content-Type: application/json' -w '\n' -o "$0.answer" -w '%{http_code} ' "http://$1/api/any/a"; cat "$0.answer"`
)

// stream sends a body of unknown length by one client and returns what came back: a status and a text.
func stream(t *testing.T, client, addr string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	switch client {
	case "go":
		in, out := io.Pipe()
		go func() {
			_, err := out.Write([]byte(`{"a":1}`))
			_ = out.CloseWithError(err) // nil ends the body
		}()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/api/any/a", in)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status[:3] + " " + string(text)
	case "curl":
		cmd = exec.CommandContext(ctx, "sh", "-c", curl, filepath.Join(t.TempDir(), "curl"), addr)
	case "python3":
		cmd = exec.CommandContext(ctx, "python3", "-c", python, addr)
	case "node":
		cmd = exec.CommandContext(ctx, "node", "-e", node, addr)
	}
	if _, err := exec.LookPath(client); err != nil {
		t.Skipf("NOT RUN: %s is not installed", client)
	}
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text)
}

// TestStreams: what clients stream arrives whole in proxy mode. In forwarding mode the handler never sees it,
// and the client gets a 500 with nothing in it: that is why host.json turns proxy mode on.
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"enableProxyingHttpRequest", "enableForwardingHttpRequest"} {
		t.Run(mode, func(t *testing.T) {
			root := recording(t, "")
			text, err := os.ReadFile(filepath.Join(root, "host.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "host.json"), []byte(strings.Replace(string(text), "enableProxyingHttpRequest", mode, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			h := startReal(t, realhost.Config{Root: root, Env: append(settings, "RECORD="+filepath.Join(root, "calls"))}, "/api/any/ready")
			for _, client := range []string{"go", "curl", "python3", "node"} {
				t.Run(client, func(t *testing.T) {
					status, body, _ := strings.Cut(strings.TrimSpace(stream(t, client, strings.TrimPrefix(h.URL, "http://"))), " ")
					t.Logf("%s %.60s", status, body)
					if mode == "enableForwardingHttpRequest" {
						if status != "500" || body != "" {
							t.Errorf("answered %s %q, want 500 and nothing", status, body)
						}
						return
					}
					var c call
					if err := json.Unmarshal([]byte(body), &c); err != nil || status != "200" || c.Body != `{"a":1}` || !c.Chunked {
						t.Errorf("answered %s %s (%v)", status, body, err)
					}
				})
			}
		})
	}
}
