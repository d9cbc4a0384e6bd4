// Package teams tells a Microsoft Teams channel or chat through the webhook of a workflow ("Post to a channel when a webhook request is received"), as an
// Adaptive Card 1.5 (https://adaptivecards.io/explorer).
//
// Texts stand in text runs, which know no Markdown, so nothing in them is a link, a format or a mention. What could be taken for a date or a template
// ("{{", "${") is broken up. A card is cut to the 28 KB that Teams takes of a message
// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
package teams

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"portcullis/core/store"
	"portcullis/core/tell"
	"portcullis/infra/hook"
)

var _ tell.Channel = (*Channel)(nil)

// MaxMessage is how many bytes a message may have: below the 28 KB of Teams.
const MaxMessage = 27 << 10

// Channel posts cards.
type Channel struct{ Client *hook.Client }

// Send implements [tell.Channel].
func (c *Channel) Send(ctx context.Context, card tell.Card) error {
	body, err := Message(card)
	if err != nil {
		return err
	}
	return c.Client.Post(ctx, "application/json", body)
}

type object = map[string]any

// Message returns the message with the card. Where it is too long its last facts are left out, which it says.
func Message(card tell.Card) ([]byte, error) {
	for n := len(card.Facts); ; n-- {
		body, err := json.Marshal(object{"type": "message", "attachments": []any{object{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": cardOf(card, n)}}})
		if err != nil {
			return nil, fmt.Errorf("write the card: %w", err)
		}
		if len(body) <= MaxMessage {
			return body, nil
		}
		if n == 0 {
			return nil, fmt.Errorf("the card has %d bytes, more than %d", len(body), MaxMessage)
		}
	}
}

// cardOf returns the card with its first facts.
func cardOf(card tell.Card, facts int) object {
	body := []any{object{"type": "Container", "style": style(card.Tone), "bleed": true, "items": []any{
		text(run(card.Title, object{"weight": "Bolder", "size": "Large"})),
	}}}
	for _, line := range card.Lines {
		body = append(body, text(run(line, nil)))
	}
	for _, f := range card.Facts[:facts] {
		body = append(body, object{"type": "ColumnSet", "spacing": "Small", "columns": []any{
			object{"type": "Column", "width": "100px", "items": []any{text(run(f.Name, object{"isSubtle": true}))}},
			object{"type": "Column", "width": "stretch", "items": []any{text(run(f.Value, nil))}},
		}})
	}
	if facts < len(card.Facts) {
		body = append(body, text(run(fmt.Sprintf("%d more values do not fit here.", len(card.Facts)-facts), nil)))
	}
	out := object{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.5", "fallbackText": plain(card.Title), "msteams": object{"width": "Full"}, "body": body}
	var actions []any
	for _, l := range card.Links {
		actions = append(actions, object{"type": "Action.OpenUrl", "title": plain(l.Text), "url": l.URL})
	}
	if actions != nil {
		out["actions"] = actions
	}
	return out
}

func style(t tell.Tone) string {
	switch t {
	case tell.Good:
		return "good"
	case tell.Attention:
		return "warning"
	case tell.Bad:
		return "attention"
	}
	return "emphasis"
}

// text returns a block of one run.
func text(inline object) object { return object{"type": "RichTextBlock", "inlines": []any{inline}} }

func run(s string, more object) object {
	out := object{"type": "TextRun", "text": plain(store.Cut(s, 1000))}
	for k, v := range more {
		out[k] = v
	}
	return out
}

// plain breaks up what a reader of cards could take for a function or a template.
func plain(s string) string {
	s = strings.ReplaceAll(s, "{{", "{ {")
	return strings.ReplaceAll(strings.ReplaceAll(s, "{{", "{ {"), "${", "$ {")
}
