package nsg_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/nsg"
)

// inProcess is an ARM without a network, so that time may be simulated.
type inProcess http.HandlerFunc

func (f inProcess) Do(req *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	f(answer, req)
	resp := answer.Result()
	resp.Request = req
	return resp, nil
}

// TestLooksAreTimed holds when an unfinished write is looked at: not before the Retry-After of its answer is over, then
// every second. A group that shows as Updating for longer than writes take may be written by another whose
// write superseded ours, so that from 20 s on the operation is asked, which tells.
func TestLooksAreTimed(t *testing.T) {
	a := mine("a", 100)
	updating := shown("v8", "Updating", encoded(t, a))
	server := httptest.NewServer(http.NotFoundHandler()) // for its address alone
	defer server.Close()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var looks, polls []time.Duration
		arm := inProcess(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut:
				answer(200, updating, "Retry-After", "3", "Azure-AsyncOperation", strings.Replace(operation, "{host}", server.URL, 1))(w, r)
			case strings.HasSuffix(r.URL.Path, "/op"):
				polls = append(polls, time.Since(began))
				answer(200, `{"status":"Canceled","error":{"code":"CanceledAndSupersededDueToAnotherOperation","message":"superseded"}}`)(w, r)
			default:
				looks = append(looks, time.Since(began))
				answer(200, updating)(w, r)
			}
		})
		c := client(t, server, func(cfg *nsg.Config) { cfg.Options.Transport, cfg.PollEvery = arm, time.Second })
		if _, err := c.Apply(t.Context(), network.Ordinary(), shop(), create(a)); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "CanceledAndSuperseded") {
			t.Errorf("error %v, want a conflict that says what became of the operation", err)
		}
		var want []time.Duration
		for at := 3 * time.Second; at < 20*time.Second; at += time.Second {
			want = append(want, at)
		}
		if diff := cmp.Diff(want, looks); diff != "" {
			t.Errorf("looks at the group (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{20 * time.Second}, polls); diff != "" {
			t.Errorf("looks at the operation (-want +got):\n%s", diff)
		}
	})
}

// TestOvertaken holds that a write is confirmed although another instance, which has seen its end first, is writing the group already: what
// shows as Updating in another version than the write was begun with is another's, and the operation tells.
func TestOvertaken(t *testing.T) {
	a, b := mine("a", 100), mine("b", 101)
	begun, theirs := shown("v8", "Updating", encoded(t, a)), shown("v10", "Updating", encoded(t, a), encoded(t, b))
	server := httptest.NewServer(http.NotFoundHandler()) // for its address alone
	defer server.Close()
	for status, want := range map[string]error{"Succeeded": nil, "Failed": store.ErrConflict} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			arm := inProcess(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPut:
					answer(200, begun, "Azure-AsyncOperation", strings.Replace(operation, "{host}", server.URL, 1))(w, r)
				case strings.HasSuffix(r.URL.Path, "/op"):
					answer(200, `{"status":"`+status+`"}`)(w, r)
				default:
					answer(200, theirs)(w, r)
				}
			})
			c := client(t, server, func(cfg *nsg.Config) { cfg.Options.Transport, cfg.PollEvery = arm, time.Second })
			got, err := c.Apply(t.Context(), network.Ordinary(), shop(), create(a))
			if !errors.Is(err, want) {
				t.Errorf("operation %s: error %v, want %v", status, err, want)
			}
			if want == nil && (got.Unconfirmed || got.Version != "v8" || len(got.Rules) != 1) {
				t.Errorf("%d rules of version %s, unconfirmed %t, want the one that was written", len(got.Rules), got.Version, got.Unconfirmed)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("operation %s: it took %s to learn of it", status, took)
			}
		})
	}
}

// TestALookFallsIntoTheGap holds that who waits for the end of a write looks often enough to see the gap that another instance leaves.
func TestALookFallsIntoTheGap(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler()) // for its address alone
	defer server.Close()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var last, longest time.Duration
		arm := inProcess(func(w http.ResponseWriter, r *http.Request) {
			now := time.Since(began)
			last, longest = now, max(longest, now-last)
			state := "Updating"
			if now > 10*time.Second {
				state = "Succeeded"
			}
			answer(200, shown("v8", state))(w, r)
		})
		c := client(t, server, func(cfg *nsg.Config) { cfg.Options.Transport, cfg.PollEvery = arm, 0 })
		if _, err := c.Rules(t.Context(), network.Ordinary(), nsgID("shop")); err != nil {
			t.Fatal(err)
		}
		if gap := network.SecurityGroups(nil).WriteGap; longest == 0 || longest > gap*3/4 {
			t.Errorf("up to %s between two looks, in a gap of %s with a call's time", longest, gap)
		}
	})
}
