package bussim_test

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim/amqp"
)

// TestLockEndsWithoutTimer: a late timer does not prolong a lock.
func TestLockEndsWithoutTimer(t *testing.T) {
	s := serve(t)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	send(t, out, text("m"))
	m := one(t, in)
	s.clock.add(lockTime) // and no Wake
	wantCode(t, "renew", in.RenewMessageLock(bounded(t), m, nil), azservicebus.CodeLockLost)
	wantCode(t, "complete", in.CompleteMessage(bounded(t), m, nil), azservicebus.CodeLockLost)
}

// TestDeferredMessagesAreLockedToo: one receiver at a time, and a lock that
// ends gives the message back as deferred.
func TestDeferredMessagesAreLockedToo(t *testing.T) {
	s := serve(t)
	client := dial(t, s.connectionString())
	out, in := sender(t, client, plainQueue), receiver(t, client, plainQueue, nil)
	send(t, out, text("m"))
	m := one(t, in)
	if err := in.DeferMessage(bounded(t), m, nil); err != nil {
		t.Fatal(err)
	}
	numbers := []int64{*m.SequenceNumber}
	for try := range 2 {
		got, err := in.ReceiveDeferredMessages(bounded(t), numbers, nil)
		if err != nil || len(got) != 1 || got[0].DeliveryCount != uint32(try+1) {
			t.Fatalf("receive on try %d: %+v, %v", try, got, err)
		}
		_, err = in.ReceiveDeferredMessages(bounded(t), numbers, nil)
		wantCode(t, "receive while it is locked", err, azservicebus.CodeNotFound)
		s.advance(lockTime)
	}
	none(t, in)
}

// TestLockToken: the delivery tag is the lock token in the byte order of a
// .NET GUID, the annotation has it in that of RFC 4122.
func TestLockToken(t *testing.T) {
	c := plain(t, serve(t))
	c.attach("out", 1, false, plainQueue, "me")
	c.send(amqp.CodeTransfer, []byte{0, 0x53, 0x77, 0x40}, uint32(1), uint32(0), []byte("t"), uint32(0), true)
	c.send(amqp.CodeAttach, nil, "in", uint32(2), true, uint8(2), uint8(1), at(amqp.CodeSource, plainQueue), at(amqp.CodeTarget, nil))
	c.want(amqp.CodeAttach)
	c.credit(2, 1)
	p := c.want(amqp.CodeTransfer)
	sections, err := amqp.Sections(p.payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		if s.Code != amqp.CodeDeliveryAnnotations {
			continue
		}
		u, ok := s.Value.(amqp.Map).Lookup("x-opt-lock-token").(amqp.UUID)
		want := []byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
		if d := cmp.Diff(any(want), p.f.At(2)); d != "" || !ok || p.f.Bool(4) {
			t.Errorf("delivery tag (-want +got), settled %t:\n%s", p.f.Bool(4), d)
		}
		return
	}
	t.Error("no delivery annotations")
}
