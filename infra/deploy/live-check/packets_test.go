package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/local/armsim"
)

const nicID = "/subscriptions/" + sub + "/resourceGroups/vms/providers/Microsoft.Network/networkInterfaces/vm"

var errDropped = errors.New("i/o timeout")

// plane is a data plane: a listener on this machine that new connections reach when the last write to the security
// group let them, some tries late, and live ones that outlive it or do not.
type plane struct {
	*rig
	lag   int  // tries after a change that see what was before
	cuts  bool // flushConnection ends what is live
	ends  bool // the machine itself ends what is live with every closing
	stuck bool // no change ever takes effect

	listener net.Listener
	accepted chan net.Conn
	state    sync.Mutex
	conns    []net.Conn
	open     bool // in effect
	wanted   bool
	behind   int
	tries    int
	passed   int
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{listener: listener, accepted: make(chan net.Conn, 1)}
	p.rig = newRig(t, asked{packets: listener.Addr().String(), from: "127.0.0.1"}, token{})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(p.accepted)
				return
			}
			p.accepted <- conn
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		for range p.accepted { // until the loop has ended
		}
		for _, conn := range p.conns {
			conn.Close()
		}
	})
	real := p.live.dial
	p.live.dial = func(ctx context.Context, address string) (net.Conn, error) { return p.dial(ctx, address, real) }
	p.live.watch = 100 * time.Millisecond
	p.after = func(r *http.Request, body []byte, status int) { p.wrote(r, body, status) }
	p.person = p.does("vm")
	return p
}

// does puts the security group on interfaces, and takes it off, as it is told to.
func (p *plane) does(names ...string) func(string) {
	return func(text string) {
		ref := ""
		if strings.HasPrefix(text, "Put") {
			if !strings.Contains(text, "--network-security-group "+nsgID+"\n") {
				p.t.Errorf("a person is told %q", text)
			}
			ref = `"networkSecurityGroup":{"id":"` + nsgID + `"}`
		}
		for _, name := range names {
			p.put(strings.TrimSuffix(nicID, "vm")+name, `{"location":"westeurope","properties":{`+ref+`}}`)
		}
	}
}

// wrote takes over what a write of the security group says of the port, and says whether it opens it.
func (p *plane) wrote(r *http.Request, body []byte, status int) (opens bool) {
	if r.Method != http.MethodPut || r.URL.Path != nsgID || status >= 300 {
		return false
	}
	var doc struct {
		Properties struct {
			FlushConnection bool
			SecurityRules   []struct {
				Name       string
				Properties struct{ Access, SourceAddressPrefix, DestinationPortRange string }
			}
		}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		p.t.Error(err)
	}
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	p.state.Lock()
	defer p.state.Unlock()
	p.wanted = false
	for _, rule := range doc.Properties.SecurityRules {
		if rule.Properties.Access == "Allow" && rule.Properties.DestinationPortRange == port {
			p.wanted = true
			if rule.Properties.SourceAddressPrefix != "127.0.0.1/32" {
				p.t.Errorf("the port was opened to %s", rule.Properties.SourceAddressPrefix)
			}
		}
	}
	p.behind = p.lag
	if p.wanted {
		return true
	}
	for _, conn := range p.conns {
		switch {
		case p.ends:
			conn.Close()
		case p.cuts && doc.Properties.FlushConnection:
			_ = conn.(*net.TCPConn).SetLinger(0) // no farewell
			conn.Close()
		}
	}
	return false
}

func (p *plane) dial(ctx context.Context, address string, real func(context.Context, string) (net.Conn, error)) (net.Conn, error) {
	p.state.Lock()
	defer p.state.Unlock()
	p.tries++
	if p.behind > 0 {
		p.behind--
	} else if !p.stuck {
		p.open = p.wanted
	}
	if !p.open {
		p.pass(800 * time.Millisecond)
		return nil, errDropped
	}
	conn, err := real(ctx, address)
	if err == nil {
		p.passed++
		p.conns = append(p.conns, <-p.accepted)
	}
	return conn, err
}

// wantShut holds that the last word to the security group left the port closed, and that the machine got its own back.
func (p *plane) wantShut() {
	p.t.Helper()
	if p.wanted {
		p.t.Error("the port was left open")
	}
	nic, _ := p.arm.Get(nicID)
	if strings.Contains(string(nic), nsgID) {
		p.t.Error("the machine was left with the check's security group")
	}
	p.wantClean()
}

func TestPackets(t *testing.T) {
	p := newPlane(t)
	p.lag, p.cuts = 2, true
	if err := p.check(); err != nil {
		t.Fatal(err)
	}
	p.wantRows(map[string]string{
		"new connections fail once attached, after":                                   "0s | for information",
		"a new connection passes after Succeeded by":                                  "2s | for information", // two tries of 0.8 s and the pauses
		"closing: new connections fail after Succeeded by":                            "400ms | for information",
		"closing with flushConnection: true: new connections fail after Succeeded by": "400ms | for information",
	})
	if _, text, _ := strings.Cut(p.table.String(), "closing: new"); !strings.Contains(strings.Split(text, "\n")[1], "as taken") {
		t.Errorf("a live connection did not outlive the closing:\n%s", p.table.String())
	}
	if _, text, _ := strings.Cut(p.table.String(), "closing with flush"); !strings.Contains(strings.Split(text, "\n")[1], "is cut") {
		t.Errorf("a live connection outlived the flush:\n%s", p.table.String())
	}
	p.wantShut()
}

// TestPacketsOtherwise: live connections that do not do as expected, in the order without and with flushConnection.
func TestPacketsOtherwise(t *testing.T) {
	fates := func(p *plane) (got []string) {
		for _, line := range strings.Split(p.table.String(), "\n") {
			if cells := columns.Split(strings.TrimSpace(line), -1); cells[0] == "a live connection" {
				got = append(got, strings.Join(cells[1:], " | "))
			}
		}
		return got
	}
	for name, test := range map[string]struct {
		set  func(p *plane)
		want string
	}{
		"nothing cuts":        {func(*plane) {}, "survives | survives | as taken, survives | for information"},
		"flushing cuts":       {func(p *plane) { p.cuts = true }, "survives | survives | as taken, is cut | for information"},
		"the machine ends it": {func(p *plane) { p.ends = true }, "survives | unclear: the machine ended it | unclear, unclear: the machine ended it | unclear"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			test.set(p)
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(fates(p), ", "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			p.wantShut()
		})
	}
	t.Run("every closing cuts", func(t *testing.T) {
		conn, other := pair(t)
		_ = other.SetLinger(0)
		other.Close()
		if got := fateOf(conn, time.Minute); got != "is cut" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("the machine talks", func(t *testing.T) {
		conn, other := pair(t)
		if _, err := other.Write([]byte("SSH-2.0-x\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := fateOf(conn, 100*time.Millisecond); got != "survives" {
			t.Errorf("got %q", got)
		}
	})
}

// pair gives the two ends of a connection.
func pair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := dialer().DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); other.Close() })
	return conn, other.(*net.TCPConn)
}

const packetRow = "packets after Succeeded, and live connections"

// TestPacketsBounded: what never comes is not waited for without end.
func TestPacketsBounded(t *testing.T) {
	t.Run("no connection passes", func(t *testing.T) {
		p := newPlane(t)
		p.stuck = true
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		p.wantRows(map[string]string{
			"a new connection passes after Succeeded by": "not within 5m0s | for information",
			packetRow: "unclear: no connection ever passed; is there a listener, is -from right, is there no other security group? | unclear",
		})
		if want := inARow + 301; p.tries != want { // one a second, by its clock
			t.Errorf("%d tries, want %d", p.tries, want)
		}
		p.wantShut()
	})
	t.Run("connections always pass", func(t *testing.T) {
		p := newPlane(t)
		p.open, p.stuck = true, true
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
		p.wantRows(map[string]string{packetRow: "unclear: connections pass with the port closed, another way leads in | unclear"})
		if want := 1501; p.tries != want || p.passed != want {
			t.Errorf("%d tries of which %d passed, want %d", p.tries, p.passed, want)
		}
		p.wantShut()
	})
	t.Run("one lost packet is no closing", func(t *testing.T) {
		l, n := newRig(t, asked{}, token{}).live, 0
		l.dial = func(context.Context, string) (net.Conn, error) {
			if n++; n%3 == 0 || n > 6 {
				return nil, errDropped
			}
			conn, _ := net.Pipe()
			return conn, nil
		}
		if lag, ok, err := l.fails(t.Context(), l.now()); lag != "1s" || !ok || err != nil {
			t.Errorf("got %q, %v, %v", lag, ok, err)
		}
		if n != 8 { // the sixth was lost as well, and the next two failed
			t.Errorf("%d tries", n)
		}
	})
}

func TestPacketsSkipped(t *testing.T) {
	for name, test := range map[string]struct {
		does func(p *plane) func(string)
		want string
	}{
		"nobody does it": {func(*plane) func(string) { return nil }, "skipped: the security group was not put on a machine within 10m0s | skipped"},
		"two machines": {func(p *plane) func(string) { return p.does("vm", "vm2") },
			"skipped: the security group is on 2 interfaces and 0 subnets, and may be on one interface alone | skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(t)
			p.person = test.does(p)
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			p.wantRows(map[string]string{packetRow: test.want})
			if p.tries != 0 {
				t.Errorf("%d connections were tried", p.tries)
			}
			p.wantShut()
		})
	}
}

// TestPortIsClosedWhateverHappens: an interrupt, or writes that fail, while the port is open.
func TestPortIsClosedWhateverHappens(t *testing.T) {
	t.Run("an interrupt", func(t *testing.T) {
		p := newPlane(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		p.after = func(r *http.Request, body []byte, status int) {
			if p.wrote(r, body, status) {
				stop()
			}
		}
		if err := p.live.check(ctx, &p.table); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		p.wantShut()
	})
	t.Run("writes that are refused", func(t *testing.T) {
		p := newPlane(t)
		left := 1
		p.after = func(r *http.Request, body []byte, status int) {
			if p.wrote(r, body, status) && left > 0 {
				left--
				p.arm.Tune(func(k *armsim.Knobs) { k.Writes.FailNext = 3 })
			}
		}
		if err := p.check(); err == nil || !strings.Contains(err.Error(), "500 InternalServerError") {
			t.Errorf("got %v", err)
		}
		p.wantShut()
	})
	t.Run("the machine is not given back", func(t *testing.T) {
		p := newPlane(t)
		put := p.does("vm")
		p.person = func(text string) {
			if strings.HasPrefix(text, "Put") {
				put(text)
			}
		}
		err := p.check()
		if err == nil || !strings.Contains(err.Error(), nsgID+" is in use still") {
			t.Errorf("got %v", err)
		}
		if _, left := p.arm.Get(nsgID); !left || p.wanted {
			t.Errorf("the security group is there: %v, the port open: %v", left, p.wanted)
		}
		p.wantInside()
	})
}
