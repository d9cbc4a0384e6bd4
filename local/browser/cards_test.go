package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"portcullis/core/coretest"
	"portcullis/core/tell"
	"portcullis/infra/hook/teams"
)

// cardsPage reads and shows cards with Microsoft's own library and its own colours, as a host that knows Adaptive Cards 1.5 does. Like Teams it breaks long words.
const cardsPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>cards</title>
<style>body{font:14px system-ui,sans-serif;background:#f5f5f5;columns:2;margin:16px}div.card{break-inside:avoid;overflow-wrap:anywhere;background:#fff;border:1px solid #d1d1d1;border-radius:6px;margin-bottom:12px}</style>
<script src="/adaptivecards.js"></script></head><body><script>
window.show = cards => cards.map(json => {
  const said = [];
  const context = new AdaptiveCards.SerializationContext(AdaptiveCards.Versions.v1_5);
  const card = new AdaptiveCards.AdaptiveCard();
  card.parse(json, context);
  for (let i = 0; i < context.eventCount; i++) said.push(context.getEventAt(i).message);
  for (const event of card.validateProperties().validationEvents) said.push(event.message);
  const to = document.createElement("div");
  to.className = "card";
  to.append(card.render());
  document.body.append(to);
  return { said, text: to.innerText, links: [...to.querySelectorAll("a")].length, scripts: to.querySelectorAll("script, img, iframe, input").length,
    actions: card.getActionCount() ? [...Array(card.getActionCount()).keys()].map(i => card.getActionAt(i).url) : [] };
});
</script></body></html>`

// shown is what a card looks like.
type shown struct {
	Said           []string // by the library, about what it could not read
	Text           string
	Links, Scripts int
	Actions        []string
}

// TestCards: the library of Adaptive Cards reads every card without a complaint, as version 1.5, and shows each text as it is: no text of people becomes a
// link, a format, a date or an element. It leaves a picture of them.
func TestCards(t *testing.T) {
	t.Parallel()
	library := installed(t, "cards", "adaptivecards/dist/adaptivecards.min.js")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/adaptivecards.js" {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = io.WriteString(w, library)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, cardsPage)
	}))
	defer server.Close()
	var cards []any
	var told []tell.Card
	for _, m := range coretest.Messages() {
		card := tell.CardOf(m, "https://app.example/api/portal")
		body, err := teams.Message(card)
		if err != nil {
			t.Fatal(err)
		}
		var message struct{ Attachments []struct{ Content any } }
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatal(err)
		}
		told, cards = append(told, card), append(cards, message.Attachments[0].Content)
	}
	broken := map[string]any{"type": "AdaptiveCard", "version": "1.5", "body": []any{map[string]any{"type": "NoSuchElement"}}}
	text, err := json.Marshal(append(cards, broken))
	if err != nil {
		t.Fatal(err)
	}
	b := (&machine{t: t}).open()
	var all []shown
	b.do(chromedp.Navigate(server.URL), func(ctx context.Context, c *chromedp.Target) (chromedp.Void, error) {
		out, err := chromedp.Evaluate[string](fmt.Sprintf("JSON.stringify(show(%s))", text))(ctx, c)
		if err == nil {
			err = json.Unmarshal([]byte(out), &all)
		}
		return chromedp.Void{}, err
	})
	b.screen(1280, 3400, "light") // all of them
	b.picture("cards")
	if last := all[len(all)-1]; len(last.Said) == 0 {
		t.Error("the library says nothing of a card that is broken")
	}
	for i, card := range told {
		got := all[i]
		if len(got.Said) != 0 || got.Links != 0 || got.Scripts != 0 {
			t.Errorf("%s: said %q, with %d links and %d elements that nobody wrote", card.Message.ID(), got.Said, got.Links, got.Scripts)
		}
		if len(card.Links) > 0 && (len(got.Actions) != 1 || got.Actions[0] != card.Links[0].URL) {
			t.Errorf("%s: its actions lead to %q", card.Message.ID(), got.Actions)
		}
		for _, want := range append([]string{card.Title}, card.Lines...) {
			if want = strings.Join(strings.Fields(want), " "); len(want) < 200 && !strings.ContainsAny(want, "{$") && !strings.Contains(strings.Join(strings.Fields(got.Text), " "), want) {
				t.Errorf("%s: %q is not shown in %q", card.Message.ID(), want, html.EscapeString(got.Text))
			}
		}
	}
}
