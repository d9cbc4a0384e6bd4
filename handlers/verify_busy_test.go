package handlers_test

import (
	"context"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/store"
)

// slowLog is a log whose verification tells that it has begun and ends when it may.
type slowLog struct {
	store.Activity
	begun, end chan struct{}
}

func (l slowLog) Verify(context.Context, string, time.Time, ...store.Head) (store.VerifyResult, error) {
	l.begun <- struct{}{}
	<-l.end
	return store.VerifyResult{}, nil
}

// TestVerifiesAtOnce: two callers verify the log at once. A third is told when to come again, and who may not verify is told that, and
// keeps nobody's place.
func TestVerifiesAtOnce(t *testing.T) {
	a := newApp(t)
	log := slowLog{a.store, make(chan struct{}), make(chan struct{})}
	a.wire(func(p *core.Ports) { p.Activity = log })
	verify := func() int { return a.call("GET", "/api/activity/verify?subscription="+sub, "").status }
	answers := make(chan int)
	for range 2 {
		go func() { answers <- verify() }()
		<-log.begun
	}
	r := a.call("GET", "/api/activity/verify?subscription="+sub, "")
	if r.status != 429 || r.header.Get("x-ms-error-code") != "TooManyVerifications" || r.header.Get("Retry-After") == "" {
		t.Errorf("a third: %d %s", r.status, r.text)
	}
	if r := a.call("GET", "/api/activity/verify?subscription="+otherSub, ""); r.status == 429 || r.status == 200 {
		t.Errorf("not managed here: %d %s", r.status, r.text)
	}
	close(log.end)
	for range 2 {
		if got := <-answers; got != 200 {
			t.Errorf("one of the two: %d", got)
		}
	}
	go func() { <-log.begun }()
	if got := verify(); got != 200 {
		t.Errorf("after them: %d", got)
	}
}
