package bussim_test

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"

	"portcullis/local/bussim"
)

// TestTimersFire uses the real clock: nothing but the broker's own timer makes
// the lock expire and the schedule fall due.
func TestTimersFire(t *testing.T) {
	s := serve(t, func(c *bussim.Config) {
		c.Now = nil
		c.Queues = []bussim.Queue{{Name: plainQueue, LockDuration: 200 * time.Millisecond}}
	})
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	send(t, out, text("locked"))
	first := one(t, in)
	start := time.Now()
	again := one(t, in)
	if again.MessageID != first.MessageID || again.DeliveryCount != 2 {
		t.Errorf("received %s with count %d, want the first one again", again.MessageID, again.DeliveryCount)
	}
	complete(t, in, again)
	late := text("scheduled")
	late.ScheduledEnqueueTime = to.Ptr(time.Now().Add(150 * time.Millisecond))
	send(t, out, late)
	complete(t, in, one(t, in))
	if took := time.Since(start); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("lock and schedule took %v", took)
	}
}
