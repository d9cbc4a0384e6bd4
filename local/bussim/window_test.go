package bussim_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim/amqp"
)

// TestSmallWindows: no frame is longer than the peer takes, and no transfer
// leaves beyond its session window, in the middle of a message too.
func TestSmallWindows(t *testing.T) {
	s := serve(t)
	out := plain(t, s)
	out.attach("out", 1, false, plainQueue, "me")
	sent := amqp.Append(nil, amqp.Described{Descriptor: amqp.CodeData, Value: bytes.Repeat([]byte("x"), 5000)})
	out.send(amqp.CodeTransfer, sent, uint32(1), uint32(0), []byte("t"), uint32(0), false)
	out.want(amqp.CodeDisposition)

	in := connect(t, s)
	in.sasl(amqp.Symbol("PLAIN"), []byte("\x00"+keyName+"\x00"+localKey))
	in.header("AMQP\x00\x01\x00\x00")
	in.send(amqp.CodeOpen, nil, "raw", nil, uint32(1024))
	in.want(amqp.CodeOpen)
	in.send(amqp.CodeBegin, nil, nil, uint32(0), uint32(2), uint32(100))
	in.want(amqp.CodeBegin)
	in.attach("in", 1, true, plainQueue, "me")
	in.send(amqp.CodeFlow, nil, uint32(0), uint32(2), uint32(0), uint32(100), uint32(1), uint32(0), uint32(1))
	var got []byte
	take := func() (more bool) {
		p := in.want(amqp.CodeTransfer)
		if n := len(p.payload); n > 1024 {
			t.Errorf("payload of %d bytes in frames of 1024", n)
		}
		got = append(got, p.payload...)
		return p.f.Bool(5)
	}
	if !take() || !take() {
		t.Fatal("the message ended within the window of two frames")
	}
	in.attach("probe", 2, true, plainQueue, "me") // answered before any third transfer
	in.send(amqp.CodeFlow, nil, uint32(2), uint32(100), uint32(0), uint32(100))
	for n := 0; take(); n++ {
		if n > 100 {
			t.Fatal("no end of the message")
		}
	}
	if !bytes.HasSuffix(got, sent) {
		t.Errorf("%d bytes received, want them to end with the %d sent", len(got), len(sent))
	}
}

// TestCreditBounds: no message without credit, drain returns what is unused,
// and a sender beyond its credit is detached.
func TestCreditBounds(t *testing.T) {
	c := plain(t, serve(t))
	c.attach("out", 1, false, plainQueue, "me")
	body := []byte{0, 0x53, 0x77, 0x40}
	c.send(amqp.CodeTransfer, body, uint32(1), uint32(0), []byte("t"), uint32(0), true)
	c.send(amqp.CodeTransfer, body, uint32(1), uint32(1), []byte("t"), uint32(0), true)
	c.attach("in", 2, true, plainQueue, "me") // no transfer before credit
	c.credit(2, 1)
	c.want(amqp.CodeTransfer)
	c.attach("probe", 3, true, dupQueue, "me") // nor beyond it
	c.send(amqp.CodeFlow, nil, uint32(1), uint32(100), uint32(2), uint32(100), uint32(3), uint32(0), uint32(50), nil, true)
	for n := 0; ; n++ {
		f, err := amqp.ReadFrame(c.r, 65536)
		if err != nil || n > 100 {
			t.Fatalf("no answer to drain: %v", err)
		}
		code, fields, _, err := amqp.Composite(f.Body)
		if err != nil {
			t.Fatal(err)
		}
		if code == amqp.CodeFlow && fields.Uint32(4, 99) == 3 {
			if fields.Uint32(5, 0) != 50 || fields.Uint32(6, 99) != 0 {
				t.Errorf("after drain delivery-count %v and credit %v, want 50 and 0", fields.At(5), fields.At(6))
			}
			return
		}
	}
}

// TestReceiversTakeTurns: credit on several links is used in turn.
func TestReceiversTakeTurns(t *testing.T) {
	c := plain(t, serve(t))
	c.attach("out", 1, false, plainQueue, "me")
	c.attach("a", 2, true, plainQueue, "me")
	c.attach("b", 3, true, plainQueue, "me")
	c.credit(2, 10)
	c.credit(3, 10)
	var got []uint32
	for i := range uint32(4) {
		c.send(amqp.CodeTransfer, []byte{0, 0x53, 0x77, 0x40}, uint32(1), i, []byte("t"), uint32(0), true)
		got = append(got, c.want(amqp.CodeTransfer).f.Uint32(0, 0))
	}
	if d := cmp.Diff([]uint32{2, 3, 2, 3}, got); d != "" {
		t.Errorf("handles (-want +got):\n%s", d)
	}
}
