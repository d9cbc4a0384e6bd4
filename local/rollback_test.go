package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/issuer"
)

// TestRollback goes back between two builds of the app, of which the newer knows a setting more: with the newer one's settings the older
// starts, and says in health what it does not know. Where the setting is critical it does not start, and the newer one does.
func TestRollback(t *testing.T) {
	t.Parallel()
	const demand, critical = "PORTCULLIS_DEMAND_OF_A_NEWER_VERSION", "PORTCULLIS_CRITICAL_SETTINGS="
	authority, token := tokenOf(t, "reader")
	older, newer := filepath.Join(app(t), "handlers"), buildKnowing(t, demand)
	for _, tt := range []struct {
		name, binary string
		settings     []string
		want         []any // unknownSettings of health
	}{
		{"the newer build", newer, []string{demand + "=on"}, []any{}},
		{"the newer build, critical", newer, []string{demand + "=on", critical + demand}, []any{}},
		{"the older build", older, []string{demand + "=on"}, []any{demand}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, port, _ := startHandler(t, tt.binary, append(tt.settings, "PORTCULLIS_AUTHORITY="+authority)...)
			health := healthOf(t, port, token)
			if diff := cmp.Diff(tt.want, health["unknownSettings"]); diff != "" {
				t.Errorf("unknownSettings (-want +got):\n%s", diff)
			}
		})
	}
	cmd := exec.CommandContext(t.Context(), older)
	cmd.Env = append(needed(freePort(t)), demand+"=on", critical+demand)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "does not know") || !strings.Contains(string(out), demand) {
		t.Errorf("the older build, critical: %v, %s", err, out)
	}
}

// tokenOf returns the address of an issuer that lasts as long as the test, and an access token from it.
func tokenOf(t *testing.T, persona string) (authority, token string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	authority = "http://" + l.Addr().String()
	tokens, err := issuer.Open(issuer.Config{URL: authority})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: tokens, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	if token, err = tokens.Token(persona, "api://portcullis"); err != nil {
		t.Fatal(err)
	}
	return authority, token
}

// buildKnowing builds the app with one setting more in its table.
func buildKnowing(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := filepath.Abs("../config.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const table = "return append([]setting{\n"
	if strings.Count(string(text), table) != 1 {
		t.Fatal("config.go has no table of settings to add one to")
	}
	changed := strings.Replace(string(text), table, table+`{"`+name+`", optional, "of a newer version", func(*config, string) error { return nil }},`+"\n", 1)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: filepath.Join(dir, "config.go")}})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"config.go": changed, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "handlers")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "portcullis")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return out
}
