// Package inbox takes what the app tells people and shows it: a page in place of a mailbox, a Teams channel, a Slack channel and a receiver of one's own.
//
// It takes what these take: a POST of JSON, up to 28 KB for Teams, and answers as they do (202 of a workflow, "ok" of Slack). It shows the texts that it finds, without the
// looks; the browser's tests render cards with the real library. It keeps the last messages in memory. It leaves out everything else: who may post, who may read, and
// links of one's own.
package inbox

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Path is below what the inbox is served: Path itself is the page, Path and the name of a channel takes messages.
const Path = "/local/inbox"

// The bounds of what is kept.
const (
	kept    = 200
	maxBody = 64 << 10
	maxCard = 28 << 10 // of a Teams message
)

// Channels returns the channels that have an address here.
func Channels() []string { return []string{"webhook", "teams", "slack", "email"} }

// Inbox is the messages that came. The zero value is empty.
type Inbox struct {
	// Answer, if set, answers in place of the inbox, which then keeps nothing, where it returns true.
	Answer func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex
	messages []Message
}

// Message is one message as it came.
type Message struct {
	Channel string          `json:"channel"`
	Came    time.Time       `json:"came"`
	Body    json.RawMessage `json:"body"`
}

// Texts returns the texts of a message that people read, in their order.
func (m Message) Texts() []string {
	var v any
	if json.Unmarshal(m.Body, &v) != nil {
		return nil
	}
	if o, ok := v.(map[string]any); ok && o["specversion"] != nil {
		data, _ := o["data"].(map[string]any)
		title, _ := data["title"].(string)
		text, _ := data["text"].(string)
		return append([]string{title}, strings.Split(text, "\n")...)
	}
	return texts(v)
}

// texts collects the texts of a card or of blocks.
func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			out = append(out, texts(one)...)
		}
	case map[string]any:
		if s, ok := v["text"].(string); ok && (v["type"] == "TextRun" || v["type"] == "plain_text") {
			return strings.Split(s, "\n")
		}
		if s, ok := v["title"].(string); ok && v["type"] == "Action.OpenUrl" {
			return []string{"[" + s + "]"}
		}
		for _, name := range []string{"attachments", "content", "body", "items", "columns", "inlines", "blocks", "text", "elements", "actions"} {
			if _, ok := v[name].(string); !ok {
				out = append(out, texts(v[name])...)
			}
		}
	}
	return out
}

// Messages returns what came, the newest first.
func (b *Inbox) Messages() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Clone(b.messages)
	slices.Reverse(out)
	return out
}

// ServeHTTP shows the page for a GET, the messages as JSON or one channel's as text where that is asked for, and takes a POST to a channel.
func (b *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	channel, below := strings.CutPrefix(r.URL.Path, Path+"/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == Path && r.URL.Query().Get("as") == "json":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b.Messages()) // losing the reader is no error
	case r.Method == http.MethodGet && r.URL.Path == Path && r.URL.Query().Get("as") == "text":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		for _, m := range b.Messages() {
			if m.Channel == r.URL.Query().Get("channel") {
				fmt.Fprintln(w, strings.Join(m.Texts(), "\n"))
			}
		}
	case r.Method == http.MethodGet && r.URL.Path == Path:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = page.Execute(w, b.Messages())
	case r.Method == http.MethodPost && below && slices.Contains(Channels(), channel):
		if b.Answer == nil || !b.Answer(w, r) {
			b.take(w, r, channel)
		}
	default:
		http.NotFound(w, r)
	}
}

func (b *Inbox) take(w http.ResponseWriter, r *http.Request, channel string) {
	most := maxBody
	if channel == "teams" {
		most = maxCard
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	if err != nil || len(body) > most {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if !json.Valid(body) || !strings.Contains(r.Header.Get("Content-Type"), "json") {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	b.messages = append(b.messages, Message{Channel: channel, Came: time.Now().UTC(), Body: body})
	b.messages = b.messages[max(0, len(b.messages)-kept):]
	b.mu.Unlock()
	if channel != "slack" {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	fmt.Fprint(w, "ok")
}

var page = template.Must(template.New("inbox").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Inbox of the stand-ins</title><meta name="viewport" content="width=device-width">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;background:#f6f7f9;color:#1b1f24}
article{background:#fff;border:1px solid #d5d9df;border-radius:8px;padding:.75rem 1rem;margin:1rem 0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:.25rem 0}p{margin:.1rem 0}small{color:#57606a}</style></head>
<body><h1>Inbox</h1><p>What Portcullis would have sent, the newest first. Load the page again for more.</p>
{{range .}}<article><small>{{.Channel}}, {{.Came.Format "15:04:05"}} UTC</small>{{range $i, $t := .Texts}}{{if eq $i 0}}<h2>{{$t}}</h2>{{else}}<p>{{$t}}</p>{{end}}{{end}}</article>
{{else}}<p>Nothing has come.</p>{{end}}</body></html>
`))
