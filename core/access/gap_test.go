package access_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/round"
)

// TestAskersDoNotHoldUpAClosing: asks that come while the rules are read, and whose own rules stand there already, cost one more read
// before what is left is written, however many come: a closing does not wait until nobody asks.
func TestAskersDoNotHoldUpAClosing(t *testing.T) {
	const enough = 30 // asks, each during a read
	w := newWorld(t)
	w.enable("web")
	stands := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	closes := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "web"))
	w.start() // nothing is remembered of the rules
	var mu sync.Mutex
	reads, before := 0, 0
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case s.Op == "Rules":
			if reads++; reads <= enough {
				w.Begin(ctx, nsgID("web-nsg"), round.Want{Grant: stands})
			}
		case s.Op == "Apply" && before == 0:
			before = reads
		}
		return nil
	}
	if _, err := w.Revoke(t.Context(), who("bob"), closes); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if before > 2 {
		t.Errorf("%d reads before the closing was written", before)
	}
	if w.allows("web-nsg") != 1 {
		t.Errorf("%d rules allow", w.allows("web-nsg"))
	}
}
