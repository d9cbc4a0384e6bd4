package arm_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/infra/arm"
)

// TestSharedReadBeginsAfterTheCall checks that any number of callers at the same time cost two reads, and that none of
// them gets what was read before it asked.
func TestSharedReadBeginsAfterTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s arm.Shared[time.Time]
		var all sync.WaitGroup
		reads := 0
		read := func(context.Context) (time.Time, error) {
			began := time.Now()
			reads++
			time.Sleep(time.Second)
			return began, nil
		}
		for n := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				asked := time.Now()
				began, err := s.Do(t.Context(), read)
				if err != nil || began.Before(asked) || time.Since(asked) > 2*time.Second {
					t.Errorf("caller %d: read from %s on, asked %s, error %v, took %s", n, began, asked, err, time.Since(asked))
				}
			})
		}
		all.Wait()
		if reads != 2 {
			t.Errorf("100 callers made %d reads, want 2", reads)
		}
		if _, err := s.Do(t.Context(), read); err != nil || reads != 3 {
			t.Errorf("a caller afterwards: %d reads, error %v; nothing may be kept", reads, err)
		}
	})
}

// TestSharedReadOfACallerThatLeaves checks that a read goes on for the others when the caller that began it goes away.
func TestSharedReadOfACallerThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s arm.Shared[string]
		read := func(ctx context.Context) (string, error) { return "read", arm.Wait(ctx, time.Second) }
		ctx, leave := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		var all sync.WaitGroup
		for range 2 { // the first reads, the second waits for the read after it
			all.Go(func() {
				if _, err := s.Do(ctx, read); !errors.Is(err, gone) {
					t.Errorf("the caller that left got %v, want its own end", err)
				}
			})
			synctest.Wait()
		}
		all.Go(func() {
			if got, err := s.Do(t.Context(), read); got != "read" || err != nil {
				t.Errorf("the caller that stayed got %q, %v", got, err)
			}
		})
		synctest.Wait()
		leave(gone)
		all.Wait()
	})
}

// TestSharedReadThatFails checks that an error and a panic reach those who wait, and that the next caller reads anew.
func TestSharedReadThatFails(t *testing.T) {
	var s arm.Shared[int]
	failed := errors.New("failed")
	if _, err := s.Do(t.Context(), func(context.Context) (int, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the read's error", err)
	}
	if _, err := s.Do(t.Context(), func(context.Context) (int, error) { panic("broken") }); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want the panic", err)
	}
	if got, err := s.Do(t.Context(), func(context.Context) (int, error) { return 1, nil }); got != 1 || err != nil {
		t.Errorf("got %d, %v afterwards", got, err)
	}
}
