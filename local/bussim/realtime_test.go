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
	t.Parallel() // it waits
	s := serve(t, func(c *bussim.Config) {
		c.Now = nil
		c.Queues = []bussim.Queue{{Name: plainQueue, LockDuration: time.Second, MaxDeliveryCount: 100}}
	})
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	send(t, out, text("locked"))
	first := one(t, in)
	again := one(t, in)
	if again.MessageID != first.MessageID || again.DeliveryCount != 2 {
		t.Errorf("received %s with count %d, want the first one again", again.MessageID, again.DeliveryCount)
	}
	// On a slow machine this lock may have ended as well: then the message comes once more.
	for in.CompleteMessage(bounded(t), again, nil) != nil {
		if again = one(t, in); again.DeliveryCount > 50 {
			t.Fatal("no lock lasts until its message is completed")
		}
	}
	late := text("scheduled")
	late.ScheduledEnqueueTime = to.Ptr(time.Now().Add(150 * time.Millisecond))
	send(t, out, late)
	if got := one(t, in); got.MessageID != "scheduled" {
		t.Errorf("received %s, want what was scheduled", got.MessageID)
	}
}
