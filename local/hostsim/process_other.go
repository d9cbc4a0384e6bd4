//go:build !unix

package hostsim

import "os"

// killGroup ends the process alone, not what it started.
func killGroup(pid int, exited <-chan struct{}) {
	select {
	case <-exited:
	default:
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // the one error possible is that it is gone already
		}
	}
}
