package bussim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"portcullis/local/bussim/amqp"
)

const (
	maxFrame     = 65536
	maxSessions  = 2048
	maxOutbox    = 64 << 20               // bytes waiting for a peer that does not read; then it is cut off
	idleTimeout  = 120000                 // milliseconds, announced to the peer
	readPatience = 4 * time.Minute        // silence after which a peer is given up
	writeTimeout = 30 * time.Second       // for one batch of frames
	keepAlive    = 15 * time.Second       // longest pause between frames to the peer
	minKeepAlive = 250 * time.Millisecond // however short a pause the peer asks for
)

// Protocol headers.
const (
	headerAMQP = "AMQP\x00\x01\x00\x00"
	headerSASL = "AMQP\x03\x01\x00\x00"
)

// conn is one client connection. Its reader holds the broker's mutex while it
// acts on a frame; its writer never does.
type conn struct {
	broker *Broker
	nc     net.Conn
	out    outbox

	// Guarded by the broker's mutex.
	sessions  map[uint16]*session
	frameSize uint32               // the peer's limit
	claims    map[string]time.Time // what tokens grant: path -> expiry
	trusted   bool                 // SASL PLAIN proved a key: every path
	opened    bool
	dropped   bool
	later     []func() // run by the reader after it has let go of the mutex
}

func newConn(b *Broker, nc net.Conn) *conn {
	return &conn{
		broker: b, nc: nc,
		out:      outbox{wake: make(chan struct{}, 1), pace: make(chan time.Duration, 1)},
		sessions: make(map[uint16]*session), claims: make(map[string]time.Time),
		frameSize: 512,
	}
}

// run reads until the connection ends; nil means an orderly end.
func (c *conn) run() error {
	r := bufio.NewReaderSize(c.nc, 32<<10)
	if err := c.greet(r); err != nil {
		return quiet(err)
	}
	for {
		c.nc.SetReadDeadline(time.Now().Add(readPatience))
		f, err := amqp.ReadFrame(r, maxFrame)
		if err != nil {
			return quiet(err)
		}
		if f.Type != amqp.FrameAMQP || len(f.Body) == 0 {
			continue
		}
		code, fields, payload, err := amqp.Composite(f.Body)
		if err != nil {
			return err
		}
		if over, err := c.act(f.Channel, code, fields, payload); over || err != nil {
			return err
		}
	}
}

// act handles one performative and then what it left for later.
func (c *conn) act(channel uint16, code uint64, f amqp.Fields, payload []byte) (over bool, err error) {
	c.broker.mu.Lock()
	if c.dropped {
		c.broker.mu.Unlock()
		return true, nil
	}
	over, err = c.handle(channel, code, f, payload)
	if err != nil {
		c.send(0, amqp.New(amqp.CodeClose, errorOf("amqp:framing-error", err.Error())))
	}
	later := c.later
	c.later = nil
	c.broker.mu.Unlock()
	for _, do := range later {
		do()
	}
	return over, err
}

// quiet returns nil for the ways in which peers usually leave.
func quiet(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	var oe *net.OpError
	if errors.As(err, &oe) && !oe.Timeout() {
		return nil
	}
	return err
}

// handle acts on one performative.
func (c *conn) handle(channel uint16, code uint64, f amqp.Fields, payload []byte) (over bool, err error) {
	switch {
	case code == amqp.CodeOpen && !c.opened:
		c.open(f)
		return false, nil
	case !c.opened:
		return false, fmt.Errorf("performative %#x before open", code)
	case code == amqp.CodeClose:
		c.send(0, amqp.New(amqp.CodeClose))
		return true, nil
	case code == amqp.CodeBegin:
		return false, c.begin(channel, f)
	}
	s := c.sessions[channel]
	if s == nil {
		return false, fmt.Errorf("performative %#x on channel %d, which is not open", code, channel)
	}
	if code == amqp.CodeEnd {
		s.end()
		c.send(channel, amqp.New(amqp.CodeEnd))
		return false, nil
	}
	return false, s.handle(code, f, payload)
}

func (c *conn) open(f amqp.Fields) {
	c.opened = true
	c.frameSize = min(max(f.Uint32(2, maxFrame), 512), maxFrame)
	if ms := f.Uint32(4, 0); ms > 0 {
		c.out.pace <- max(min(time.Duration(ms)*time.Millisecond/2, keepAlive), minKeepAlive)
	}
	c.send(0, amqp.New(amqp.CodeOpen, "bussim", nil, uint32(maxFrame), uint16(65535), uint32(idleTimeout), nil, nil,
		nil, nil, amqp.Map{{Key: amqp.Symbol("product"), Value: "portcullis bussim"}}))
}

func (c *conn) begin(channel uint16, f amqp.Fields) error {
	if c.sessions[channel] != nil || len(c.sessions) >= maxSessions {
		return fmt.Errorf("begin on channel %d, which is in use, or one session too many", channel)
	}
	c.sessions[channel] = newSession(c, channel, f)
	c.send(channel, amqp.New(amqp.CodeBegin, channel, uint32(0), uint32(windowSize), uint32(windowSize), uint32(maxHandle)))
	return nil
}

// send queues a frame with the parts of v and payload.
func (c *conn) send(channel uint16, v any, payload ...[]byte) {
	parts := append([][]byte{amqp.Append(nil, v)}, payload...)
	if !c.out.put(amqp.FrameAMQP, channel, parts...) {
		c.nc.Close()
	}
}

// drop forgets the connection; the writer closes the socket after what is
// queued. The caller holds the broker's mutex.
func (c *conn) drop() {
	if c.dropped {
		return
	}
	c.dropped = true
	for _, s := range c.sessions {
		s.end()
	}
	delete(c.broker.conns, c)
	c.out.finish()
}

// write sends what is in the outbox until it is finished, then closes the
// socket.
func (c *conn) write() {
	defer c.nc.Close()
	pause := time.NewTicker(keepAlive)
	defer pause.Stop()
	for {
		var idle bool
		select {
		case <-c.out.wake:
		case d := <-c.out.pace:
			pause.Reset(d)
			continue
		case <-pause.C:
			idle = true
		}
		b, finished := c.out.take()
		if len(b) == 0 && idle && !finished {
			b = amqp.AppendFrame(nil, amqp.FrameAMQP, 0)
		}
		c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.nc.Write(b); err != nil || finished {
			return
		}
	}
}

// outbox collects frames for the writer, which takes them all at once.
type outbox struct {
	wake chan struct{}
	pace chan time.Duration // a new pause between keep-alives

	mu   sync.Mutex
	buf  []byte
	done bool
}

// put reports whether there was room.
func (o *outbox) put(kind byte, channel uint16, parts ...[]byte) bool {
	o.mu.Lock()
	room := len(o.buf) < maxOutbox
	if room && !o.done {
		o.buf = amqp.AppendFrame(o.buf, kind, channel, parts...)
	}
	o.mu.Unlock()
	o.signal()
	return room
}

func (o *outbox) finish() {
	o.mu.Lock()
	o.done = true
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) take() (b []byte, finished bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, o.buf = o.buf, nil
	return b, o.done
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
