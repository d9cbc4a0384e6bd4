package hostsim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/local/hostsim"
)

// TestTriggerFailures checks what the host takes for a failure: each is
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

// TestEnvelopes compares what is posted for a message with golden files: the
// body, then the envelope, indented. The parts that differ from run to run are
// written RANDOM.
func TestEnvelopes(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/messages.txtar")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 640002300, time.UTC)
	r := start(t, theApp, "echo", func(c *hostsim.Config) { c.Now = func() time.Time { return now } })
	for i := 0; i+1 < len(archive.Files); i += 2 {
		name, isBody := strings.CutSuffix(archive.Files[i].Name, ".body")
		if !isBody || archive.Files[i+1].Name != name+".json" {
			t.Fatalf("%s is not followed by its envelope", archive.Files[i].Name)
		}
		t.Run(name, func(t *testing.T) {
			m := &hostsim.Message{
				Body:      bytes.TrimSuffix(archive.Files[i].Data, []byte("\n")),
				MessageID: "m-1", SequenceNumber: 42, DeliveryCount: 1,
			}
			if name == "everything" {
				m.LockToken = "4e773554-f6b7-4ea2-b07d-4c5fd5aba741"
				m.EnqueuedTime = now.Add(-time.Minute)
				m.ExpiresAt = now.In(time.FixedZone("CET", 3600)).Add(time.Hour)
				m.ContentType, m.CorrelationID, m.Subject, m.To = "application/json", "c", "ends", "there"
				m.ReplyTo, m.SessionID, m.ReplyToSessionID = "back", "s", "rs"
				m.PartitionKey, m.DeadLetterSource = "p", "dead"
				m.ApplicationProperties = map[string]any{"k": "v", "n": 1, "BigTrigger": true}
			}
			r.queue.messages <- m
			call := r.next()
			call.answer <- ok
			receive(t, r.queue.settled, "complete")
			if call.Method != "POST" || call.URI != "/Revoke" {
				t.Errorf("posted as %s %s", call.Method, call.URI)
			}
			if got := call.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("content type %s", got)
			}
			if got := call.Header.Get("X-Azure-Functions-Invocationid"); len(got) != 36 {
				t.Errorf("invocation id %q", got)
			}
			if diff := cmp.Diff(string(archive.Files[i+1].Data), indent(t, call.Body)); diff != "" {
				t.Errorf("envelope (-want +got):\n%s", diff)
			}
		})
	}
}

// indent writes an envelope for people to read.
func indent(t *testing.T, envelope string) string {
	t.Helper()
	envelope = regexp.MustCompile(`"RandGuid":"[0-9a-f-]{36}"`).ReplaceAllString(envelope, `"RandGuid":"RANDOM"`)
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(envelope), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestConcurrency checks that host.json's bound, 2, is kept: the third message
// stays in the queue.
func TestConcurrency(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	for _, id := range []string{"a", "b", "c"} {
		r.queue.messages <- &hostsim.Message{MessageID: id, DeliveryCount: 1}
	}
	first, second := r.next(), r.next()
	if n := len(r.queue.messages); n != 1 {
		t.Fatalf("%d messages left in the queue, want 1", n)
	}
	first.answer <- ok
	third := r.next()
	second.answer <- ok
	third.answer <- ok
	for range 3 {
		if got := receive(t, r.queue.settled, "complete"); got != "complete 1" {
			t.Errorf("got %s", got)
		}
	}
}

func TestLockRenewal(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1, LockedUntil: time.Now().Add(50 * time.Millisecond)}
	call := r.next()
	for range 3 {
		receive(t, r.queue.renewed, "a renewal")
	}
	call.answer <- ok
	if got := receive(t, r.queue.settled, "complete"); got != "complete 1" {
		t.Errorf("got %s", got)
	}
}

// TestLockRenewalEnds checks the bound on renewals: host.json's
// maxAutoLockRenewalDuration. The function goes on without its lock.
func TestLockRenewalEnds(t *testing.T) {
	app := strings.Replace(theApp, `"maxConcurrentCalls"`, `"maxAutoLockRenewalDuration":"00:00:00","maxConcurrentCalls"`, 1)
	r := start(t, app, "echo", nil)
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1, LockedUntil: time.Now().Add(-time.Hour)}
	call := r.next()
	// A timer's run is longer than the 10 ms after which a renewal would come.
	fired := make(chan error, 1)
	go func() { fired <- r.Fire(within(t), "sweep") }()
	r.next().answer <- ok
	if err := receive(t, fired, "the timer"); err != nil {
		t.Error(err)
	}
	call.answer <- ok
	receive(t, r.queue.settled, "complete")
	if n := len(r.queue.renewed); n != 0 {
		t.Errorf("%d renewals", n)
	}
}

// TestReceiveErrors checks that a queue that cannot be reached is tried again.
func TestReceiveErrors(t *testing.T) {
	r := start(t, theApp, "echo", func(c *hostsim.Config) {
		open := c.Queues
		c.Queues = func(connection, name string) (hostsim.Queue, error) {
			q, err := open(connection, name)
			q.(*queue).errs = []error{errors.New("broker gone"), errors.New("broker still gone")}
			return q, err
		}
	})
	r.queue.messages <- &hostsim.Message{MessageID: "m", DeliveryCount: 1}
	r.next().answer <- ok
	if got := receive(t, r.queue.settled, "complete"); got != "complete 1" {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{`error="broker gone" retry_in=100ms`, `error="broker still gone" retry_in=200ms`} {
		r.log.waitFor(t, want)
	}
}
