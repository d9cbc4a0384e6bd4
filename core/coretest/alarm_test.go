package coretest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/store"
)

// bell is the reference alarm with the suite's fixture.
type bell struct {
	coretest.Bell
	failing atomic.Bool
}

func (b *bell) Delivered(now time.Time) ([]coretest.Hint, error) {
	var out []coretest.Hint
	for _, w := range b.Due(now) {
		out = append(out, coretest.Hint{Grant: w.Grant, Generation: w.Generation, Remind: w.Remind})
	}
	return out, nil
}

func (b *bell) Fail(on bool) { b.failing.Store(on) }

func TestBell(t *testing.T) {
	coretest.TestAlarm(t, func(*testing.T) (store.Alarm, coretest.AlarmFixture) {
		b := &bell{}
		b.Fault = func(context.Context, coretest.Step) error {
			if b.failing.Load() {
				return &store.Unavailable{Dependency: "Service Bus", Err: errors.New("failing")}
			}
			return nil
		}
		return b, b
	})
}
