package handlers_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/admission"
	"portcullis/core/jit"
	"portcullis/core/permit"
)

// question is how long the authority thinks about who may do nothing, on the clock of the bubble: less than a call waits in the slow lane.
const question = admission.Pace / 2

// onlyAdmin lets the admin do anything, and others nothing. It counts the questions about these that are asked at a time.
type onlyAdmin struct {
	mu        sync.Mutex
	now, most int
	asked     int
}

func (o *onlyAdmin) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	if strings.HasSuffix(who.ID, "/"+admin) {
		return "", nil
	}
	o.mu.Lock()
	o.now, o.asked = o.now+1, o.asked+1
	o.most = max(o.most, o.now)
	o.mu.Unlock()
	time.Sleep(question)
	o.mu.Lock()
	o.now--
	o.mu.Unlock()
	return actions[0], nil
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of a call that is turned away is read")
	return 0, http.ErrBodyReadAfterClose
}

func (unread) Close() error { return nil }

// TestStrangersWait: of 40 who may do nothing and call without end, a few calls are worked on at a time; a closing of somebody with a right goes
// at once beside a full lane, on each face; what is turned away is answered with 429 and counted, its body unread; the triggers and health
// never wait.
func TestStrangersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		of := &onlyAdmin{}
		var away atomic.Int64
		var full atomic.Bool
		a.wire(func(p *core.Ports) {
			p.Authority = of
			p.TurnedAway = func(identified bool) {
				if identified {
					away.Add(1)
				}
			}
		})
		if r := a.call("POST", "/api/enable", `{"virtualMachines":[`+ssh(web)+`]}`); r.status != 200 {
			t.Fatalf("%d %s", r.status, r.text)
		}
		stranger := func() answer {
			return a.call("POST", "/api/disable?dryRun=true", `{"virtualMachines":[{"id":"`+web+`"}]}`, "Authorization", "Bearer requester")
		}
		for range admission.Free {
			if r := stranger(); r.status != 403 {
				t.Fatalf("a call that is still free: %d %s", r.status, r.text)
			}
		}
		of.most, of.asked = 0, 0
		began := time.Now()
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				for time.Since(began) < 5*time.Second {
					r := stranger()
					if code := r.header.Get("x-ms-error-code"); r.status == 429 && full.Load() {
						time.Sleep(admission.Pace) // time passes only while all wait
					} else if r.status != 403 || code != string(permit.CodeForbidden) {
						t.Errorf("%d %s", r.status, r.text)
					}
				}
			})
		}
		time.Sleep(time.Second)
		atOnce := func(what string, status int, call func() answer) answer {
			t.Helper()
			before := time.Now()
			r := call()
			if waited := time.Since(before); waited > question || r.status != status {
				t.Errorf("%s: %d after %s, want %d at once: %.300s", what, r.status, waited, status, r.text)
			}
			return r
		}
		opened := func() string {
			r := atOnce("a request", 200, func() answer {
				return a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"allowedSourceAddressPrefix":"203.0.113.7","duration":"PT1H"}]}]}`)
			})
			id, _ := r.body["id"].(string)
			return id
		}
		id := opened()
		full.Store(true)
		for range admission.MaxWaiting { // with those of the 40 the lane is full
			all.Go(func() { stranger() })
		}
		synctest.Wait()
		atOnce("closing", 200, func() answer { return a.call("POST", "/api/requests/"+id+"/revoke", "") })
		id = opened()
		atOnce("closing by the page", 303, func() answer {
			return a.call("POST", "/api/portal/requests/"+id+"/close", "", "Sec-Fetch-Site", "same-origin")
		})
		atOnce("a closing of a stranger's", 404, func() answer {
			return a.call("POST", "/api/requests/"+id+"/revoke", "", "Authorization", "Bearer requester")
		})
		atOnce("health", 200, func() answer { return a.call("GET", "/api/health", "") })
		atOnce("the timer", 200, func() answer { return a.posts("/sweep", timerEnvelope) })
		turned := away.Load()
		req := httptest.NewRequest("POST", "/api/disable", unread{t})
		req.Header.Set("Authorization", "Bearer requester")
		gone, cancel := context.WithCancel(t.Context())
		cancel() // nor does a call wait that is not looked at
		r := a.do(req.WithContext(gone))
		if code, _ := r.code(); r.status != 429 || code != string(admission.CodeTooManyRefusals) || r.header.Get("Retry-After") == "" || away.Load() != turned+1 {
			t.Errorf("turned away with %s, again in %q s, %d were counted", r.text, r.header.Get("Retry-After"), away.Load()-turned)
		}
		if r := a.call("GET", "/api/portal/", "", "Authorization", "Bearer requester"); r.status != 429 || r.header.Get("Retry-After") == "" {
			t.Errorf("one too many of the page's: %d %s", r.status, r.text)
		}
		all.Wait()
		if of.most > admission.AtOnce {
			t.Errorf("%d strangers' calls were worked on at a time", of.most)
		}
		if most := int(time.Since(began)/admission.Pace) + 2; of.asked > most {
			t.Errorf("%d strangers' calls in %s, at most %d were to be", of.asked, time.Since(began), most)
		}
		if err := a.rooms.Refusals.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := a.call("GET", "/api/activity?operation=Refusals", ""); !strings.Contains(r.text, "of them turned away unread") {
			t.Errorf("the log does not count who was turned away: %s", r.text)
		}
	})
}

// TestUnidentifiedWait: calls without a valid token are answered 401, and beyond what they have together 429, on whatever door; nobody else waits.
func TestUnidentifiedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		var mu sync.Mutex
		got := map[int]int{}
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				r := a.call("GET", "/api/machines", "", "Authorization", "")
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		synctest.Wait()
		before := time.Now()
		if r := a.call("GET", "/api/machines", ""); r.status != 200 || time.Since(before) != 0 {
			t.Errorf("beside them: %d after %s", r.status, time.Since(before))
		}
		if r := a.call("GET", "/api/portal/", "", "Authorization", ""); r.status != 401 || time.Since(before) != 0 {
			t.Errorf("the page that signs in: %d after %s", r.status, time.Since(before))
		}
		all.Wait()
		if got[401] < 100 || got[429] < 300 || got[401]+got[429] != 500 {
			t.Errorf("answered %v", got)
		}
	})
}
