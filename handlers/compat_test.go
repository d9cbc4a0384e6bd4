package handlers_test

import "testing"

// TestW03: a PUT answers 200 for a new policy and for a changed one.
func TestW03(t *testing.T) {
	a := newCompat(t)
	for _, vms := range [][]string{{web}, {web, app1}, {web, app1}} {
		r := a.call("PUT", policy+version, putBody(vms...))
		r.wants(t, 200, "")
		if properties, _ := r.body["properties"].(map[string]any); properties["provisioningState"] != "Succeeded" {
			t.Errorf("%s", r.text)
		}
	}
}
