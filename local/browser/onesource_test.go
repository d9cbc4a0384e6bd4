package browser_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// states is what Open now and the row of a machine say of its first window: opening, open, closing, or nothing.
const states = `(vm => {
	const of = el => !el ? "nothing" : /Opening/.test(el.innerText) ? "opening" : /Closing|closing/.test(el.innerText) ? "closing" : "open";
	const row = document.querySelector('tbody input[value$="/' + vm + '"]').closest("tr").querySelector("a.tag");
	const open = Array.from(document.querySelectorAll("#open li")).find(li => li.querySelector("strong").innerText === vm);
	return of(open?.querySelector(".timer")) + " " + of(row);
})`

// TestOneSource: whatever becomes of a window, the row of its machine and Open now never say two things of it, and the machine's pane
// follows, also after the end.
func TestOneSource(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)
	b.signIn("admin")
	b.loaded()
	script[bool](b, `(() => { window.seen = []; const look = () => { const s = `+states+`("app1"); if (window.seen.at(-1) !== s) window.seen.push(s) };
		new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true}); look(); return true })()`)
	b.writing(4 * time.Second) // each state long enough to be seen
	b.click(fmt.Sprintf(`a[id="ask-%sapp1"]`, demo))
	b.fill("#for-0-22", "12 s")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.closePane()
	b.eventually("it closes by itself, and nothing says closing for ever", func() bool {
		return script[string](b, states+`("app1")`) == "nothing nothing" && script[bool](b, `window.seen.includes("open open")`)
	})
	b.writing(0)
	for _, pair := range script[[]string](b, `window.seen`) {
		switch pair {
		case "nothing nothing", "opening opening", "open open", "closing closing":
		default:
			t.Errorf("at one moment Open now and the row say: %s", pair)
		}
	}
	if !script[bool](b, `window.seen.includes("opening opening")`) {
		t.Errorf("opening was never seen: %v", script[[]string](b, `window.seen`))
	}

	// What somebody else opens and closes, too, is said in the pane of the machine and in the list behind it.
	b.click(fmt.Sprintf(`a.vm[href$="%s"]`, "app1"))
	b.says("#pane .facts", "its ports are closed until somebody asks")
	id := requestID(m.api("requester", "POST", "/api/request", `{"justification":"look","virtualMachines":[{"id":"`+demo+`app1","ports":[{"number":22,"duration":"PT1H"}]}]}`))
	b.says("#pane .facts .tag", "22 SSH")
	b.eventually("the list says so too", func() bool { return script[string](b, states+`("app1")`) == "open open" })
	b.shot("machine-open")
	m.api("admin", "POST", "/api/requests/"+id+"/revoke", "")
	b.says("#pane .facts", "its ports are closed until somebody asks")
	b.eventually("the list says so too", func() bool { return script[string](b, states+`("app1")`) == "nothing nothing" })
}

// requestID returns the id in an answer to a request.
func requestID(answer string) string {
	_, id, _ := strings.Cut(answer, `"id":"`)
	return id[:min(len(id), 36)]
}
