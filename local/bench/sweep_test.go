package bench

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/local/armsim"
)

// swept is what one look at everything came to.
type swept struct {
	cost   cost
	took   time.Duration
	failed int
}

// sweeps looks at every group of an estate on which nothing is wrong, under the token buckets. A tenth of the
// machines has a window open.
func sweeps(t *testing.T, groups int, look func(*world) func() (failed int)) (out swept) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setting{estate: estate{machines: groups, groups: groups}, knobs: armsim.Knobs{}, seed: 1})
		one := look(w)
		w.check(w.arm.Tune(func(k *armsim.Knobs) { k.Throttle = true }))
		time.Sleep(10 * time.Minute)
		before, began := w.cost(), time.Now()
		out.failed = one()
		out.took, out.cost = time.Since(began), w.cost().minus(before)
	})
	return out
}

// sweepByUs is the timer's function.
func sweepByUs(w *world) func() int {
	w.fill(storm{windows: w.groups / 10, groups: w.groups}, w.groups)
	return func() int {
		if status, answer := w.post(w.tb.Context(), w.app, "/sweep", []byte(`{"Data":{"timer":{}},"Metadata":{}}`)); status != http.StatusOK {
			w.tb.Errorf("sweep: %d %s", status, answer)
			return 1
		}
		return 0
	}
}

// sweepByPeer lists the rules of each group, one after the other or 16 at a time.
func sweepByPeer(best bool) func(*world) func() int {
	return func(w *world) func() int {
		p := w.newPeer(best)
		wide := 1
		if best {
			wide = 16
		}
		return func() int {
			failed, next := make([]int, wide), make(chan int)
			var wg sync.WaitGroup
			for k := range wide {
				wg.Go(func() {
					for g := range next {
						if p.look(w.tb.Context(), groupID(g).Name) != nil {
							failed[k]++
						}
					}
				})
			}
			for g := range w.groups {
				next <- g
			}
			close(next)
			wg.Wait()
			sum := 0
			for _, n := range failed {
				sum += n
			}
			return sum
		}
	}
}

var errNoRules = errors.New("the group has no rules")
