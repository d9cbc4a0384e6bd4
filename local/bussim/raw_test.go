package bussim_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"portcullis/local/bussim/amqp"
)

// raw is a client that sends exactly the frames it is told to, in the order
// it is told to.
type raw struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// performative is what came back.
type performative struct {
	code    uint64
	f       amqp.Fields
	payload []byte
}

func connect(t *testing.T, s *stand) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &raw{t, nc, bufio.NewReader(nc)}
}

// opened is a connection with session 0, by way of the given SASL init.
func opened(t *testing.T, s *stand, init ...any) *raw {
	t.Helper()
	c := connect(t, s)
	if len(init) > 0 {
		if code := c.sasl(init...); code != 0 {
			t.Fatalf("SASL outcome %d", code)
		}
	}
	c.header("AMQP\x00\x01\x00\x00")
	c.send(amqp.CodeOpen, nil, "raw", "127.0.0.1", uint32(65536))
	c.want(amqp.CodeOpen)
	c.send(amqp.CodeBegin, nil, nil, uint32(0), uint32(100), uint32(100))
	c.want(amqp.CodeBegin)
	return c
}

func (c *raw) header(h string) {
	c.t.Helper()
	c.write([]byte(h))
	got := make([]byte, 8)
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != h {
		c.t.Fatalf("protocol header %q, %v; want %q", got, err, h)
	}
}

// sasl returns the outcome of a sasl-init with the given fields.
func (c *raw) sasl(init ...any) uint8 {
	c.t.Helper()
	c.header("AMQP\x03\x01\x00\x00")
	c.want(amqp.CodeMechanisms)
	c.write(amqp.AppendFrame(nil, amqp.FrameSASL, 0, amqp.Append(nil, amqp.New(amqp.CodeInit, init...))))
	outcome, ok := c.want(amqp.CodeOutcome).f.At(0).(uint8)
	if !ok {
		c.t.Fatal("the SASL outcome is not a ubyte")
	}
	return outcome
}

func (c *raw) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *raw) send(code uint64, payload []byte, fields ...any) {
	c.t.Helper()
	c.write(amqp.AppendFrame(nil, amqp.FrameAMQP, 0, amqp.Append(nil, amqp.New(code, fields...)), payload))
}

// next returns the next performative other than a flow.
func (c *raw) next() (performative, error) {
	for range 100 {
		f, err := amqp.ReadFrame(c.r, 65536)
		if err != nil {
			return performative{}, err
		}
		if len(f.Body) == 0 {
			continue
		}
		code, fields, payload, err := amqp.Composite(f.Body)
		if err != nil || code != amqp.CodeFlow {
			return performative{code, fields, payload}, err
		}
	}
	return performative{}, io.ErrNoProgress
}

func (c *raw) want(code uint64) performative {
	c.t.Helper()
	p, err := c.next()
	if err != nil || p.code != code {
		c.t.Fatalf("received %#x %v, %v; want %#x", p.code, p.f, err, code)
	}
	return p
}

// wantEnd asserts that the broker closes the connection.
func (c *raw) wantEnd() {
	c.t.Helper()
	for range 100 {
		if _, err := c.next(); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				c.t.Fatal("the connection stays open")
			}
			return
		}
	}
	c.t.Fatal("the connection stays open")
}

func at(code uint64, address any) any { return amqp.New(code, address) }

// attach opens a link: to address when it sends, from it when it receives.
func (c *raw) attach(name string, handle uint32, receiver bool, address, far any) performative {
	c.t.Helper()
	source, target := at(amqp.CodeSource, far), at(amqp.CodeTarget, address)
	if receiver {
		source, target = at(amqp.CodeSource, address), at(amqp.CodeTarget, far)
	}
	c.send(amqp.CodeAttach, nil, name, handle, receiver, uint8(1), uint8(0), source, target, nil, nil, uint32(0))
	return c.want(amqp.CodeAttach)
}

// wantRefused asserts a refused attach and returns the error's condition.
func (c *raw) wantRefused(attach performative) string {
	c.t.Helper()
	if attach.f.At(5) != nil || attach.f.At(6) != nil {
		c.t.Errorf("source %v and target %v of a refused attach are not null", attach.f.At(5), attach.f.At(6))
	}
	return c.wantDetach()
}

func (c *raw) wantDetach() string {
	c.t.Helper()
	d := c.want(amqp.CodeDetach)
	code, e, ok := amqp.Apart(d.f.At(2))
	condition, isSymbol := e.At(0).(amqp.Symbol)
	if !d.f.Bool(1) || !ok || code != amqp.CodeError || !isSymbol {
		c.t.Fatalf("detach %v, want closed with an error list", d.f)
	}
	return string(condition)
}

// credit grants link credit.
func (c *raw) credit(handle, n uint32) {
	c.t.Helper()
	c.send(amqp.CodeFlow, nil, uint32(0), uint32(100), uint32(0), uint32(100), handle, uint32(0), n)
}

// putToken asks $cbs on handles 0 and 1 and returns status code and text.
func (c *raw) putToken(kind, audience, token string) (int32, string) {
	c.t.Helper()
	c.attach("cbs-out", 0, false, "$cbs", nil)
	c.attach("cbs-in", 1, true, "$cbs", "replies")
	c.credit(1, 10)
	c.request(0, "replies", putToken(kind, audience, token), nil)
	r := c.reply()
	c.send(amqp.CodeDetach, nil, uint32(0), true)
	c.want(amqp.CodeDetach)
	c.send(amqp.CodeDetach, nil, uint32(1), true)
	c.want(amqp.CodeDetach)
	status, ok := r.Lookup("status-code").(int32)
	if !ok {
		c.t.Fatalf("status code is a %T, want an int32", r.Lookup("status-code"))
	}
	text, _ := r.Lookup("status-description").(string)
	return status, text
}

type put struct {
	props amqp.Map
	body  any
}

func putToken(kind, audience, token string) put {
	return put{amqp.Map{{Key: "operation", Value: "put-token"}, {Key: "type", Value: kind}, {Key: "name", Value: audience}}, token}
}

// request sends a settled request.
func (c *raw) request(handle uint32, replyTo string, p put, id any) {
	c.t.Helper()
	if id == nil {
		id = "request"
	}
	c.send(amqp.CodeTransfer, encoded(p, id, replyTo), handle, uint32(0), []byte("t"), uint32(0), true)
}

func encoded(p put, id any, replyTo string) []byte {
	b := amqp.Append(nil, amqp.New(amqp.CodeProperties, id, nil, nil, nil, replyTo))
	b = amqp.Append(b, amqp.Described{Descriptor: amqp.CodeApplicationProperties, Value: p.props})
	return amqp.Append(b, amqp.Described{Descriptor: amqp.CodeValue, Value: p.body})
}

// reply reads one response and returns its application properties.
func (c *raw) reply() amqp.Map {
	c.t.Helper()
	p := c.want(amqp.CodeTransfer)
	if !p.f.Bool(4) {
		c.t.Error("the reply is not settled")
	}
	sections, err := amqp.Sections(p.payload)
	if err != nil {
		c.t.Fatal(err)
	}
	var props amqp.Map
	for _, s := range sections {
		switch s.Code {
		case amqp.CodeProperties:
			if id := amqp.Fields(s.Value.(amqp.List)).At(5); id != "request" {
				c.t.Errorf("correlation-id %#v, want that of the request", id)
			}
		case amqp.CodeApplicationProperties:
			props = s.Value.(amqp.Map)
		}
	}
	return props
}

// sas signs a token as the SDKs do.
func sas(audience, name, key string, expiry time.Time) string {
	sr, se := url.QueryEscape(audience), fmt.Sprint(expiry.Unix())
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(sr + "\n" + se))
	sig := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s", sr, sig, se, name)
}
