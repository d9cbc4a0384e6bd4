//go:build unix

package openssh

import (
	"os"
	"syscall"
)

// signalOf gives the signal that has ended a process.
func signalOf(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return int(w.Signal())
	}
	return 0
}
