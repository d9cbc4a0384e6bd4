//go:build unix

package hostsim

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the command the leader of a process group of its own, so that
// what it starts ends with it and an interrupt at the terminal does not reach
// it before the host.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup sends SIGKILL to the group that pid leads, unless the leader has
// been waited for: then the id may be someone else's.
func killGroup(pid int, exited <-chan struct{}) {
	select {
	case <-exited:
	default:
		// The one error possible is that the group is gone already.
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}
