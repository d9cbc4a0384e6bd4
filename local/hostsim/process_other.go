//go:build !unix

package hostsim

import (
	"os"
	"os/exec"
)

// ownGroup does nothing: process groups are a thing of Unix.
func ownGroup(*exec.Cmd) {}

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
