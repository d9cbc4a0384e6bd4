package slack_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"portcullis/core/coretest"
	"portcullis/core/tell"
	"portcullis/infra/hook/slack"
)

const page = "https://app.example/api/portal"

// check holds a message to what Slack documents of blocks, and returns every text in it. It refuses what it does not know.
func check(body []byte) (texts []string, err error) {
	var m struct {
		Text   string           `json:"text"`
		Blocks []map[string]any `json:"blocks"`
		Links  bool             `json:"unfurl_links"`
		Media  bool             `json:"unfurl_media"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) { err = fmt.Errorf(format, args...) }
	text := func(v any, most int) {
		o, _ := v.(map[string]any)
		s, _ := o["text"].(string)
		texts = append(texts, s)
		if o["type"] != "plain_text" || o["emoji"] != false || len(o) != 3 {
			bad("a text object is %v", o)
		}
		if n := utf8.RuneCountInString(s); n < 1 || n > most {
			bad("a text has %d characters, 1 to %d are allowed", n, most)
		}
	}
	if n := len(m.Blocks); n < 1 || n > 50 {
		bad("%d blocks", n)
	}
	texts = append(texts, m.Text)
	for _, b := range m.Blocks {
		switch b["type"] {
		case "header":
			text(b["text"], 150)
		case "section":
			text(b["text"], 3000)
		case "actions":
			elements, _ := b["elements"].([]any)
			if len(elements) < 1 || len(elements) > 25 {
				bad("%d elements", len(elements))
			}
			for _, e := range elements {
				o, _ := e.(map[string]any)
				text(o["text"], 75)
				if to, _ := o["url"].(string); o["type"] != "button" || len(o) != 3 || !strings.HasPrefix(to, page+"/") || len(to) > 3000 {
					bad("a button is %v", o)
				}
			}
		default:
			bad("a block of type %v", b["type"])
		}
	}
	return texts, err
}

// TestCheck: what the check is to notice.
func TestCheck(t *testing.T) {
	long := strings.Repeat("x", 151)
	for _, body := range []string{
		`{`, `{"blocks":[]}`, `{"blocks":[{"type":"video"}]}`,
		`{"blocks":[{"type":"header","text":{"type":"mrkdwn","emoji":false,"text":"x"}}]}`,
		`{"blocks":[{"type":"header","text":{"type":"plain_text","emoji":false,"text":""}}]}`,
		`{"blocks":[{"type":"header","text":{"type":"plain_text","emoji":false,"text":"` + long + `"}}]}`,
		`{"blocks":[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","emoji":false,"text":"x"},"url":"https://evil.example"}]}]}`,
		`{"blocks":[` + strings.Repeat(`{"type":"section","text":{"type":"plain_text","emoji":false,"text":"x"}},`, 50) + `{"type":"section","text":{"type":"plain_text","emoji":false,"text":"x"}}]}`,
	} {
		if _, err := check([]byte(body)); err == nil {
			t.Errorf("%.80s passes", body)
		}
	}
}

// TestMessages: every message is within Slack's limits, and no text of people begins a link, a mention, a format or an emoji.
func TestMessages(t *testing.T) {
	for _, m := range coretest.Messages() {
		card := tell.CardOf(m, page)
		body, err := slack.Message(card)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := check(body)
		if err != nil {
			t.Errorf("%s: %v\n%s", m.ID(), err, body)
		}
		for _, s := range texts {
			if strings.ContainsAny(s, "<>") || strings.Count(s, "&") != strings.Count(s, "&amp;")+strings.Count(s, "&lt;")+strings.Count(s, "&gt;") {
				t.Errorf("%s: not escaped: %q", m.ID(), s)
			}
		}
		if len(m.Windows) == 1 && !strings.Contains(strings.Join(texts, "\n"), m.Windows[0].VM.Name+", port 22: ") {
			t.Errorf("%s does not name its machine and port: %q", m.Kind, texts)
		}
	}
}
