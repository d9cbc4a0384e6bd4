package handlers_test

import (
	"context"
	"errors"
	"testing"

	"portcullis/core/coretest"
)

// TestRevokeWithoutALog: the ports close though the log does not answer. Whoever revoked is told 202 and that the log lags, and finds the
// request closed, with its entry, once the log answers again.
func TestRevokeWithoutALog(t *testing.T) {
	a := newApp(t)
	a.enable()
	r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`))
	id, _ := r.body["id"].(string)
	if r.status != 200 || id == "" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return errors.New("the log is away")
		}
		return nil
	}
	r = a.call("POST", "/api/requests/"+id+"/revoke", "")
	if r.status != 202 || r.body["logPending"] != true || r.header.Get("Location") != "/api/requests/"+id || r.header.Get("Retry-After") == "" {
		t.Errorf("%d, Location %q: %s", r.status, r.header.Get("Location"), r.text)
	}
	if got := a.allows("web-nsg"); got != 0 {
		t.Errorf("%d rules let packets in", got)
	}
	a.store.Fault = nil
	a.sweeps()
	r = a.call("GET", "/api/requests/"+id, "")
	if r.body["status"] != "Revoked" || r.body["logPending"] != nil {
		t.Errorf("after the sweep: %s", r.text)
	}
	if got := a.entries(); got["Revoke Succeeded"] != 1 {
		t.Errorf("entries: %v", got)
	}
}
