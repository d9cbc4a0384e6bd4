//go:build unix

package child

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watch waits for a line, which says that all is well, or for the end of its input, and then kills a process group.
const watch = `if read -r _; then exit 0; fi; kill -s KILL -- "-$1"`

// Start starts the command as the leader of a process group of its own: what it starts ends with it, and an interrupt at the
// terminal does not reach it before this process. Call release once the command has been waited for: from then on its id may be another's.
func Start(cmd *exec.Cmd) (release func(), err error) {
	in, held, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	shell := exec.Command("/bin/sh", "-c", watch, "sh", strconv.Itoa(cmd.Process.Pid))
	shell.Stdin = in
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // who kills this process's group does not kill it
	if err := shell.Start(); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that it has ended
		return nil, errors.Join(err, cmd.Wait(), held.Close())
	}
	return func() {
		_, _ = held.WriteString("\n") // an error means that the shell has ended
		_ = held.Close()
		_ = shell.Wait()
	}, nil
}
