package armsim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

func seconds(n float64) armsim.Duration { return armsim.Duration(n * float64(time.Second)) }

func TestKnobsRefused(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 3})
	for _, body := range []string{
		"", "[]", `{"pageSize":-1}`, `{"unknown":1}`, `{"writes":{"latencyMin":"soon"}}`, `{"writes":{"latencyMin":"-1s"}}`,
		`{"writes":{"failNext":-1}}`, `{"writes":{"failStatus":404}}`, `{"writes":{"concurrent":"maybe"}}`,
		`{"targets":{"/x":null}}`, `{"targets":{"/x":{"answer":"no"}}}`, `{"denied":[{}]}`,
	} {
		if res, text := r.do("PUT", "/local/knobs", body); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
	if res, _ := r.do("POST", "/local/knobs", "{}"); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if diff := cmp.Diff(armsim.Knobs{PageSize: 3, Targets: map[string]*armsim.Writes{}}, r.arm.Knobs()); diff != "" {
		t.Errorf("a refusal changed the knobs:\n%s", diff)
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", r.url+"/local/knobs", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("through another host name: %d", res.StatusCode)
	}
}

// People turn the knobs over HTTP, without a token, while the server serves.
func TestKnobsOverHTTP(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.token = ""
	res, text := r.do("PUT", "/local/knobs", `{"writes":{"latencyMin":"1.5s","concurrent":"reject"},"targets":{"`+strings.ToUpper(nsgID)+`":{"failNext":1}},"down":true}`)
	if res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	want := armsim.Knobs{
		Writes:  armsim.Writes{LatencyMin: seconds(1.5), Concurrent: armsim.Reject},
		Targets: map[string]*armsim.Writes{strings.ToLower(nsgID): {FailNext: 1}}, Down: true,
	}
	if diff := cmp.Diff(want, r.arm.Knobs()); diff != "" {
		t.Error(diff)
	}
	_, text = r.do("GET", "/local/knobs", "")
	if !strings.Contains(text, `"latencyMin":"1.5s"`) {
		t.Errorf("GET shows %s", text)
	}
}

// Tests of another process read the counts without a token, and on loopback names only.
func TestCountsOverHTTP(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	if res, text := r.do("GET", nsgID+"?api-version=2025-05-01", ""); res.StatusCode != 200 && res.StatusCode != 404 {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	r.token = ""
	want := r.arm.Counts()
	var got armsim.Counts
	res, text := r.do("GET", "/local/counts", "")
	if err := json.Unmarshal([]byte(text), &got); res.StatusCode != 200 || err != nil || got != want || got.Reads == 0 {
		t.Errorf("%d %s, want %+v", res.StatusCode, text, want)
	}
	if res, _ := r.do("POST", "/local/counts", ""); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/local/counts", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	elsewhere, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Body.Close()
	if elsewhere.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("through another host name: %d", elsewhere.StatusCode)
	}
}

// The knobs that Knobs returns are a copy.
func TestKnobsAreCopied(t *testing.T) {
	given := armsim.Knobs{Targets: map[string]*armsim.Writes{nsgID: {}}, Denied: []armsim.Denied{{Action: "a"}}}
	r := newRig(t, given)
	given.Targets[nsgID].FailNext = 1
	got := r.arm.Knobs()
	got.Targets[strings.ToLower(nsgID)].FailNext = 1
	got.Denied[0].Action = "*"
	r.want(201, "", "PUT", nsgID, nsg())
}

func TestDown(t *testing.T) {
	r := newRig(t, armsim.Knobs{Down: true})
	r.want(503, "ServiceUnavailable", "GET", nsgID, "")
	r.want(503, "ServiceUnavailable", "PUT", nsgID, nsg())
	r.tune(func(k *armsim.Knobs) { k.Down = false })
	r.want(404, "ResourceGroupNotFound", "GET", nsgID, "")
}

func TestFailNext(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{FailNext: 2}})
	r.want(500, "InternalServerError", "PUT", nsgID, nsg())
	r.tune(func(k *armsim.Knobs) { k.Writes.FailStatus = 503 })
	r.want(503, "ServiceUnavailable", "PUT", nsgID, nsg())
	r.want(404, "ResourceGroupNotFound", "GET", nsgID, "")
	r.want(201, "", "PUT", nsgID, nsg(rule("a", 100)))
	r.tune(func(k *armsim.Knobs) { k.Writes.FailNext = 2 })
	r.want(503, "ServiceUnavailable", "DELETE", nsgID+"/securityRules/a", "")
	r.want(503, "ServiceUnavailable", "PUT", nsgID+"/securityRules/b", rule("b", 101))
	if got := names(r.get(nsgID)); got != "a" {
		t.Errorf("a failed write was applied: %s", got)
	}
}

// Settings for one NSG leave the others alone.
func TestTargets(t *testing.T) {
	r := newRig(t, armsim.Knobs{Targets: map[string]*armsim.Writes{strings.ToUpper(nsgID): {FailNext: 1}}})
	r.want(201, "", "PUT", nsgID+"2", nsg())
	r.want(500, "InternalServerError", "PUT", nsgID, nsg())
	r.want(201, "", "PUT", nsgID, nsg())
}

// The write is done, the connection is cut: the client must not believe that it failed.
func TestLoseReplies(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LoseReplies: 1}})
	_, err := r.net.NewSecurityGroupsClient().BeginCreateOrUpdate(t.Context(), "rg", "nsg", model("a"), nil)
	if err == nil || code(err) != err.Error() {
		t.Fatalf("got an answer: %v", err)
	}
	if got := names(r.get(nsgID)); got != "a" {
		t.Errorf("rules %q, want the write to be done", got)
	}
	want := []armsim.Request{{Method: "PUT", Path: nsgID, Principal: "alice"}}
	if diff := cmp.Diff(want, r.arm.Requests()); diff != "" {
		t.Error(diff)
	}
	r.want(200, "", "PUT", nsgID, nsg())
}

func TestFailedOperation(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg(rule("old", 100)))
	r.tune(func(k *armsim.Knobs) { k.Writes = armsim.Writes{FailOperations: 1, Answer: armsim.AnswerSucceeded} })
	poller, err := r.net.NewSecurityGroupsClient().BeginCreateOrUpdate(t.Context(), "rg", "nsg", model("new"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := poller.PollUntilDone(patience(t), nil); code(err) != "200 InternalServerError" {
		t.Errorf("the poller ends with %s", code(err))
	}
	doc := r.get(nsgID)
	if names(doc) != "new" || at(doc, "properties", "provisioningState") != "Failed" {
		t.Errorf("GET shows %s, %v", names(doc), at(doc, "properties", "provisioningState"))
	}
	if got := names(r.parse(r.arm.Effective(nsgID))); got != "old" {
		t.Errorf("effective are %s, want old", got)
	}
	r.want(200, "", "PUT", nsgID, nsg(rule("new", 100)))
	if got := names(r.parse(r.arm.Effective(nsgID))); got != "new" {
		t.Errorf("after the repeated write effective are %s, want new", got)
	}
}

// begin starts a write of one rule through the SDK.
func begin(r *rig, name string) (poll func() string) {
	r.t.Helper()
	poller, err := r.net.NewSecurityGroupsClient().BeginCreateOrUpdate(r.t.Context(), "rg", "nsg", model(name), nil)
	if err != nil {
		return func() string { return code(err) }
	}
	return func() string {
		res, err := poller.Poll(r.t.Context())
		if err != nil {
			return code(err)
		}
		defer res.Body.Close()
		if !poller.Done() {
			return "InProgress"
		}
		done, err := poller.Result(r.t.Context())
		if err != nil {
			return code(err)
		}
		return result(done)
	}
}

func result(res armnetwork.SecurityGroupsClientCreateOrUpdateResponse) string {
	return fmt.Sprintf("%s %s", *res.Properties.ProvisioningState, *res.Properties.SecurityRules[0].Name)
}

func TestConcurrentQueue(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(4)}})
	first := begin(r, "one")
	r.clock.Advance(time.Second)
	second := begin(r, "two")
	steps := []struct {
		after                    time.Duration
		first, second, effective string
	}{
		{0, "InProgress", "InProgress", ""},
		{3 * time.Second, "Updating two", "InProgress", "one"}, // GET shows the newest write, still under way
		{3 * time.Second, "Updating two", "InProgress", "one"},
		{1 * time.Second, "Updating two", "Succeeded two", "two"},
	}
	for _, step := range steps {
		r.clock.Advance(step.after)
		if got := first(); got != step.first {
			t.Errorf("after %v the first is %s, want %s", step.after, got, step.first)
		}
		if got := second(); got != step.second {
			t.Errorf("after %v the second is %s, want %s", step.after, got, step.second)
		}
		effective := ""
		if doc, ok := r.arm.Effective(nsgID); ok {
			effective = names(r.parse(doc, ok))
		}
		if effective != step.effective {
			t.Errorf("after %v effective is %q, want %q", step.after, effective, step.effective)
		}
	}
}

func TestConcurrentReject(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(4), Concurrent: armsim.Reject}})
	begin(r, "one")
	if got := begin(r, "two")(); got != "429 RetryableErrorDueToAnotherOperation" {
		t.Errorf("the second is %s", got)
	}
	res, _ := r.want(429, "RetryableErrorDueToAnotherOperation", "PUT", nsgID+"/securityRules/x", rule("x", 200))
	if res.Header.Get("Retry-After") != "" {
		t.Error("this 429 carries no Retry-After")
	}
	r.want(201, "", "PUT", nsgID+"2", nsg())
	r.clock.Advance(4 * time.Second)
	if got := begin(r, "two")(); got != "InProgress" {
		t.Errorf("after the first has ended, the second is %s", got)
	}
	if got := r.arm.CountsOf(nsgID); got.Writes != 4 || got.Rejected != 2 {
		t.Errorf("counts %+v", got)
	}
}

func TestConcurrentSupersede(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(4), Concurrent: armsim.Supersede}})
	first := begin(r, "one")
	r.clock.Advance(time.Second)
	second := begin(r, "two")
	if got := first(); got != "200 CanceledAndSupersededDueToAnotherOperation" {
		t.Errorf("the first is %s", got)
	}
	r.clock.Advance(3 * time.Second)
	if got := second(); got != "InProgress" {
		t.Errorf("the second is %s, three seconds on", got)
	}
	r.clock.Advance(time.Second)
	if got := second(); got != "Succeeded two" {
		t.Errorf("the second is %s, four seconds on", got)
	}
}

func TestRetryAfter(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(1)}})
	for _, test := range []struct {
		knob                  armsim.Duration
		retryAfter, retryAfMS string
	}{
		{0, "", ""}, {seconds(3), "3", ""}, {seconds(0.005), "", "5"}, {seconds(1.5), "", "1500"}, {1, "", "1"},
	} {
		r.tune(func(k *armsim.Knobs) { k.Writes.RetryAfter, k.Writes.PollRetryAfter = test.knob, test.knob })
		put, _ := r.do("PUT", nsgID, nsg())
		poll, _ := r.do("GET", put.Header.Get("Azure-AsyncOperation"), "")
		for _, h := range []http.Header{put.Header, poll.Header} {
			if got := [2]string{h.Get("Retry-After"), h.Get("retry-after-ms")}; got != [2]string{test.retryAfter, test.retryAfMS} {
				t.Errorf("%v: got %v", time.Duration(test.knob), got)
			}
		}
	}
	r.clock.Advance(time.Hour)
	put, _ := r.do("PUT", nsgID, nsg())
	r.clock.Advance(time.Hour)
	if poll, _ := r.do("GET", put.Header.Get("Azure-AsyncOperation"), ""); poll.Header.Get("retry-after-ms") != "" {
		t.Error("a poll that says Succeeded asks to come again")
	}
}

// Latencies are drawn within their bounds, and the same again from the same seed.
func TestLatency(t *testing.T) {
	draw := func() (ends []time.Duration) {
		r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(2), LatencyMax: seconds(10)}})
		for range 20 {
			r.do("PUT", nsgID, nsg())
			var waited time.Duration
			for at(r.get(nsgID), "properties", "provisioningState") == "Updating" && waited < time.Minute {
				r.clock.Advance(time.Second / 10)
				waited += time.Second / 10
			}
			ends = append(ends, waited)
		}
		return ends
	}
	first, second := draw(), draw()
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the same seed draws others:\n%s", diff)
	}
	low, high := first[0], first[0]
	for _, d := range first {
		low, high = min(low, d), max(high, d)
	}
	if low < 2*time.Second || high > 10*time.Second+time.Second/10 || high-low < time.Second {
		t.Errorf("drawn between %v and %v", low, high)
	}
}

func TestEditRefuses(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	if err := r.arm.Edit(nsgID, func(map[string]any) {}); !errors.Is(err, armsim.ErrNotFound) {
		t.Errorf("edit of nothing: %v", err)
	}
	for _, id := range []string{"", "/", "nsg", "/subscriptions/x", strings.TrimPrefix(nsgID, "/"), scope + "networkSecurityGroups"} {
		if err := r.arm.Put(id, []byte(nsg())); err == nil {
			t.Errorf("put at %q", id)
		}
	}
	r.put(nsgID, nsg(rule("a", 100)))
	err := r.arm.Edit(nsgID, func(doc map[string]any) { at(doc, "properties").(map[string]any)["securityRules"] = "none" })
	if err == nil || names(r.get(nsgID)) != "a" {
		t.Errorf("edit to nonsense: %v, rules %s", err, names(r.get(nsgID)))
	}
	if ok, err := r.arm.Delete(nsgID + "2"); ok || err != nil {
		t.Errorf("delete of nothing: %v, %v", ok, err)
	}
}

// A foreign writer that edits during a write is neither lost nor undone by its end.
func TestForeignEditDuringWrite(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: seconds(4)}})
	poll := begin(r, "ours")
	stale := r.get(nsgID)["etag"].(string)
	err := r.arm.Edit(nsgID, func(doc map[string]any) {
		doc["tags"] = map[string]any{"by": "terraform"}
		at(doc, "properties", "securityRules", 0).(map[string]any)["name"] = "theirs"
	})
	if err != nil {
		t.Fatal(err)
	}
	r.want(412, "PreconditionFailed", "PUT", nsgID, nsg(), "If-Match", stale)
	if got := at(r.get(nsgID), "properties", "provisioningState"); got != "Updating" {
		t.Errorf("the edit ended the write: state %v", got)
	}
	r.clock.Advance(4 * time.Second)
	if got := poll(); got != "Succeeded theirs" {
		t.Errorf("the end shows %s", got)
	}
	doc := r.parse(r.arm.Effective(nsgID))
	if names(doc) != "theirs" || at(doc, "tags", "by") != "terraform" {
		t.Errorf("effective is %v", doc)
	}
	if ok, err := r.arm.Delete(nsgID); !ok || err != nil {
		t.Errorf("delete: %v, %v", ok, err)
	}
	r.want(404, "ResourceNotFound", "GET", nsgID, "")
}
