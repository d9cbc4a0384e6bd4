package accesstest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/access/accesstest"
	"portcullis/core/store"
)

// bell is the reference alarm behind the suite's fixture.
type bell struct {
	accesstest.Bell
	failing atomic.Bool
}

func (b *bell) Delivered(now time.Time) ([]accesstest.Hint, error) {
	var out []accesstest.Hint
	for _, w := range b.Due(now) {
		out = append(out, accesstest.Hint{Grant: w.Grant, Generation: w.Generation})
	}
	return out, nil
}

func (b *bell) Fail(on bool) { b.failing.Store(on) }

func TestBell(t *testing.T) {
	accesstest.TestAlarm(t, func(*testing.T) (store.Alarm, accesstest.AlarmFixture) {
		b := &bell{}
		b.Fault = func(context.Context, accesstest.Step) error {
			if b.failing.Load() {
				return &store.Unavailable{Dependency: "Service Bus", Err: errors.New("failing")}
			}
			return nil
		}
		return b, b
	})
}
