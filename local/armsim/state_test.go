package armsim_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

func open(t *testing.T, dir string, c *clock) *rig {
	t.Helper()
	server, err := armsim.Open(armsim.Config{Dir: dir, Verify: verify, Now: c.Now, Knobs: armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(10)}}})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, server, c)
}

// The state file as it is after an answer, with nothing closed, is what a kill leaves behind. A server that starts from it
// goes on as if nothing had been: etags, operations under way and what is effective included.
func TestKill(t *testing.T) {
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	r := open(t, dir, c)
	r.put(nsgID, nsg(rule("old", 100)))
	r.put(nsgID+"gone", nsg())
	if _, err := r.arm.Delete(nsgID + "gone"); err != nil {
		t.Fatal(err)
	}
	put, _ := r.want(200, "", "PUT", nsgID, nsg(rule("new", 100)))
	operation := strings.TrimPrefix(put.Header.Get("Azure-AsyncOperation"), r.url)

	after := t.TempDir()
	text, err := os.ReadFile(filepath.Join(dir, "arm.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(after, "arm.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, after, c)
	if diff := cmp.Diff(r.get(nsgID), again.get(nsgID)); diff != "" {
		t.Errorf("another NSG after the restart:\n%s", diff)
	}
	again.want(404, "ResourceNotFound", "GET", nsgID+"gone", "")
	if got := names(again.parse(again.arm.Effective(nsgID))); got != "old" {
		t.Errorf("effective %s, want old", got)
	}
	_, doc := again.want(200, "", "GET", operation, "")
	if doc["status"] != "InProgress" {
		t.Errorf("operation %v", doc)
	}
	c.Advance(10 * time.Second)
	_, doc = again.want(200, "", "GET", operation, "")
	if doc["status"] != "Succeeded" || names(again.parse(again.arm.Effective(nsgID))) != "new" {
		t.Errorf("operation %v", doc)
	}
}

// Two servers do not share a folder.
func TestDirIsExclusive(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, &clock{})
	if s, err := armsim.Open(armsim.Config{Dir: dir, Verify: verify}); err == nil {
		t.Errorf("opened %v twice", s)
	}
}

func TestBrokenStateIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "arm.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := armsim.Open(armsim.Config{Dir: dir, Verify: verify}); err == nil {
		t.Errorf("opened %v", s)
	}
}

// Of many writers with the same etag exactly one wins each round, and no rule is lost. Knobs and reads go on meanwhile.
func TestConcurrentWriters(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{Answer: armsim.AnswerSucceeded}})
	r.put(nsgID, nsg())
	const writers, rounds = 8, 10
	var won []string
	for round := range rounds {
		etag := r.get(nsgID)["etag"].(string)
		rules := make([]string, len(won), len(won)+1)
		for i, name := range won {
			rules[i] = rule(name, 100+i)
		}
		var mu sync.Mutex
		var winners []string
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				name := fmt.Sprintf("r%d-w%d", round, w)
				body := nsg(append(rules[:len(rules):len(rules)], rule(name, 100+round))...)
				status := send(r, "PUT", nsgID, body, etag)
				mu.Lock()
				defer mu.Unlock()
				if status == 200 {
					winners = append(winners, name)
				} else if status != 412 {
					t.Errorf("status %d", status)
				}
			})
		}
		wg.Go(func() {
			if err := r.arm.Tune(func(k *armsim.Knobs) { k.PageSize++ }); err != nil {
				t.Error(err)
			}
			r.arm.Counts()
			r.arm.Requests()
		})
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d: %v won", round, winners)
		}
		won = append(won, winners[0])
	}
	if got := names(r.get(nsgID)); got != strings.Join(won, " ") {
		t.Errorf("rules %s, want %v", got, won)
	}
	want := armsim.Counts{Writes: writers * rounds, Rejected: (writers - 1) * rounds}
	if got := r.arm.Counts(); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
	r.arm.Reset()
	if got := r.arm.Counts(); got != (armsim.Counts{}) || len(r.arm.Requests()) != 0 || r.arm.CountsOf(nsgID) != got {
		t.Errorf("after a reset: %+v", got)
	}
}

// send is do for other goroutines, which must not end the test.
func send(r *rig, method, path, body, etag string) int {
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path+"?api-version=2025-05-01", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer alice")
	req.Header.Set("If-Match", etag)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// A firewall's write under way goes on over a kill as an NSG's does.
func TestKillDuringAFirewallsWrite(t *testing.T) {
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	r := open(t, dir, c)
	r.tune(func(k *armsim.Knobs) { k.Firewalls.LatencyMin = seconds(240) })
	r.put(scope+"publicIPAddresses/ip", `{"location":"westeurope","properties":{"ipAddress":"198.51.100.1"}}`)
	r.put(fwID, firewall(natCollection("theirs", 200, natRule("web"))))
	put, _ := r.want(200, "", "PUT", fwID, firewall(natCollection("theirs", 200, natRule("web")), natCollection("ours", 300, natRule("a"))))
	operation := strings.TrimPrefix(put.Header.Get("Azure-AsyncOperation"), r.url)

	after := t.TempDir()
	text, err := os.ReadFile(filepath.Join(dir, "arm.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(after, "arm.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, after, c)
	if diff := cmp.Diff(r.get(fwID), again.get(fwID)); diff != "" {
		t.Errorf("another firewall after the restart:\n%s", diff)
	}
	effective := func() int {
		return len(at(again.parse(again.arm.Effective(fwID)), "properties", "natRuleCollections").([]any))
	}
	if n := effective(); n != 1 {
		t.Errorf("%d collections in effect during the write, want 1", n)
	}
	c.Advance(240 * time.Second)
	if _, doc := again.want(200, "", "GET", operation, ""); doc["status"] != "Succeeded" || effective() != 2 {
		t.Errorf("operation %v with %d collections in effect", doc, effective())
	}
}
