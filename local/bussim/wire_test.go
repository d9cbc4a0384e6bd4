package bussim_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim/amqp"
)

const sasType = "servicebus.windows.net:sastoken"

// TestRefusedTokens checks that a claim must be earned.
func TestRefusedTokens(t *testing.T) {
	s := serve(t)
	soon := s.clock.now().Add(time.Hour)
	aud := "amqp://127.0.0.1/" + plainQueue
	for _, row := range []struct {
		name, kind, audience, token, says string
		status                            int32
	}{
		{"nothing", sasType, aud, "", "needs", 400},
		{"not a signature", sasType, aud, "sr=a", "not a shared", 401},
		{"no fields", sasType, aud, "SharedAccessSignature ", "malformed", 401},
		{"wrong key", sasType, aud, sas(aud, keyName, "other", soon), "invalid signature", 401},
		{"unknown name", sasType, aud, sas(aud, "nobody", "", soon), "invalid signature", 401},
		{"expired", sasType, aud, sas(aud, keyName, localKey, s.clock.now().Add(-time.Second)), "expired", 401},
		{"for another queue", sasType, aud, sas("amqp://127.0.0.1/other", keyName, localKey, soon), "another resource", 401},
		{"for a queue with a longer name", sasType, aud + "2", sas(aud, keyName, localKey, soon), "another resource", 401},
		{"jwt where none is accepted", "jwt", aud, "a.b.c", "no JSON", 401},
		{"unknown type", "other", aud, "x", "not known", 401},
		{"right", sasType, aud, sas(aud, keyName, localKey, soon), "Accepted", 202},
		{"for the namespace", sasType, aud, sas("amqp://127.0.0.1/", keyName, localKey, soon), "Accepted", 202},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := opened(t, s, amqp.Symbol("ANONYMOUS"))
			status, text := c.putToken(row.kind, row.audience, row.token)
			if status != row.status || !strings.Contains(text, row.says) {
				t.Errorf("answer %d %q, want %d with %q", status, text, row.status, row.says)
			}
			a := c.attach("l", 5, false, plainQueue, "me")
			if row.status != 202 {
				if got := c.wantRefused(a); got != "amqp:unauthorized-access" {
					t.Errorf("attach without a claim: %s", got)
				}
			} else if a.f.At(6) == nil {
				t.Error("attach with a claim is refused")
			}
		})
	}
}

func TestClaimsBelongToOneConnectionAndEnd(t *testing.T) {
	s := serve(t)
	aud := "AMQP://host:1/" + strings.ToUpper(plainQueue) + "/$management"
	first, second := opened(t, s), opened(t, s)
	if status, text := first.putToken(sasType, aud, sas(aud, keyName, localKey, s.clock.now().Add(time.Minute))); status != 202 {
		t.Fatal(status, text)
	}
	if got := second.wantRefused(second.attach("l", 5, false, plainQueue, "me")); got != "amqp:unauthorized-access" {
		t.Errorf("attach on another connection: %s", got)
	}
	if got := first.wantRefused(first.attach("other", 6, false, dupQueue, "me")); got != "amqp:unauthorized-access" {
		t.Errorf("attach to another queue: %s", got)
	}
	if a := first.attach("l", 5, false, plainQueue, "me"); a.f.At(6) == nil {
		t.Fatal("attach with a claim is refused")
	}
	if a := first.attach("in", 8, true, plainQueue, "me"); a.f.At(5) == nil {
		t.Fatal("attach with a claim is refused")
	}
	first.credit(8, 1)
	s.advance(2 * time.Minute)
	other := plain(t, s)
	other.attach("out", 1, false, plainQueue, "me")
	other.send(amqp.CodeTransfer, []byte{0, 0x53, 0x77, 0x40}, uint32(1), uint32(0), []byte("t"), uint32(0), false)
	if got := first.wantDetach(); got != "amqp:unauthorized-access" {
		t.Errorf("receive after the token expired: %s", got)
	}
	first.send(amqp.CodeTransfer, []byte{0, 0x53, 0x77, 0x40}, uint32(5), uint32(0), []byte("t"), uint32(0), false)
	if got := first.wantDetach(); got != "amqp:unauthorized-access" {
		t.Errorf("send after the token expired: %s", got)
	}
	if got := first.wantRefused(first.attach("l", 7, true, plainQueue, "me")); got != "amqp:unauthorized-access" {
		t.Errorf("attach after the token expired: %s", got)
	}
}

func TestSASL(t *testing.T) {
	s := serve(t)
	for _, row := range []struct {
		name string
		init []any
		want uint8
	}{
		{"unknown mechanism", []any{amqp.Symbol("EXTERNAL")}, 1},
		{"plain with a wrong key", []any{amqp.Symbol("PLAIN"), []byte("\x00" + keyName + "\x00wrong")}, 1},
		{"plain with an unknown name", []any{amqp.Symbol("PLAIN"), []byte("\x00nobody\x00")}, 1},
		{"plain without parts", []any{amqp.Symbol("PLAIN"), []byte("x")}, 1},
		{"plain", []any{amqp.Symbol("PLAIN"), []byte("\x00" + keyName + "\x00" + localKey)}, 0},
		{"anonymous", []any{amqp.Symbol("ANONYMOUS")}, 0},
		{"mssbcbs", []any{amqp.Symbol("MSSBCBS")}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := connect(t, s).sasl(row.init...); got != row.want {
				t.Errorf("outcome %d, want %d", got, row.want)
			}
		})
	}
}

// plain is a connection that may do everything.
func plain(t *testing.T, s *stand) *raw {
	return opened(t, s, amqp.Symbol("PLAIN"), []byte("\x00"+keyName+"\x00"+localKey))
}

// TestReplyWaitsForCredit: under load go-amqp sends the request before the
// flow that grants credit for the reply.
func TestReplyWaitsForCredit(t *testing.T) {
	c := opened(t, serve(t))
	c.attach("out", 0, false, "$cbs", nil)
	c.attach("in", 1, true, "$cbs", "replies")
	c.request(0, "replies", putToken("other", "a", "t"), nil)
	c.send(amqp.CodeAttach, nil, "probe", uint32(2), false, nil, nil, at(amqp.CodeSource, nil), at(amqp.CodeTarget, "$cbs"))
	c.want(amqp.CodeAttach) // and no transfer before it
	c.credit(1, 1)
	if r := c.reply(); r.Lookup("status-code") != int32(401) {
		t.Errorf("reply %v, want status 401", r)
	}
}

// TestReplyByLinkName: the JavaScript SDK gives its $cbs reply target no
// address and puts the link's name into reply-to.
func TestReplyByLinkName(t *testing.T) {
	c := opened(t, serve(t))
	c.attach("out", 0, false, "$cbs", nil)
	c.attach("cbs-link", 1, true, "$cbs", nil)
	c.credit(1, 1)
	c.request(0, "nobody", putToken("other", "a", "t"), nil)
	c.request(0, "cbs-link", putToken("other", "a", "t"), nil)
	c.reply()
}

// TestRefusedAttach: go-amqp 1.4.0 sees a refusal only when source and target
// are both null, and wants its settle modes back.
func TestRefusedAttach(t *testing.T) {
	c := plain(t, serve(t))
	for _, row := range []struct {
		name, address, want string
		receiver            bool
	}{
		{"send to a missing queue", missingQueue, "amqp:not-found", false},
		{"receive from a missing queue", missingQueue, "amqp:not-found", true},
		{"manage a missing queue", missingQueue + "/$management", "amqp:not-found", true},
		{"no address", "", "amqp:not-found", true},
		{"send to a dead-letter queue", plainQueue + "/$DeadLetterQueue", "amqp:not-allowed", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := c.attach("l", 3, row.receiver, row.address, "me")
			if d := cmp.Diff([]any{uint8(1), uint8(0)}, []any{a.f.At(3), a.f.At(4)}); d != "" {
				t.Errorf("settle modes (-want +got):\n%s", d)
			}
			if got := c.wantRefused(a); got != row.want {
				t.Errorf("refused with %s, want %s", got, row.want)
			}
		})
	}
}

// TestAttachEchoesTerminus: a source in the place of the target ends the Go
// client's connection.
func TestAttachEchoesTerminus(t *testing.T) {
	c := plain(t, serve(t))
	for _, receiver := range []bool{false, true} {
		handle := uint32(1)
		if receiver {
			handle = 2
		}
		address, far := plainQueue, "me"
		a := c.attach("l", handle, receiver, address, far)
		if receiver {
			address, far = far, address
		}
		want := []any{at(amqp.CodeSource, far), at(amqp.CodeTarget, address), !receiver}
		if d := cmp.Diff(want, []any{a.f.At(5), a.f.At(6), a.f.At(2)}); d != "" {
			t.Errorf("source, target and role (-want +got):\n%s", d)
		}
		if size, ok := a.f.At(10).(uint64); !ok || size == 0 {
			t.Errorf("max-message-size %v, want a ulong", a.f.At(10))
		}
	}
}

// TestBytesAreKept: what the broker has no business with must not change, and
// a message gets an id only when it has none.
func TestBytesAreKept(t *testing.T) {
	c := plain(t, serve(t))
	c.attach("out", 1, false, plainQueue, "me")
	c.attach("in", 2, true, plainQueue, "me")
	c.credit(2, 10)
	// Wide encodings that a codec would shorten, and types Go has no names for.
	rest := append([]byte{0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x73, 0xc0, 4, 1, 0xa1, 1, 'i'}, // properties
		0, 0x53, 0x74, 0xc1, 21, 4, 0xa1, 1, 'l', 0x81, 0, 0, 0, 0, 0, 0, 0, 1, 0xa1, 1, 'd', 0x74, 0, 0, 0, 1, // application properties
		0, 0x53, 0x77, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x43, // value
		0, 0x53, 0x78, 0xc1, 1, 0) // footer
	note := amqp.Append(nil, amqp.Described{Descriptor: amqp.CodeMessageAnnotations, Value: amqp.Map{
		{Key: amqp.Symbol("mine"), Value: int64(1)},
		{Key: amqp.Symbol("x-opt-partition-key"), Value: int64(1)},     // would crash the Go client
		{Key: amqp.Symbol("x-opt-sequence-number"), Value: "forged"}}}) // too
	c.send(amqp.CodeTransfer, append(note, rest...), uint32(1), uint32(0), []byte("t"), uint32(0), true)
	got := c.want(amqp.CodeTransfer).payload
	if !bytes.HasSuffix(got, rest) {
		t.Errorf("received %x, want it to end as sent: %x", got, rest)
	}
	sections, err := amqp.Sections(got)
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]any)
	for _, s := range sections {
		if s.Code == amqp.CodeMessageAnnotations {
			for _, p := range s.Value.(amqp.Map) {
				name, _ := amqp.Text(p.Key)
				types[name] = p.Value
			}
		}
	}
	for name, want := range map[string]any{"mine": int64(1), "x-opt-partition-key": nil, "x-opt-sequence-number": int64(1),
		"x-opt-message-state": int32(0), "x-opt-enqueue-sequence-number": int64(1)} {
		if d := cmp.Diff(want, types[name]); d != "" {
			t.Errorf("annotation %s (-want +got):\n%s", name, d)
		}
	}
	if _, ok := types["x-opt-enqueued-time"].(amqp.Timestamp); !ok {
		t.Errorf("x-opt-enqueued-time is a %T, want a timestamp", types["x-opt-enqueued-time"])
	}
}

// TestHostilePeers: the connection ends, the broker does not.
func TestHostilePeers(t *testing.T) {
	s := serve(t)
	for _, row := range []struct {
		name string
		do   func(c *raw)
	}{
		{"another protocol", func(c *raw) { c.write([]byte("GET / HT")) }},
		{"begin before open", func(c *raw) {
			c.header("AMQP\x00\x01\x00\x00")
			c.send(amqp.CodeBegin, nil, nil, uint32(0), uint32(1), uint32(1))
		}},
		{"a frame of 4 GiB", func(c *raw) {
			c.header("AMQP\x00\x01\x00\x00")
			c.write([]byte{255, 255, 255, 255, 2, 0, 0, 0})
		}},
		{"bytes that are no performative", func(c *raw) {
			c.header("AMQP\x00\x01\x00\x00")
			c.write(amqp.AppendFrame(nil, amqp.FrameAMQP, 0, []byte{0x40}))
		}},
		{"attach outside of a session", func(c *raw) {
			c.header("AMQP\x00\x01\x00\x00")
			c.send(amqp.CodeOpen, nil, "raw")
			c.want(amqp.CodeOpen)
			c.send(amqp.CodeAttach, nil, "l")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := connect(t, s)
			row.do(c)
			c.wantEnd()
		})
	}
	t.Run("a handle that is too high", func(t *testing.T) {
		c := plain(t, s)
		c.send(amqp.CodeAttach, nil, "l", uint32(1<<20), false)
		c.wantEnd()
	})
	t.Run("a disposition of all deliveries there could be", func(t *testing.T) {
		c := plain(t, s)
		c.send(amqp.CodeDisposition, nil, true, uint32(0), uint32(1<<32-1), false, amqp.New(amqp.CodeAccepted))
		c.attach("still alive", 1, true, plainQueue, "me")
	})
	t.Run("a message without end", func(t *testing.T) {
		c := plain(t, s)
		c.attach("l", 1, false, plainQueue, "me")
		for range 17 {
			c.send(amqp.CodeTransfer, make([]byte, 64000), uint32(1), uint32(0), []byte("t"), uint32(0), false, true)
		}
		if got := c.wantDetach(); got != "amqp:link:message-size-exceeded" {
			t.Errorf("detached with %s", got)
		}
	})
	t.Run("messages that are none", func(t *testing.T) {
		c := plain(t, s)
		c.attach("l", 1, false, plainQueue, "me")
		long := amqp.Append(nil, amqp.New(amqp.CodeProperties, strings.Repeat("x", 129)))
		for i, payload := range [][]byte{{0x40}, {0, 0x53, 0x75}, long} {
			c.send(amqp.CodeTransfer, payload, uint32(1), uint32(i), []byte("t"), uint32(0), false)
			code, _, _ := amqp.Apart(c.want(amqp.CodeDisposition).f.At(4))
			if code != amqp.CodeRejected {
				t.Errorf("payload %x settled as %#x, want rejected", payload, code)
			}
		}
	})
}
