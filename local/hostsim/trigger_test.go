package hostsim_test

import (
	"testing"

	"portcullis/local/hostsim"
)

// TestTriggerFailures holds what the host takes for a failure: each is
// abandoned at once and comes back, until the queue gives the message up.
func TestTriggerFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
	}{
		{"status 500 with a proper body", answer{500, ok.mediaType, ok.body, ""}},
		{"status 404", answer{404, ok.mediaType, ok.body, ""}},
		{"a redirect, which is not followed", answer{302, ok.mediaType, ok.body, ""}},
		{"plain text", answer{200, "text/plain", "OK", ""}},
		{"proper JSON called plain text", answer{200, "text/plain", ok.body, ""}},
		{"proper JSON without a content type", answer{200, "", ok.body, ""}},
		{"broken JSON", answer{200, "application/json", `{"Outputs":`, ""}},
		{"JSON of another kind", answer{200, "application/json", `"OK"`, ""}},
		{"Logs that are not a list", answer{200, "application/json", `{"Logs":"done"}`, ""}},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1, Body: []byte("x")}
			for _, want := range []string{"abandon 1", "abandon 2", "dead-letter 3"} {
				r.next().answer <- tt.answer
				if got := receive(t, r.queue.settled, want); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
			}
		})
	}
}

func TestTriggerSuccess(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
	}{
		{"the whole answer", ok},
		{"an empty object", answer{200, "application/json; charset=utf-8", `{}`, ""}},
		{"another status of 2xx", answer{202, "text/json", `{"ReturnValue":1}`, ""}},
		{"unknown fields", answer{200, "application/json", `{"More":1}`, ""}},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1, Body: []byte("x")}
			r.next().answer <- tt.answer
			if got := receive(t, r.queue.settled, "complete"); got != "complete 1" {
				t.Fatalf("got %s", got)
			}
		})
	}
}
