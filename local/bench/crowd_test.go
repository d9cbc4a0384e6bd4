package bench

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowded is what requests that come at the same time for one security group came to.
type crowded struct {
	cost     cost
	lastOpen time.Duration
	failed   int
	lost     int // rules that do not stand although their request succeeded
	stray    int // rules that stand although their request failed
}

// crowd sends n requests within a second, so that some come while the first is being written, each for another machine
// behind the same security group.
func crowd(t *testing.T, n int, m mode, latency time.Duration, open func(*world) func(machine int) bool) (out crowded) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setting{estate: estate{machines: n, groups: 1}, seed: 1})
		one := open(w)
		w.draw(latency, latency, m)
		before, began := w.cost(), time.Now()
		opened := make([]bool, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second / time.Duration(n))
				opened[i] = one(i)
			})
		}
		wg.Wait()
		out.lastOpen, out.cost = time.Since(began), w.cost().minus(before)
		for _, ok := range opened {
			if ok {
				out.lost++
			} else {
				out.failed++
			}
		}
		out.lost -= w.allows()
		out.lost, out.stray = max(out.lost, 0), max(-out.lost, 0)
	})
	return out
}

// byUs asks the app.
func byUs(w *world) func(int) bool {
	w.enable(w.machines, 1)
	return func(i int) bool {
		status, _ := w.try(http.MethodPost, "/api/request", request(i, 1, 1, time.Hour, "198.51.100.7"))
		return status == http.StatusOK
	}
}

// byPeer asks the obvious design, or its best variant.
func byPeer(best bool) func(*world) func(int) bool {
	return func(w *world) func(int) bool {
		p := w.newPeer(best)
		return func(i int) bool { return p.open(w.tb.Context(), i, 1, 1, time.Now().Add(time.Hour)) == 0 }
	}
}
