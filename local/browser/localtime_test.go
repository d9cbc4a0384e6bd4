package browser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestLocalTime: beside every time in UTC stands the same in the zone of who reads, with its date; who reads in UTC sees one time.
func TestLocalTime(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	id := b.filled()
	b.click(fmt.Sprintf(`a.vm[href$="%s"]`, "web"))
	b.says("#pane h2", "web")
	const alone = `(() => { const out = []; const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) { const n = walk.currentNode; if (/\d\d:\d\d UTC/.test(n.data) && !/UTC \(.* GMT\+5:45\)/.test(n.parentElement.textContent) && !n.parentElement.closest("script, [data-countdown]")) out.push(n.parentElement.outerHTML.slice(0, 160)) }
		return out.slice(0, 3).join("\n") })()`
	if !strings.Contains(script[string](b, alone), "UTC") || b.count(".local") != 0 {
		t.Error("in UTC a time is written twice, or there is none")
	}
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kathmandu"})
		return chromedp.Void{}, err
	})
	for _, path := range b.views(id) {
		b.visit(path)
		if got := script[string](b, alone); got != "" {
			t.Errorf("in UTC alone on %q:\n%s", path, got)
		}
	}
	b.visit("requests/" + id)
	first := b.text("main p time")
	b.looksAgain("main .panel", `htmx.trigger(document.body, "windows-changed")`, 1)
	if again := b.text("main p time"); again != first || strings.Count(again, "GMT+5:45") != strings.Count(again, "UTC") {
		t.Errorf("after it has looked again %q is %q", first, again)
	}
	b.shot("local-time")
}
