//go:build unix

package hostsim

import "syscall"

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
