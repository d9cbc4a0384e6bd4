package gate_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/local/gate"
)

// patience is how long a test that fails waits.
const patience = time.Minute

// open returns a gate in front of a machine that says hello and then repeats each line.
func open(t *testing.T, admits func(netip.Addr) bool) *gate.Gate {
	t.Helper()
	return openTo(t, admits, func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			fmt.Fprintln(far, "hello")
			_, _ = io.Copy(far, far)
		}()
		return near, nil
	})
}

func openTo(t *testing.T, admits func(netip.Addr) bool, dial func(context.Context) (net.Conn, error)) *gate.Gate {
	t.Helper()
	g := &gate.Gate{Listen: "127.0.0.1:0", Admits: admits, Every: time.Millisecond, Dial: dial}
	if err := g.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func dial(t *testing.T, g *gate.Gate) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// says checks the next line.
func says(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if got, err := r.ReadString('\n'); got != want+"\n" {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// cut checks that the connection has ended, by the gate and not by the deadline.
func cut(t *testing.T, r *bufio.Reader) {
	t.Helper()
	got, err := r.ReadString('\n')
	var timeout net.Error
	if err == nil || got != "" || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection is not cut: %q, %v", got, err)
	}
}

// TestNobodyElse: no address but this machine's own is listened on.
func TestNobodyElse(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", ":0", "localhost:0", ""} {
		if err := (&gate.Gate{Listen: address}).Open(); err == nil {
			t.Errorf("%q is listened on", address)
		}
	}
}

// TestShut: without a rule nobody comes in, and the machine is not even dialled.
func TestShut(t *testing.T) {
	var asked atomic.Value
	g := openTo(t, func(from netip.Addr) bool { asked.Store(from); return false },
		func(context.Context) (net.Conn, error) { t.Error("dialled"); return nil, io.EOF })
	_, r := dial(t, g)
	cut(t, r)
	if asked.Load() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("asked for %v", asked.Load())
	}
}

// TestStands: what is admitted passes, both ways, until it is admitted no more; then those that stand are cut, and no new ones come in.
func TestStands(t *testing.T) {
	var admitted atomic.Bool
	admitted.Store(true)
	g := open(t, func(netip.Addr) bool { return admitted.Load() })
	first, r1 := dial(t, g)
	_, r2 := dial(t, g)
	says(t, r1, "hello")
	says(t, r2, "hello")
	fmt.Fprintln(first, "once more")
	says(t, r1, "once more")
	admitted.Store(false)
	cut(t, r1)
	cut(t, r2)
	_, r3 := dial(t, g)
	cut(t, r3)
	admitted.Store(true)
	_, r4 := dial(t, g)
	says(t, r4, "hello")
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	cut(t, r4)
}

// TestUnreachable: a machine that cannot be dialled ends the connection.
func TestUnreachable(t *testing.T) {
	g := openTo(t, func(netip.Addr) bool { return true }, func(context.Context) (net.Conn, error) { return nil, io.EOF })
	_, r := dial(t, g)
	cut(t, r)
}

// TestMany: connections that have ended leave their places to others.
func TestMany(t *testing.T) {
	g := open(t, func(netip.Addr) bool { return true })
	for range 150 {
		conn, r := dial(t, g)
		says(t, r, "hello")
		conn.Close()
	}
}
