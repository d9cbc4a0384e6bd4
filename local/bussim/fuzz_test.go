package bussim_test

import (
	"io"
	"net"
	"testing"
	"time"

	"portcullis/local/bussim/amqp"
)

// FuzzConnection sends bytes to a broker after an honest beginning. Whatever
// they are, the connection ends in order and the broker goes on.
func FuzzConnection(f *testing.F) {
	frame := func(code uint64, payload []byte, fields ...any) []byte {
		return amqp.AppendFrame(nil, amqp.FrameAMQP, 0, amqp.Append(nil, amqp.New(code, fields...)), payload)
	}
	attach := func(handle uint32, receiver bool, address string) []byte {
		return frame(amqp.CodeAttach, nil, address, handle, receiver, uint8(2), uint8(1),
			at(amqp.CodeSource, address), at(amqp.CodeTarget, address))
	}
	flow := frame(amqp.CodeFlow, nil, uint32(0), uint32(9), uint32(0), uint32(9), uint32(1), uint32(0), uint32(9))
	transfer := func(payload []byte) []byte {
		return frame(amqp.CodeTransfer, payload, uint32(0), uint32(0), []byte("t"), uint32(0), false)
	}
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	value := []byte{0, 0x53, 0x77, 0x40}
	for _, state := range []any{amqp.New(amqp.CodeAccepted), amqp.New(amqp.CodeReleased), amqp.New(amqp.CodeModified, true, true),
		amqp.New(amqp.CodeModified, false, false), amqp.New(amqp.CodeRejected)} {
		f.Add(join(attach(0, false, plainQueue), attach(1, true, plainQueue), flow, transfer(value),
			frame(amqp.CodeDisposition, nil, true, uint32(0), nil, false, state), frame(amqp.CodeDetach, nil, uint32(1), true)))
	}
	for _, p := range []put{
		{amqp.Map{{Key: "operation", Value: "com.microsoft:peek-message"}}, amqp.Map{{Key: "from-sequence-number", Value: int64(0)}, {Key: "message-count", Value: int32(5)}}},
		{amqp.Map{{Key: "operation", Value: "com.microsoft:renew-lock"}}, amqp.Map{{Key: "lock-tokens", Value: amqp.Array{Type: amqp.TypeUUID, Items: []any{amqp.UUID{}}}}}},
		{amqp.Map{{Key: "operation", Value: "com.microsoft:receive-by-sequence-number"}}, amqp.Map{{Key: "sequence-numbers", Value: amqp.List{int64(1)}}}},
		{amqp.Map{{Key: "operation", Value: "com.microsoft:schedule-message"}}, amqp.Map{{Key: "messages", Value: amqp.List{amqp.Map{{Key: "message", Value: value}}}}}},
		{amqp.Map{{Key: "operation", Value: "com.microsoft:update-disposition"}}, amqp.Map{{Key: "lock-tokens", Value: amqp.List{amqp.UUID{1}}}}},
	} {
		m := plainQueue + "/$management"
		f.Add(join(attach(0, false, m), attach(1, true, m), flow, transfer(encoded(p, "id", m))))
	}
	s := serve(f)
	start := join([]byte("AMQP\x03\x01\x00\x00"),
		amqp.AppendFrame(nil, amqp.FrameSASL, 0, amqp.Append(nil, amqp.New(amqp.CodeInit, amqp.Symbol("PLAIN"), []byte("\x00"+keyName+"\x00"+localKey)))),
		[]byte("AMQP\x00\x01\x00\x00"), frame(amqp.CodeOpen, nil, "fuzz"), frame(amqp.CodeBegin, nil, nil, uint32(0), uint32(9), uint32(9)))
	f.Fuzz(func(t *testing.T, in []byte) {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		go func() { // the broker may close while this still writes
			nc.Write(append(start[:len(start):len(start)], in...))
			nc.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, nc); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatalf("the connection does not end after %x", in)
			}
		}
		if _, err := s.Counts(plainQueue); err != nil {
			t.Fatal(err)
		}
	})
}
