package armtest

import (
	"sync"
	"testing"
	"time"

	"portcullis/core/network"
	"portcullis/infra/arm"
)

// TestPriorities tests that each call to ARM waits for its turn in the priority that the port's method was called with. call
// makes a client with the pacer, and calls each method with p; it sends so many calls, turns included.
func TestPriorities(t *testing.T, calls int, call func(t *testing.T, pacer *arm.Pacer, p network.Priority)) {
	for name, p := range map[string]network.Priority{"closing": network.Closing(time.Now()), "ordinary": network.Ordinary()} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			paced := 0
			call(t, arm.NewPacer(arm.Config{Waited: func(kind arm.Kind, closing bool, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				if paced++; closing != p.Closing {
					t.Errorf("call %d, of the %s: it waited as a closing: %t, want %t", paced, kind, closing, p.Closing)
				}
			}}), p)
			mu.Lock()
			defer mu.Unlock()
			if paced != calls {
				t.Errorf("%d calls waited for their turn, want %d", paced, calls)
			}
		})
	}
}
