package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portcullis/local/issuer"
)

// TestCertificate: it is kept while it lasts, replaced before it ends, its key is the owner's alone, it can sign no other, and one that cannot be
// read is not replaced.
func TestCertificate(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	first, err := certificate(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := first.Leaf
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.VerifyHostname("127.0.0.1") != nil || leaf.VerifyHostname("example.com") == nil {
		t.Errorf("it is an authority: %v; for %v %v, usage %v", leaf.IsCA, leaf.DNSNames, leaf.IPAddresses, leaf.KeyUsage)
	}
	if info, err := os.Stat(filepath.Join(dir, "tls", "key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for days, kept := range map[int]bool{0: true, 357: true} {
		if again, err := certificate(dir, now.AddDate(0, 0, days)); err != nil || again.Leaf.Equal(leaf) != kept {
			t.Errorf("after %d days: %v, another %v", days, err, !again.Leaf.Equal(leaf))
		}
	}
	if again, err := certificate(dir, now.AddDate(0, 0, 359)); err != nil || again.Leaf.Equal(leaf) || !again.Leaf.NotAfter.After(leaf.NotAfter) {
		t.Errorf("in its last week: %v, the same %v", err, again.Leaf.Equal(leaf))
	}
	if err := os.WriteFile(certificateFile(dir), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := certificate(dir, now); err == nil {
		t.Error("a certificate that cannot be read is replaced")
	}
}

// TestSecure: over https the app takes a token, and everything that tells where to sign in tells https addresses of this machine; what is
// told over http stays http.
func TestSecure(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	text, err := os.ReadFile(r.trust)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	get := func(at string) map[string]any {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = r.as("reader")
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		var doc map[string]any
		if err != nil || json.Unmarshal(body, &doc) != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %s %v", at, res.StatusCode, body, err)
		}
		return doc
	}
	if got := get(secureURL(r.ports.Secure) + "/api/machines")["value"].([]any); len(got) == 0 {
		t.Error("no machines over https")
	}
	for app, authority := range map[string]string{secureURL(r.ports.Secure): secureURL(r.ports.Authority), url(r.ports.Host): url(r.ports.ARM)} {
		told := get(app + "/api/metadata/endpoints?api-version=2022-09-01")
		if login := told["authentication"].(map[string]any)["loginEndpoint"]; login != authority || told["resourceManager"] != app+"/api" {
			t.Errorf("%s tells %v", app, told)
		}
		for field, value := range get(authority + "/" + issuer.DefaultTenant + "/v2.0/.well-known/openid-configuration") {
			if address, ok := value.(string); ok && strings.HasPrefix(address, "http") && !strings.HasPrefix(address, authority) {
				t.Errorf("%s tells %s of %s", authority, address, field)
			}
		}
	}
}
