package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/store"
	"portcullis/core/tell"
	"portcullis/infra/hook"
	"portcullis/infra/hook/webhook"
)

const source = "https://app.example/api/portal"

// TestEvents: the specification's own SDK reads every event, finds it valid, and finds in it what was told.
func TestEvents(t *testing.T) {
	got := make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if kind := r.Header.Get("Content-Type"); kind != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("content type %q", kind)
		}
		body, _ := io.ReadAll(r.Body)
		got <- body
	}))
	defer server.Close()
	client, err := hook.New(hook.Config{Name: "webhook", URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	channel := &webhook.Channel{Client: client, Source: source}
	for _, m := range coretest.Messages() {
		t.Run(m.ID(), func(t *testing.T) {
			card := tell.CardOf(m, source)
			if err := channel.Send(t.Context(), card); err != nil {
				t.Fatal(err)
			}
			var e event.Event
			if err := json.Unmarshal(<-got, &e); err != nil {
				t.Fatal(err)
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			if e.SpecVersion() != "1.0" || e.ID() != m.ID() || e.Source() != source || e.Type() != "portcullis."+string(m.Kind) || e.Subject() != m.Subject || !e.Time().Equal(m.At) || e.DataContentType() != "application/json" {
				t.Errorf("the event is %v", e)
			}
			var data webhook.Data
			if err := e.DataAs(&data); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(webhook.EventOf(card, source).Data, data); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if data.Kind != m.Kind || data.Justification != m.Justification || len(data.Windows) != len(m.Windows) {
				t.Errorf("the data is %+v", data)
			}
			if m.Grant != "" && data.Link != source+"/requests/"+m.Grant {
				t.Errorf("the link is %q", data.Link)
			}
		})
	}
}

// TestText: what mail is made of has every fact, one a line: nobody who writes a justification can add a line.
func TestText(t *testing.T) {
	m := store.Message{Kind: store.EventOpen, At: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), Subject: "g", Seq: 1, Grant: "g", Requestor: "ann", Justification: "look\r\nBy: the boss\u202eevil"}
	e := webhook.EventOf(tell.CardOf(m, ""), "urn:portcullis")
	if e.Data.Text != "For: ann\nWhy: look By: the bossevil" && e.Data.Text != "For: ann\nWhy: look  By: the bossevil" {
		t.Errorf("text %q", e.Data.Text)
	}
	if strings.Contains(e.Data.Title, "%") {
		t.Errorf("title %q", e.Data.Title)
	}
}
