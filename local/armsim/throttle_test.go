package armsim_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"portcullis/local/armsim"
)

// spend calls until a refusal, at most n times, and returns how many went through and what the refusal asks to wait.
func spend(r *rig, n int, method, path, body string) (through, wait int) {
	r.t.Helper()
	for range n {
		res, text := r.do(method, path, body)
		if res.StatusCode != 429 {
			through++
			continue
		}
		wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil {
			r.t.Fatalf("429 without Retry-After: %v %s", res.Header, text)
		}
		return through, wait
	}
	return through, 0
}

func TestSubscriptionBuckets(t *testing.T) {
	r := newRig(t, armsim.Knobs{Throttle: true})
	r.put(nsgID, nsg(rule("a", 100)))
	ip := scope + "publicIPAddresses/p"
	for _, test := range []struct {
		method, path, body string
		capacity, refill   int
		header             string
	}{
		{"GET", nsgID, "", 250, 25, "reads"},
		{"PUT", ip, `{"location":"westeurope"}`, 200, 10, "writes"},
		{"DELETE", ip, "", 200, 10, "deletes"},
	} {
		t.Run(test.method, func(t *testing.T) {
			r := r.on(t)
			res, _ := r.do(test.method, test.path, test.body)
			if got := res.Header.Get("x-ms-ratelimit-remaining-subscription-" + test.header); got != fmt.Sprint(test.capacity-1) {
				t.Errorf("remaining %q", got)
			}
			if through, wait := spend(r, 300, test.method, test.path, test.body); through != test.capacity-1 || wait != 1 {
				t.Errorf("%d more went through, then wait %d s; want %d and 1", through, wait, test.capacity-1)
			}
			r.clock.Advance(time.Second)
			if through, _ := spend(r, 300, test.method, test.path, test.body); through != test.refill {
				t.Errorf("%d went through after a second, want %d", through, test.refill)
			}
			r.token = "p-other"
			if res, _ := r.do(test.method, test.path, test.body); res.StatusCode == 429 {
				t.Error("another principal is throttled too")
			}
			r.token = "alice"
			elsewhere := "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.Network/networkInterfaces"
			if res, _ := r.do("GET", elsewhere, ""); res.StatusCode == 429 {
				t.Error("another subscription is throttled too")
			}
			r.clock.Advance(time.Hour)
			if through, _ := spend(r, 300, test.method, test.path, test.body); through != test.capacity {
				t.Errorf("%d went through after an hour, want %d: a bucket holds no more than its size", through, test.capacity)
			}
		})
	}
}

// A region has buckets of its own, and a throttled write changes nothing.
func TestRegionsApart(t *testing.T) {
	r := newRig(t, armsim.Knobs{Throttle: true})
	north := scope + "networkSecurityGroups/north"
	r.put(nsgID, nsg())
	r.put(north, `{"location":"North Europe"}`)
	if through, _ := spend(r, 300, "PUT", nsgID, nsg()); through != 200 {
		t.Fatalf("%d went through", through)
	}
	r.want(429, "SubscriptionRequestsThrottled", "PUT", nsgID, nsg(rule("a", 100)))
	if names(r.get(nsgID)) != "" {
		t.Error("a throttled write was applied")
	}
	r.want(200, "", "PUT", north, `{"location":"northeurope"}`)
}

func TestNetworkProvider(t *testing.T) {
	r := newRig(t, armsim.Knobs{ThrottleNetwork: true})
	r.put(nsgID, nsg())
	r.want(200, "", "PUT", nsgID, nsg())
	r.clock.Advance(time.Minute)
	if through, wait := spend(r, 1100, "PUT", nsgID, nsg()); through != 999 || wait != 240 {
		t.Errorf("%d more went through, then wait %d s; want 999 and 240", through, wait)
	}
	r.want(200, "", "GET", nsgID, "")
	r.want(429, "SubscriptionRequestsThrottled", "DELETE", nsgID, "")
	r.clock.Advance(4 * time.Minute)
	r.want(200, "", "PUT", nsgID, nsg())
}

// Polls count as reads of the subscription.
func TestPollsAreThrottled(t *testing.T) {
	r := newRig(t, armsim.Knobs{Throttle: true, Writes: armsim.Writes{LatencyMin: seconds(60)}})
	res, _ := r.want(201, "", "PUT", nsgID, nsg())
	if through, _ := spend(r, 300, "GET", res.Header.Get("Azure-AsyncOperation"), ""); through != 250 {
		t.Errorf("%d polls went through, want 250", through)
	}
	want := armsim.Counts{Writes: 1, Polls: 251, Rejected: 1}
	if got := r.arm.CountsOf(nsgID); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}
