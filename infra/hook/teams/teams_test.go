package teams_test

import (
	"encoding/json"
	"strings"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/tell"
	"portcullis/infra/hook/teams"
)

const page = "https://app.example/api/portal"

// TestMessages: every message is a card that Teams takes for its size, in which texts of people are runs without formats, and links lead to the page.
func TestMessages(t *testing.T) {
	left := 0
	for _, m := range coretest.Messages() {
		body, err := teams.Message(tell.CardOf(m, page))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 28_000 {
			t.Errorf("%s: %d bytes", m.ID(), len(body))
		}
		if strings.Contains(string(body), "more values do not fit here") {
			left++
		}
		var message struct {
			Type        string
			Attachments []struct {
				ContentType string
				Content     map[string]any
			}
		}
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatal(err)
		}
		if message.Type != "message" || len(message.Attachments) != 1 || message.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" {
			t.Fatalf("%s: the message is %+v", m.ID(), message)
		}
		card := message.Attachments[0].Content
		if card["type"] != "AdaptiveCard" || card["version"] != "1.5" {
			t.Errorf("%s: the card is %v %v", m.ID(), card["type"], card["version"])
		}
		walk(card, func(o map[string]any) {
			for name, v := range o {
				s, _ := v.(string)
				if strings.Contains(s, "{{") || strings.Contains(s, "${") {
					t.Errorf("%s: %s is %q, which a reader of cards may take for a function", m.ID(), name, s)
				}
				if name == "url" && !strings.HasPrefix(s, page+"/") {
					t.Errorf("%s: a link leads to %q", m.ID(), s)
				}
			}
			switch o["type"] {
			case "TextBlock", "FactSet", "Input.Text", "Action.Submit", "Action.Execute":
				t.Errorf("%s: a card has a %s", m.ID(), o["type"])
			}
		})
	}
	if left > 1 {
		t.Errorf("facts are left out of %d cards", left)
	}
}

// TestTooLong: a card that no cut makes short enough is an error and is not sent.
func TestTooLong(t *testing.T) {
	card := tell.Card{Title: "x"}
	for range 100 {
		card.Lines = append(card.Lines, strings.Repeat("x", 1000))
	}
	if body, err := teams.Message(card); err == nil {
		t.Errorf("a card of %d bytes was written", len(body))
	}
	card.Lines = nil
	for range 100 {
		card.Facts = append(card.Facts, tell.Fact{Name: "x", Value: strings.Repeat("x", 1000)})
	}
	body, err := teams.Message(card)
	if err != nil || len(body) > teams.MaxMessage || !strings.Contains(string(body), "more values do not fit here") {
		t.Errorf("a card with too many facts: %d bytes, %v", len(body), err)
	}
}

func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, one := range v {
			walk(one, f)
		}
	case []any:
		for _, one := range v {
			walk(one, f)
		}
	}
}
