package child

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePort returns a port of 127.0.0.1 that nobody listens on, for a program that takes a while to listen. It lies below those that systems
// hand out by themselves: one of these may be another's by then, who answers in the program's place.
func FreePort() (int, error) {
	for range 50 {
		port := 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port of fifty is free")
}
