package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// download returns what the host answers to an administrator, byte for byte.
func (r *rig) download(path string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, url(r.ports.Host)+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = r.as("admin")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Content-Disposition"), `filename="portcullis-policies-`) {
		r.t.Fatalf("%s: %v %d %v %s", path, err, res.StatusCode, res.Header, text)
	}
	return string(text)
}

// TestPoliciesMove takes the policies of one installation to a new one, through the host and the adapters, and finds there the
// same document and the same rules.
func TestPoliciesMove(t *testing.T) {
	t.Parallel()
	first, second := newRig(t, t.TempDir(), nil), newRig(t, t.TempDir(), nil)
	first.must(200, "POST", "/api/enable", vms(web, demo+"/Microsoft.Compute/virtualMachines/app1", demo+"/Microsoft.Compute/virtualMachines/both"))
	document := first.download("/api/policies/export")
	var body map[string]any
	if err := json.Unmarshal([]byte(document), &body); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"created", "unchanged"} {
		answer := second.must(200, "POST", "/api/policies/import", body)
		if counts := answer["counts"].(map[string]any); counts[outcome] != 3.0 || counts["failed"] != 0.0 {
			t.Fatalf("want three %s: %v", outcome, answer)
		}
	}
	timeless := func(text string) string { return regexp.MustCompile(`"exportedAt":"[^"]*"`).ReplaceAllString(text, "") }
	if diff := cmp.Diff(timeless(document), timeless(second.download("/api/policies/export"))); diff != "" {
		t.Errorf("exported (-first +second):\n%s", diff)
	}
	for _, nsg := range []string{"web-nsg", "apps-nsg", "both-nsg"} {
		if diff := cmp.Diff(first.rules(nsg), second.rules(nsg)); diff != "" {
			t.Errorf("the rules of %s (-first +second):\n%s", nsg, diff)
		}
	}
}
