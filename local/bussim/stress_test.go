package bussim_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"portcullis/local/bussim"
)

// TestManyClients: several connections at once lose nothing and, as no lock
// ends, get nothing twice.
func TestManyClients(t *testing.T) {
	const clients, each = 4, 50
	s := serve(t, func(c *bussim.Config) { c.Dir = t.TempDir() })
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var mu sync.Mutex
	seen := make(map[string]int)
	var work sync.WaitGroup
	for i := range clients {
		client := dial(t, s.connectionString())
		out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
		work.Go(func() {
			for j := range each {
				if err := out.SendMessage(ctx, text(fmt.Sprintf("%d-%d", i, j)), nil); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
		work.Go(func() {
			for range each {
				got, err := in.ReceiveMessages(ctx, 1, nil)
				if err != nil || len(got) != 1 {
					t.Errorf("receive: %d messages, %v", len(got), err)
					return
				}
				m := got[0]
				if err := in.CompleteMessage(ctx, m, nil); err != nil {
					t.Errorf("complete: %v", err)
				}
				mu.Lock()
				seen[m.MessageID]++
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if len(seen) != clients*each {
		t.Errorf("%d different messages received, want %d", len(seen), clients*each)
	}
	wantCounts(t, s.Broker, plainQueue, bussim.Counts{})
}
