package seen

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
)

var web = jit.ID{Subscription: "00000000-0000-0000-0000-000000000001", ResourceGroup: "rg", Type: "Microsoft.Network/networkSecurityGroups", Name: "web"}

// TestSharedReads: a hundred callers within one read cause two more at most, and each gets one that began after the call.
func TestSharedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shared sharedReads
		reads := 0
		read := func(context.Context) (network.Standing, error) {
			reads++
			out := network.Standing{Target: jit.ID{Name: time.Now().Format(time.RFC3339Nano)}}
			time.Sleep(time.Second)
			return out, nil
		}
		var callers sync.WaitGroup
		for range 100 {
			time.Sleep(10 * time.Millisecond)
			called := time.Now()
			callers.Go(func() {
				got, err := shared.get(t.Context(), web, read)
				began, bad := time.Parse(time.RFC3339Nano, got.Target.Name)
				if err != nil || bad != nil || began.Before(called) || time.Since(called) > 2*time.Second {
					t.Errorf("called at %s, read at %s, answered after %s: %v %v", called, began, time.Since(called), err, bad)
				}
			})
		}
		callers.Wait()
		if synctest.Wait(); reads != 2 || len(shared.next) != 0 {
			t.Errorf("%d reads, %d targets kept", reads, len(shared.next))
		}
	})
}

// TestSharedReadsAlone: who goes away is not waited for and takes nobody's answer with him, a read that fails or panics fails those who
// share it and nobody after, and targets do not wait for each other.
func TestSharedReadsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shared sharedReads
		slow := func(context.Context) (network.Standing, error) {
			time.Sleep(time.Second)
			return network.Standing{}, nil
		}
		gone, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := shared.get(gone, web, slow); !errors.Is(err, context.Canceled) {
				t.Errorf("who went away: %v", err)
			}
		})
		synctest.Wait()
		leave()
		began := time.Now()
		callers.Go(func() {
			if _, err := shared.get(t.Context(), web, func(context.Context) (network.Standing, error) { panic("torn") }); err == nil {
				t.Error("a panic is no answer")
			}
		})
		other := web
		other.Name = "db"
		if _, err := shared.get(t.Context(), other, slow); err != nil || time.Since(began) != time.Second {
			t.Errorf("another target took %s: %v", time.Since(began), err)
		}
		callers.Wait()
		if _, err := shared.get(t.Context(), web, slow); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}
