package bussim_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"
)

// TestScenarios is Microsoft's Go client at work. SB_CONN runs it against
// another broker, see the package comment.
func TestScenarios(t *testing.T) {
	for _, row := range []struct {
		name string
		run  func(*testing.T, *peer)
	}{
		{"missing queue", missing},
		{"too large a message is refused, a long one is not", large},
		{"properties and types are kept", properties},
		{"schedule by annotation", scheduleByAnnotation},
		{"schedule, peek, cancel", scheduleAndCancel},
		{"abandon until dead-lettered", abandon},
		{"dead-letter with a reason", deadLetter},
		{"renew a lock past its first end", renew},
		{"lock expires", lockExpires},
		{"settle by token after the link closed", settleByToken},
		{"duplicates are dropped", duplicates},
		{"defer and receive by number", deferred},
		{"batch", batch},
		{"receive and delete", receiveAndDelete},
		{"the SDK's releaser costs no delivery", releaser},
	} {
		t.Run(row.name, func(t *testing.T) { row.run(t, newPeer(t)) })
	}
}

func missing(t *testing.T, p *peer) {
	err := sender(t, p.client, missingQueue).SendMessage(bounded(t), text("m"), nil)
	if err == nil || !strings.Contains(err.Error(), "amqp:not-found") {
		t.Errorf("send to a missing queue: %v, want amqp:not-found", err)
	}
	_, err = receiver(t, p.client, missingQueue, nil).ReceiveMessages(bounded(t), 1, nil)
	if err == nil || !strings.Contains(err.Error(), "amqp:not-found") {
		t.Errorf("receive from a missing queue: %v, want amqp:not-found", err)
	}
}

func large(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	err := s.SendMessage(bounded(t), &azservicebus.Message{Body: make([]byte, 2<<20)}, nil)
	if !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("2 MiB: %v, want ErrMessageTooLarge", err)
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
	send(t, s, &azservicebus.Message{Body: body})
	m := one(t, r)
	if !bytes.Equal(m.Body, body) {
		t.Errorf("%d bytes came back changed, as %d bytes", len(body), len(m.Body))
	}
	complete(t, r, m)
}

func properties(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	when := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	sent := &azservicebus.Message{
		Body: []byte("hello"), MessageID: to.Ptr("id-1"), ContentType: to.Ptr("text/plain"),
		CorrelationID: to.Ptr("corr"), Subject: to.Ptr("subject"), To: to.Ptr("to"), ReplyTo: to.Ptr("reply"),
		PartitionKey: to.Ptr("part"), TimeToLive: to.Ptr(time.Hour),
		ApplicationProperties: map[string]any{
			"int64": int64(1), "int64big": int64(1) << 60, "int32": int32(-2), "int16": int16(3), "int8": int8(-4),
			"uint64": uint64(5), "uint32": uint32(6), "uint16": uint16(7), "uint8": uint8(8),
			"float64": 9.5, "float32": float32(1.5), "bool": true, "string": "x", "time": when, "null": nil,
		},
	}
	send(t, s, sent)
	before := p.now()
	m := one(t, r)
	got := &azservicebus.Message{
		Body: m.Body, MessageID: &m.MessageID, ContentType: m.ContentType, CorrelationID: m.CorrelationID,
		Subject: m.Subject, To: m.To, ReplyTo: m.ReplyTo, PartitionKey: m.PartitionKey, TimeToLive: m.TimeToLive,
		ApplicationProperties: m.ApplicationProperties,
	}
	if d := cmp.Diff(sent, got); d != "" {
		t.Errorf("message (-sent +received):\n%s", d)
	}
	if m.DeliveryCount != 1 || m.SequenceNumber == nil || m.EnqueuedTime == nil || m.LockedUntil == nil {
		t.Fatalf("broker properties: count %d, number %v, enqueued %v, locked until %v",
			m.DeliveryCount, m.SequenceNumber, m.EnqueuedTime, m.LockedUntil)
	}
	if left := m.LockedUntil.Sub(before); left > lockTime+time.Second || left < lockTime-2*time.Second {
		t.Errorf("locked for %v, want %v", left, lockTime)
	}
	complete(t, r, m)
	none(t, r)
}

func scheduleByAnnotation(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	late, past := text("late"), text("past")
	late.ScheduledEnqueueTime = to.Ptr(p.now().Add(4 * time.Second))
	past.ScheduledEnqueueTime = to.Ptr(p.now().Add(-time.Hour))
	send(t, s, late)
	none(t, r)
	send(t, s, past)
	m := one(t, r)
	if m.MessageID != "past" {
		t.Errorf("received %q, want the one scheduled in the past", m.MessageID)
	}
	complete(t, r, m)
	p.pass(t, 5*time.Second)
	m = one(t, r)
	if m.MessageID != "late" || m.State != azservicebus.MessageStateActive {
		t.Errorf("received %q in state %v, want the scheduled one, active", m.MessageID, m.State)
	}
	complete(t, r, m)
}

func scheduleAndCancel(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	ctx := bounded(t)
	wantCode(t, "cancel an unknown number", s.CancelScheduledMessages(ctx, []int64{1 << 40}, nil), azservicebus.CodeNotFound)
	numbers, err := s.ScheduleMessages(ctx, []*azservicebus.Message{text("a"), text("b")}, p.now().Add(4*time.Second), nil)
	if err != nil || len(numbers) != 2 || numbers[0] >= numbers[1] {
		t.Fatalf("schedule: numbers %v, %v", numbers, err)
	}
	peeked, err := r.PeekMessages(ctx, 10, nil)
	if err != nil || len(peeked) != 2 || peeked[0].State != azservicebus.MessageStateScheduled || *peeked[0].SequenceNumber != numbers[0] {
		t.Fatalf("peek: %d messages, %v; want both as scheduled", len(peeked), err)
	}
	if err := s.CancelScheduledMessages(ctx, numbers[:1], nil); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	wantCode(t, "cancel again", s.CancelScheduledMessages(ctx, numbers[:1], nil), azservicebus.CodeNotFound)
	p.pass(t, 5*time.Second)
	m := one(t, r)
	if m.MessageID != "b" || *m.SequenceNumber == numbers[1] {
		t.Errorf("received %q as number %d, want b under a new number", m.MessageID, *m.SequenceNumber)
	}
	wantCode(t, "cancel after activation", s.CancelScheduledMessages(ctx, numbers[1:], nil), azservicebus.CodeNotFound)
	complete(t, r, m)
	none(t, r)
}

func abandon(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	send(t, s, text("poison"))
	for try := uint32(1); try <= 3; try++ {
		m := one(t, r)
		if m.DeliveryCount != try {
			t.Errorf("delivery count %d on try %d", m.DeliveryCount, try)
		}
		err := r.AbandonMessage(bounded(t), m, &azservicebus.AbandonMessageOptions{
			PropertiesToModify: map[string]any{"try": int64(try)}})
		if err != nil {
			t.Fatalf("abandon: %v", err)
		}
	}
	none(t, r)
	dead := deadReceiver(t, p.client, plainQueue)
	m := one(t, dead)
	if m.DeadLetterReason == nil || *m.DeadLetterReason != "MaxDeliveryCountExceeded" || m.ApplicationProperties["try"] != int64(3) {
		t.Errorf("dead letter: reason %v, properties %v", m.DeadLetterReason, m.ApplicationProperties)
	}
	complete(t, dead, m)
}

func deadLetter(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	send(t, s, text("bad"))
	err := r.DeadLetterMessage(bounded(t), one(t, r), &azservicebus.DeadLetterOptions{
		Reason: to.Ptr("because"), ErrorDescription: to.Ptr("it is bad"), PropertiesToModify: map[string]any{"k": int32(7)}})
	if err != nil {
		t.Fatalf("dead-letter: %v", err)
	}
	none(t, r)
	dead := deadReceiver(t, p.client, plainQueue)
	m := one(t, dead)
	want := map[string]any{"DeadLetterReason": "because", "DeadLetterErrorDescription": "it is bad", "k": int32(7)}
	if d := cmp.Diff(want, m.ApplicationProperties); d != "" {
		t.Errorf("properties (-want +got):\n%s", d)
	}
	if m.DeadLetterSource == nil || *m.DeadLetterSource != plainQueue {
		t.Errorf("dead-letter source %v, want %s", m.DeadLetterSource, plainQueue)
	}
	complete(t, dead, m)
}

func renew(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	send(t, s, text("slow"))
	m := one(t, r)
	first := *m.LockedUntil
	for range 3 {
		p.pass(t, 3*time.Second)
		if err := r.RenewMessageLock(bounded(t), m, nil); err != nil {
			t.Fatalf("renew: %v", err)
		}
	}
	if !m.LockedUntil.After(first.Add(lockTime)) {
		t.Errorf("locked until %v after three renewals, first %v", m.LockedUntil, first)
	}
	complete(t, r, m)
}

func lockExpires(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	send(t, s, text("lost"))
	m := one(t, r)
	p.pass(t, lockTime+time.Second)
	wantCode(t, "renew after the end", r.RenewMessageLock(bounded(t), m, nil), azservicebus.CodeLockLost)
	again := one(t, r)
	if again.DeliveryCount != 2 || again.LockToken == m.LockToken {
		t.Errorf("redelivered with count %d, want 2 and another token", again.DeliveryCount)
	}
	wantCode(t, "complete after the end", r.CompleteMessage(bounded(t), m, nil), azservicebus.CodeLockLost)
	complete(t, r, again)
}

func settleByToken(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	for _, id := range []string{"completed", "abandoned", "deferred", "dead"} {
		send(t, s, text(id))
	}
	held := make(map[string]*azservicebus.ReceivedMessage)
	for range 4 {
		m := one(t, r)
		m.RawAMQPMessage = nil // leaves the SDK only the token
		held[m.MessageID] = m
	}
	if err := r.Close(bounded(t)); err != nil {
		t.Fatal(err)
	}
	r = receiver(t, p.client, plainQueue, nil)
	ctx := bounded(t)
	for what, err := range map[string]error{
		"complete": r.CompleteMessage(ctx, held["completed"], nil),
		"abandon":  r.AbandonMessage(ctx, held["abandoned"], nil),
		"defer":    r.DeferMessage(ctx, held["deferred"], nil),
		"dead-letter": r.DeadLetterMessage(ctx, held["dead"],
			&azservicebus.DeadLetterOptions{Reason: to.Ptr("r"), ErrorDescription: to.Ptr("d")}),
	} {
		if err != nil {
			t.Fatalf("%s by token: %v", what, err)
		}
	}
	wantCode(t, "complete twice", r.CompleteMessage(ctx, held["completed"], nil), azservicebus.CodeLockLost)
	if m := one(t, r); m.MessageID != "abandoned" || m.DeliveryCount != 2 {
		t.Errorf("received %s with count %d, want the abandoned one again", m.MessageID, m.DeliveryCount)
	} else {
		complete(t, r, m)
	}
	back, err := r.ReceiveDeferredMessages(ctx, []int64{*held["deferred"].SequenceNumber}, nil)
	if err != nil || len(back) != 1 {
		t.Fatalf("receive deferred: %d, %v", len(back), err)
	}
	complete(t, r, back[0])
	dead := deadReceiver(t, p.client, plainQueue)
	m := one(t, dead)
	if m.MessageID != "dead" || *m.DeadLetterReason != "r" || *m.DeadLetterErrorDescription != "d" {
		t.Errorf("dead letter %s: %v", m.MessageID, m.ApplicationProperties)
	}
	complete(t, dead, m)
}

func duplicates(t *testing.T, p *peer) {
	s, r := sender(t, p.client, dupQueue), receiver(t, p.client, dupQueue, nil)
	unique := time.Now().Format("150405.000000") // a real service may remember the last run
	send(t, s, text("twice"+unique))
	send(t, s, text("twice"+unique))
	complete(t, r, one(t, r))
	none(t, r)
	send(t, s, text("twice"+unique)) // also after the first is gone
	numbers, err := s.ScheduleMessages(bounded(t), []*azservicebus.Message{text("twice" + unique), text("new" + unique)},
		p.now().Add(2*time.Second), nil)
	if err != nil || len(numbers) != 2 {
		t.Fatalf("schedule: %v, %v", numbers, err)
	}
	send(t, s, text("new"+unique)) // a duplicate of a scheduled one
	p.pass(t, 3*time.Second)
	m := one(t, r)
	if m.MessageID != "new"+unique {
		t.Errorf("received %q, want only the new one", m.MessageID)
	}
	complete(t, r, m)
	none(t, r)
	p.pass(t, dupWindow+time.Second)
	send(t, s, text("twice"+unique))
	complete(t, r, one(t, r))
}

func deferred(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	send(t, s, text("later"))
	m := one(t, r)
	if err := r.DeferMessage(bounded(t), m, &azservicebus.DeferMessageOptions{PropertiesToModify: map[string]any{"why": "busy"}}); err != nil {
		t.Fatalf("defer: %v", err)
	}
	none(t, r)
	_, err := r.ReceiveDeferredMessages(bounded(t), []int64{1 << 40}, nil)
	wantCode(t, "receive an unknown number", err, azservicebus.CodeNotFound)
	got, err := r.ReceiveDeferredMessages(bounded(t), []int64{*m.SequenceNumber}, nil)
	if err != nil || len(got) != 1 || got[0].ApplicationProperties["why"] != "busy" || got[0].State != azservicebus.MessageStateDeferred {
		t.Fatalf("receive deferred: %+v, %v", got, err)
	}
	complete(t, r, got[0])
	_, err = r.ReceiveDeferredMessages(bounded(t), []int64{*m.SequenceNumber}, nil)
	wantCode(t, "receive again", err, azservicebus.CodeNotFound)
}

func batch(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	b, err := s.NewMessageBatch(bounded(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"b0", "b1", "b2"}
	for _, id := range want {
		if err := b.AddMessage(text(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SendMessageBatch(bounded(t), b, nil); err != nil {
		t.Fatalf("send the batch: %v", err)
	}
	var got []string
	for range want {
		m := one(t, r)
		got = append(got, m.MessageID)
		complete(t, r, m)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("messages (-want +got):\n%s", d)
	}
}

func receiveAndDelete(t *testing.T, p *peer) {
	s := sender(t, p.client, plainQueue)
	r := receiver(t, p.client, plainQueue, &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	send(t, s, text("gone"))
	if m := one(t, r); m.MessageID != "gone" || string(m.Body) != "body of gone" {
		t.Errorf("received %q %q", m.MessageID, m.Body)
	}
	p.pass(t, lockTime+time.Second)
	none(t, r)
}

func releaser(t *testing.T, p *peer) {
	s, r := sender(t, p.client, plainQueue), receiver(t, p.client, plainQueue, nil)
	none(t, r) // leaves credit behind, by which the next message arrives unasked
	send(t, s, text("unasked"))
	other := receiver(t, p.client, plainQueue, nil)
	m := one(t, other)
	if m.DeliveryCount != 1 {
		t.Errorf("delivery count %d, want 1", m.DeliveryCount)
	}
	complete(t, other, m)
}
