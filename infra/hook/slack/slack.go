// Package slack tells a Slack channel through an incoming webhook, in Block Kit (https://docs.slack.dev/reference/block-kit/blocks).
//
// Texts are plain_text objects, in which Slack knows no format, link, mention or emoji, with the three characters escaped that it reads as the beginning of
// one (https://docs.slack.dev/messaging/formatting-message-text). They are cut to Slack's limits, which count characters.
package slack

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"portcullis/core/tell"
	"portcullis/infra/hook"
)

var _ tell.Channel = (*Channel)(nil)

// The limits that Slack documents, in characters, and blocks of a message.
const (
	MaxBlocks = 50
	MaxHeader = 150
	MaxText   = 3000 // of a section
	MaxButton = 75
	MaxURL    = 3000
)

// Channel posts messages.
type Channel struct{ Client *hook.Client }

// Send implements [tell.Channel].
func (c *Channel) Send(ctx context.Context, card tell.Card) error {
	body, err := Message(card)
	if err != nil {
		return err
	}
	return c.Client.Post(ctx, "application/json; charset=utf-8", body)
}

type object = map[string]any

// Message returns the message of a card.
func Message(card tell.Card) ([]byte, error) {
	mark := map[tell.Tone]string{tell.Good: "✅ ", tell.Attention: "⚠️ ", tell.Bad: "🛑 "}[card.Tone]
	blocks := []any{object{"type": "header", "text": plain(mark+card.Title, MaxHeader)}}
	section := func(s string) {
		if len(blocks) < MaxBlocks-2 && s != "" {
			blocks = append(blocks, object{"type": "section", "text": plain(s, MaxText)})
		}
	}
	section(strings.Join(card.Lines, "\n"))
	var facts []string
	for _, f := range card.Facts {
		facts = append(facts, f.Name+": "+f.Value)
	}
	for len(facts) > 0 { // as few sections as hold them
		n, size := 0, 0
		for n < len(facts) && (n == 0 || size+utf8.RuneCountInString(escape(facts[n])) < MaxText) {
			size += utf8.RuneCountInString(escape(facts[n])) + 1
			n++
		}
		section(strings.Join(facts[:n], "\n"))
		facts = facts[n:]
	}
	var buttons []any
	for _, l := range card.Links {
		if len(l.URL) <= MaxURL {
			buttons = append(buttons, object{"type": "button", "text": plain(l.Text, MaxButton), "url": l.URL})
		}
	}
	if buttons != nil {
		blocks = append(blocks, object{"type": "actions", "elements": buttons})
	}
	body, err := json.Marshal(object{"text": cut(escape(card.Title), MaxText), "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
	if err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return body, nil
}

func plain(s string, most int) object {
	return object{"type": "plain_text", "emoji": false, "text": cut(escape(s), most)}
}

// escape escapes what Slack reads as the beginning of a link, a mention or an entity.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// cut cuts to a number of characters, not within an entity.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	head := string([]rune(s)[:most-1])
	if i := strings.LastIndexByte(head, '&'); i >= 0 && !strings.Contains(head[i:], ";") {
		head = head[:i]
	}
	return head + "…"
}
