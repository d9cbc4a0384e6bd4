package reach

import (
	"io"
	"net"
	"sync"
	"time"
)

// linger is how long the other side may take to end once this side has nothing more to say.
const linger = 10 * time.Second

// Pass carries bytes both ways until the machine's side ends, or this side has ended and the machine does not follow. It gives the error of the
// machine's side. It does not wait for a read of in that does not return.
func Pass(conn net.Conn, in io.Reader, out io.Writer) error {
	go func() {
		_, _ = io.Copy(conn, in) // what cannot be sent ends the other direction too
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(linger))
	}()
	_, err := io.Copy(out, conn)
	return err
}

// Between carries bytes between two connections until one of them ends, and closes both.
func Between(a, b net.Conn) {
	var halves sync.WaitGroup
	for _, half := range [][2]net.Conn{{a, b}, {b, a}} {
		halves.Go(func() {
			_, _ = io.Copy(half[0], half[1]) // an error is the end, of both
			if w, ok := half[0].(interface{ CloseWrite() error }); ok {
				_ = w.CloseWrite()
			}
			_ = half[1].SetReadDeadline(time.Now())
			_ = half[0].SetReadDeadline(time.Now().Add(linger))
		})
	}
	halves.Wait()
	_ = a.Close()
	_ = b.Close()
}
