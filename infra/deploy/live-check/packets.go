package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"
)

const (
	lagBound = 5 * time.Minute        // how long packets are waited for
	between  = 200 * time.Millisecond // from one new connection to the next
	inARow   = 3                      // as many have to fail, since one may be lost
)

// door is the port of a machine that somebody lends, and where this machine's connections come from.
type door struct {
	address string
	port    int
	from    netip.Prefix
}

// parseDoor reads the two flags. Neither is no door; the rule that opens must not let in the world.
func parseDoor(address, from string) (door, error) {
	if address == "" && from == "" {
		return door{}, nil
	}
	host, text, err := net.SplitHostPort(address)
	port, bad := strconv.Atoi(text)
	if err != nil || bad != nil || host == "" || port < 1 || port > 65535 {
		return door{}, fmt.Errorf("-packets %q is not host:port", address)
	}
	prefix, err := netip.ParsePrefix(from)
	if ip, single := netip.ParseAddr(from); single == nil {
		prefix, err = netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	if err != nil || prefix.Bits() < prefix.Addr().BitLen()/2 || prefix.Addr().Zone() != "" {
		return door{}, fmt.Errorf("-from %q is not this machine's public address, or a range of it no wider than /16, or /64 of IPv6", from)
	}
	return door{address, port, prefix.Masked()}, nil
}

// dialer makes the connections. A live one is asked for a sign of life every two seconds, which the
// machine's kernel answers whatever listens there; without an answer it fails after three.
func dialer() *net.Dialer {
	return &net.Dialer{Timeout: time.Second, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: 2 * time.Second, Count: 3}}
}

// packets opens and closes the port for this machine, and looks at what connections make of it.
func (l *live) packets(ctx context.Context) error {
	const fact = "packets after Succeeded, and live connections"
	if l.door.address == "" {
		l.skip(fact, "no -packets host:port and -from address")
		return nil
	}
	if why, err := l.attach(ctx); why != "" || err != nil {
		l.skip(fact, why)
		return err
	}
	since, err := l.swing(ctx, false, false)
	if err != nil {
		return err
	}
	shut, ok, err := l.fails(ctx, since)
	if err != nil {
		return err
	}
	if !ok {
		l.note(fact, "", "unclear: connections pass with the port closed, another way leads in")
		return nil
	}
	l.note("new connections fail once attached, after", "", shut)
	for _, flush := range []bool{false, true} {
		passed, err := l.open(ctx, !flush)
		if err != nil {
			return err
		}
		if !passed {
			l.note(fact, "", "unclear: no connection ever passed; is there a listener, is -from right, is there no other security group?")
			return nil
		}
		closed, fate, err := l.close(ctx, flush)
		if err != nil {
			return err
		}
		if flush {
			l.note("closing with flushConnection: true: new connections fail after Succeeded by", "", closed)
			l.note("  a live connection", "", fate)
			continue
		}
		l.note("closing: new connections fail after Succeeded by", "", closed)
		l.note("  a live connection", "survives", fate)
	}
	return nil
}

// open opens the port, and reports whether a connection passed then. The times are noted where that is wanted.
func (l *live) open(ctx context.Context, noted bool) (bool, error) {
	began := l.now()
	since, err := l.swing(ctx, true, false)
	if err != nil {
		return false, err
	}
	opened, passed, err := l.passes(ctx, since)
	if err != nil {
		return false, err
	}
	if noted {
		l.note("a write to a security group in use until Succeeded", "", since.Sub(began).Round(time.Millisecond).String())
		l.note("a new connection passes after Succeeded by", "", opened)
	}
	return passed, nil
}

// close makes a connection, closes the port, and says when new ones fail and what became of the one that was.
func (l *live) close(ctx context.Context, flush bool) (lag, fate string, err error) {
	conn, err := l.dial(ctx, l.door.address)
	if err != nil {
		why := "unclear: no connection to close on: " + err.Error()
		return why, why, ctx.Err()
	}
	defer conn.Close()
	since, err := l.swing(ctx, false, flush)
	if err != nil {
		return "", "", err
	}
	lag, ok, err := l.fails(ctx, since)
	if err != nil {
		return "", "", err
	}
	if !ok {
		return lag, "unclear: the closing was not seen", nil
	}
	return lag, fateOf(conn, l.watch), nil
}

// swing writes the security group so that it lets this machine in or keeps it out, and gives the moment at which
// Resource Manager was seen to say Succeeded.
func (l *live) swing(ctx context.Context, open, flush bool) (time.Time, error) {
	one := func(name string, priority int, access string) map[string]any {
		r := rule(name, priority, l.door.from.String())
		p := r["properties"].(map[string]any)
		p["access"], p["destinationAddressPrefix"], p["destinationPortRange"] = access, "*", strconv.Itoa(l.door.port)
		return r
	}
	rules := []map[string]any{one("shut", 210, "Deny")}
	if open {
		rules = append(rules, one("open", 200, "Allow"))
	}
	if _, err := l.settle(ctx); err != nil {
		return time.Time{}, err
	}
	l.opened = l.opened || open
	a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(map[string]any{"flushConnection": flush}, rules...))
	if err != nil {
		return time.Time{}, err
	}
	if a.status >= 300 {
		return time.Time{}, fmt.Errorf("write %s: %s %s", l.id, a, a.text("error", "message"))
	}
	now, err := l.settle(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if state := now.text("properties", "provisioningState"); state != "Succeeded" {
		return time.Time{}, fmt.Errorf("write %s: it ended as %q", l.id, state)
	}
	l.opened = open
	return l.now(), nil
}

// passes tries new connections until one passes, and gives how long after since it was begun.
func (l *live) passes(ctx context.Context, since time.Time) (lag string, ok bool, err error) {
	return l.probe(ctx, since, 1, func(err error) bool { return err == nil })
}

// fails tries new connections until several in a row fail, and gives how long after since the first of them was begun.
func (l *live) fails(ctx context.Context, since time.Time) (lag string, ok bool, err error) {
	return l.probe(ctx, since, inARow, func(err error) bool { return err != nil })
}

func (l *live) probe(ctx context.Context, since time.Time, row int, is func(error) bool) (lag string, ok bool, err error) {
	seen := 0
	var first time.Time
	for {
		began := l.now()
		if seen == 0 && began.Sub(since) > lagBound {
			return "not within " + lagBound.String(), false, nil
		}
		conn, failed := l.dial(ctx, l.door.address)
		if failed == nil {
			conn.Close()
		}
		if err := ctx.Err(); err != nil {
			return "", false, err
		}
		if !is(failed) {
			seen = 0
		} else if seen++; seen == 1 {
			first = began
		}
		if seen == row {
			return first.Sub(since).Round(100 * time.Millisecond).String(), true, nil
		}
		if err := l.sleep(ctx, between); err != nil {
			return "", false, err
		}
	}
}

// fateOf waits for the end of a connection that nothing is written to, for as long as watch.
func fateOf(conn net.Conn, watch time.Duration) string {
	if err := conn.SetReadDeadline(time.Now().Add(watch)); err != nil {
		return "unclear: " + err.Error()
	}
	_, err := io.Copy(io.Discard, conn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "survives"
	case err == nil:
		return "unclear: the machine ended it"
	}
	return "is cut"
}

// attach asks for the security group to be put on the machine, which lies outside what may be touched here. It gives
// why nothing can be tried when that was not done, or not as asked.
func (l *live) attach(ctx context.Context) (why string, err error) {
	fmt.Fprintf(l.progress, `Put the security group on the one network interface of the machine at %s, in place of its own, within %s:
  az network nic update --ids <interface> --network-security-group %s
`, l.door.address, forPerson, l.id)
	interfaces, subnets := 0, 0
	err = l.until(ctx, forPerson, func() (bool, error) {
		interfaces, subnets, err = l.users(ctx)
		return interfaces+subnets > 0, err
	})
	if errors.Is(err, errLate) {
		return "the security group was not put on a machine within " + forPerson.String(), nil
	}
	if err == nil && (interfaces != 1 || subnets != 0) {
		return fmt.Sprintf("the security group is on %d interfaces and %d subnets, and may be on one interface alone", interfaces, subnets), nil
	}
	return "", err
}

// detach asks for the security group to be taken off again, if it is in use, and waits for it.
func (l *live) detach(ctx context.Context) error {
	interfaces, subnets, err := l.users(ctx)
	if err != nil || interfaces+subnets == 0 {
		return err
	}
	fmt.Fprintf(l.progress, `Give the machine its own security group back, within %s:
  az network nic update --ids <interface> --network-security-group <its own>
`, forPerson)
	err = l.until(ctx, forPerson, func() (bool, error) {
		interfaces, subnets, err = l.users(ctx)
		return interfaces+subnets == 0, err
	})
	if err != nil {
		return fmt.Errorf("%s is in use still: %w", l.id, err)
	}
	return nil
}

// users counts what the security group is attached to.
func (l *live) users(ctx context.Context) (interfaces, subnets int, err error) {
	a, err := l.call(ctx, http.MethodGet, l.id, nil, nil)
	properties, _ := a.doc["properties"].(map[string]any)
	on, _ := properties["networkInterfaces"].([]any)
	in, _ := properties["subnets"].([]any)
	return len(on), len(in), err
}
