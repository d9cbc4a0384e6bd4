package inbox_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"portcullis/local/inbox"
)

// TestInbox: what is no message is refused, what is one is shown, the newest first, with its text as text.
func TestInbox(t *testing.T) {
	var box inbox.Inbox
	server := httptest.NewServer(&box)
	defer server.Close()
	post := func(path, kind, body string, want int) {
		t.Helper()
		resp, err := http.Post(server.URL+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("POST %s %.40q: %d, want %d", path, body, resp.StatusCode, want)
		}
	}
	post("/local/inbox", "application/json", `{}`, 404)
	post("/local/inbox/sms", "application/json", `{}`, 404)
	post("/local/inbox/slack", "application/json", `{`, 400)
	post("/local/inbox/slack", "text/plain", `{}`, 400)
	post("/local/inbox/teams", "application/json", `"`+strings.Repeat("x", 28<<10)+`"`, 413)
	post("/local/inbox/webhook", "application/json", `"`+strings.Repeat("x", 64<<10)+`"`, 413)
	if n := len(box.Messages()); n != 0 {
		t.Fatalf("%d messages were kept that are none", n)
	}
	post("/local/inbox/webhook", "application/cloudevents+json; charset=utf-8", `{"specversion":"1.0","data":{"title":"Open: web","text":"For: <b>ann</b>\nWhy: look"}}`, 202)
	post("/local/inbox/slack", "application/json", `{"text":"fallback","blocks":[{"type":"header","text":{"type":"plain_text","text":"Ended"}},{"type":"section","text":{"type":"plain_text","text":"a\nb"}}]}`, 200)
	post("/local/inbox/teams", "application/json", `{"attachments":[{"content":{"body":[{"items":[{"inlines":[{"type":"TextRun","text":"Ends soon"}]}]}],"actions":[{"type":"Action.OpenUrl","title":"Extend"}]}}]}`, 202)
	for i, want := range [][]string{{"Ends soon", "[Extend]"}, {"Ended", "a", "b"}, {"Open: web", "For: <b>ann</b>", "Why: look"}} {
		if got := box.Messages()[i].Texts(); !slices.Equal(got, want) {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
	}
	get := func(query string) string {
		t.Helper()
		resp, err := http.Get(server.URL + inbox.Path + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text := get("?as=text&channel=webhook"); text != "Open: web\nFor: <b>ann</b>\nWhy: look\n" {
		t.Errorf("the texts of one channel: %q", text)
	}
	if text := get(""); !strings.Contains(text, "For: &lt;b&gt;ann&lt;/b&gt;") || strings.Contains(text, "<b>ann") {
		t.Errorf("the page: %s", text)
	}
}
