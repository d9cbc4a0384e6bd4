// Package gate is the way to one machine of the demo: connections pass while the security groups let their packets pass.
//
// It asks when a connection comes, and again and again while it stands; one that is not admitted any more is cut. Azure does not cut:
// there "existing connections remain uninterrupted" when the rule that allowed them goes (Microsoft, "Azure network security groups
// overview"), unless the group's flushConnection is on. The demo ends them with the window, so that a person sees that it has ended.
//
// It leaves out silence: what is not admitted is closed at once, where Azure drops packets and the caller waits for its own
// timeout. UDP is left out, and connections of which one half is closed: when one half ends, both do.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// most is how many connections stand at a time; what comes above that waits in the system's queue.
const most = 64

// Gate says where connections are taken, who may come in, and where they lead. Its fields are set before Open.
type Gate struct {
	// Listen is a loopback address and port. Port 0 takes a free one.
	Listen string
	// Admits reports whether a packet from there is let in now. It is called by several goroutines.
	Admits func(from netip.Addr) bool
	// Dial opens the way to the machine itself.
	Dial func(context.Context) (net.Conn, error)
	// Every is how often a connection that stands is asked for again; 0 means a tenth of a second.
	Every time.Duration

	listener net.Listener
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// Open begins to take connections, until Close.
func (g *Gate) Open() error {
	at, err := netip.ParseAddrPort(g.Listen)
	if err != nil {
		return err
	}
	if !at.Addr().IsLoopback() {
		return fmt.Errorf("%s is not a loopback address", g.Listen)
	}
	if g.listener, err = net.Listen("tcp", g.Listen); err != nil {
		return err
	}
	if g.Every == 0 {
		g.Every = 100 * time.Millisecond
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.done.Go(func() { g.serve(ctx) })
	return nil
}

// Addr returns where connections are taken.
func (g *Gate) Addr() netip.AddrPort { return g.listener.Addr().(*net.TCPAddr).AddrPort() }

// Close cuts every connection and takes no more. It returns when nothing runs any more.
func (g *Gate) Close() error {
	g.stop()
	err := g.listener.Close()
	g.done.Wait()
	return err
}

func (g *Gate) serve(ctx context.Context) {
	places := make(chan struct{}, most)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := g.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-places
			continue
		}
		g.done.Go(func() {
			defer func() { <-places }()
			g.pass(ctx, conn)
		})
	}
}

// pass lets a connection through while it is admitted.
func (g *Gate) pass(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if !g.Admits(from) {
		return
	}
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	machine, err := g.Dial(ctx)
	if err != nil {
		return
	}
	defer machine.Close()
	var halves sync.WaitGroup
	for _, half := range [][2]net.Conn{{conn, machine}, {machine, conn}} {
		halves.Go(func() {
			defer cut()
			// An error is the end of the connection, which the other side sees too.
			_, _ = io.Copy(half[0], half[1])
		})
	}
	g.watch(ctx, from)
	_ = conn.Close()
	_ = machine.Close()
	halves.Wait()
}

// watch returns when the connection has ended or is not admitted any more.
func (g *Gate) watch(ctx context.Context, from netip.Addr) {
	again := time.NewTicker(g.Every)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			if !g.Admits(from) {
				return
			}
		}
	}
}
