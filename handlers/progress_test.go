package handlers_test

import (
	"context"
	"strings"
	"testing"

	"portcullis/core/coretest"
)

// TestOpeningTellsOfItsTargets: a request that is answered before it is open says which targets it
// waits for, and where one looks later, which of them have confirmed it; once it is open its status says it all.
func TestOpeningTellsOfItsTargets(t *testing.T) {
	a := newCompat(t)
	if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"},{"id":"`+app1+`"}]}`); r.status != 200 {
		t.Fatal(r.text)
	}
	release, noted, opened := make(chan struct{}), make(chan struct{}, 1), make(chan struct{}, 1)
	a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After && strings.HasSuffix(s.Of, "apps-nsg") {
			<-release
		}
		return nil
	}
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		switch {
		case s.Op == "NoteConfirmed" && s.After:
			noted <- struct{}{}
		case s.Op == "UpdateGrants" && s.After:
			opened <- struct{}{}
		}
		return nil
	}
	targets := func(r answer) string {
		out, _ := r.body["status"].(string)
		list, _ := r.body["targets"].([]any)
		for _, v := range list {
			one := v.(map[string]any)
			id := one["id"].(string)
			out += " " + id[strings.LastIndex(id, "/")+1:] + " " + one["status"].(string)
		}
		return out
	}
	port := `,"ports":[{"number":22,"duration":"PT1H"}]}`
	asked := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`"`+port+`,{"id":"`+app1+`"`+port+`]}`, "Prefer", "respond-async")
	if got := targets(asked); asked.status != 202 || got != "Initiating apps-nsg Waiting web-nsg Waiting" {
		t.Errorf("%d %s", asked.status, got)
	}
	<-noted
	look := func() answer { return a.call("GET", asked.header.Get("Location"), "") }
	if got := targets(look()); got != "Initiating apps-nsg Waiting web-nsg Confirmed" {
		t.Errorf("half open: %s", got)
	}
	close(release)
	<-opened
	if got := targets(look()); got != "Initiated" {
		t.Errorf("open: %s", got)
	}
}
