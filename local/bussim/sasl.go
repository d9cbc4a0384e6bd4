package bussim

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"time"

	"portcullis/local/bussim/amqp"
)

const greetPatience = 30 * time.Second

// greet does protocol headers and SASL. A client may leave SASL out.
func (c *conn) greet(r *bufio.Reader) error {
	c.nc.SetReadDeadline(time.Now().Add(greetPatience))
	h, err := c.header(r)
	if err != nil {
		return err
	}
	if h == headerAMQP {
		return nil
	}
	if err := c.sasl(r); err != nil {
		return err
	}
	if h, err = c.header(r); err == nil && h != headerAMQP {
		err = errors.New("no AMQP header after SASL")
	}
	return err
}

// header reads a protocol header and answers it in kind; one that is not
// spoken here is answered with the one that is.
func (c *conn) header(r *bufio.Reader) (string, error) {
	h := make([]byte, 8)
	if _, err := io.ReadFull(r, h); err != nil {
		return "", err
	}
	switch got := string(h); got {
	case headerAMQP, headerSASL:
		return got, c.raw(got)
	default:
		return "", errors.Join(fmt.Errorf("protocol header %q", got), c.raw(headerSASL))
	}
}

// raw writes before the writer has anything to write.
func (c *conn) raw(s string) error {
	c.nc.SetWriteDeadline(time.Now().Add(greetPatience))
	_, err := io.WriteString(c.nc, s)
	return err
}

func (c *conn) frame(v any) error {
	return c.raw(string(amqp.AppendFrame(nil, amqp.FrameSASL, 0, amqp.Append(nil, v))))
}

func (c *conn) sasl(r *bufio.Reader) error {
	const ok, refused = uint8(0), uint8(1)
	mechanisms := amqp.Array{Type: amqp.TypeSymbol,
		Items: []any{amqp.Symbol("ANONYMOUS"), amqp.Symbol("PLAIN"), amqp.Symbol("MSSBCBS")}}
	if err := c.frame(amqp.New(amqp.CodeMechanisms, mechanisms)); err != nil {
		return err
	}
	f, err := amqp.ReadFrame(r, maxFrame)
	if err != nil {
		return err
	}
	code, init, _, err := amqp.Composite(f.Body)
	if err != nil || f.Type != amqp.FrameSASL || code != amqp.CodeInit {
		return errors.Join(errors.New("no sasl-init"), err)
	}
	if !c.admit(init) {
		return errors.Join(fmt.Errorf("SASL %s refused", init.Text(0)), c.frame(amqp.New(amqp.CodeOutcome, refused)))
	}
	return c.frame(amqp.New(amqp.CodeOutcome, ok))
}

// admit judges a sasl-init. ANONYMOUS and MSSBCBS promise nothing: claims come
// by tokens. PLAIN takes a key name and its key.
func (c *conn) admit(init amqp.Fields) bool {
	switch init.Text(0) {
	case "ANONYMOUS", "MSSBCBS":
		return true
	case "PLAIN":
		response, _ := init.At(1).([]byte)
		parts := bytes.Split(response, []byte{0})
		if len(parts) != 3 {
			return false
		}
		key, known := c.broker.config.Keys[string(parts[1])]
		if !known || subtle.ConstantTimeCompare([]byte(key), parts[2]) != 1 {
			return false
		}
		c.broker.mu.Lock()
		c.trusted = true
		c.broker.mu.Unlock()
		return true
	}
	return false
}
