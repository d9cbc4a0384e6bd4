package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"portcullis/local/inbox"
)

// heard returns the kinds of what came through a channel, the oldest first, each event once: a receiver may get one twice.
func (r *rig) heard(channel string) []string {
	var out []string
	seen := map[string]bool{}
	for _, m := range slices.Backward(r.inbox.Messages()) {
		if m.Channel != channel {
			continue
		}
		title := m.Texts()[0]
		var event struct{ ID string }
		if json.Unmarshal(m.Body, &event) == nil && event.ID != "" && seen[event.ID] {
			continue
		}
		seen[event.ID] = true
		out = append(out, title[strings.IndexFunc(title, func(c rune) bool { return c < 128 && c != ' ' }):])
	}
	return out
}

// TestTold: through the app, its settings and the real clients, people are told of an opening and its end, once the other channels are down: a receiver that answers 429 or
// redirects delays nothing, and no redirect is followed. That it gets all when it is back is core/tell.TestFailing.
func TestTold(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, false, t.TempDir(), nil, told)
	var down atomic.Bool
	var elsewhere atomic.Int32
	r.inbox.Answer = func(w http.ResponseWriter, q *http.Request) bool {
		switch {
		case strings.HasSuffix(q.URL.Path, "/email"):
			elsewhere.Add(1)
		case down.Load() && strings.HasSuffix(q.URL.Path, "/teams"):
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		case down.Load() && strings.HasSuffix(q.URL.Path, "/slack"):
			http.Redirect(w, q, inbox.Path+"/email", http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	down.Store(true)
	r.must(200, "POST", "/api/enable", vms(web))
	grant := r.must(200, "POST", "/api/request", ask("PT10M", "look <b>at</b> the logs"))
	id := grant["id"].(string)
	want := []string{"Open: web port 22", "Ended: web port 22"}
	for _, channel := range []string{"webhook", "email"} {
		r.eventually("an opening is told by "+channel, func() bool { return slices.Equal(r.heard(channel), want[:1]) })
	}
	r.must(200, "POST", "/api/requests/"+id+"/revoke", nil)
	for _, channel := range []string{"webhook", "email"} {
		r.eventually("the end is told by "+channel, func() bool { return slices.Equal(r.heard(channel), want) })
	}
	if got := slices.Concat(r.heard("teams"), r.heard("slack")); len(got) != 0 || elsewhere.Load() != 2 {
		t.Errorf("receivers that are down got %q, and %d calls came by mail", got, elsewhere.Load())
	}
	down.Store(false)
	if text := r.inbox.Messages()[0]; !strings.Contains(string(text.Body), url(r.ports.Host)+"/api/portal/requests/"+id) {
		t.Errorf("no link to the request in %s", text.Body)
	}
	r.close() // nothing writes to the log any more
	if said := r.log.String(); !strings.Contains(said, "message not delivered") || strings.Contains(said, inbox.Path) {
		t.Error("the log does not tell of the receivers that are down, or holds an address of a channel")
	}
}
