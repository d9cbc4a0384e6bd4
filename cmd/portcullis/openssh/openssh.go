// Package openssh runs the person's own ssh. It gives arguments as a list, and asks ssh itself (ssh -G) what the person's configuration says of a host,
// reading no file of it.
package openssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/reach"
)

// plain is what names of hosts and users may be here: those that neither ssh's own tokens nor a shell in somebody's ProxyCommand could read otherwise.
var (
	plain = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	user  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@+-]*$`)
)

// Plain reports whether a name can be given to ssh as it is.
func Plain(name string) bool { return plain.MatchString(name) }

// Target is what ssh is to connect to.
type Target struct {
	User    string // "" for that of the configuration
	Name    string // of the machine
	Program string // ssh, with its path
	Args    []string
}

// NewTarget reads user@machine, of which user@ may be left out.
func NewTarget(typed string, args []string) (Target, error) {
	t := Target{Name: typed, Args: args}
	if i := strings.LastIndexByte(typed, '@'); i >= 0 {
		t.User, t.Name = typed[:i], typed[i+1:]
		if !user.MatchString(t.User) {
			return t, exit.Usagef("%q is not the name of a user that can be given to ssh", t.User)
		}
	}
	if strings.HasPrefix(t.Name, "-") {
		return t, exit.Usagef("%q begins with a dash, and would be an option to ssh; no machine is called that", t.Name)
	}
	var err error
	if t.Program, err = exec.LookPath("ssh"); err != nil {
		return t, exit.Usagef("there is no ssh on this machine's path: %v", err)
	}
	return t, nil
}

// destination is what ssh takes: [user@]machine.
func (t Target) destination() string {
	if t.User == "" {
		return t.Name
	}
	return t.User + "@" + t.Name
}

// Config is what ssh would do with a host.
type Config struct {
	Port     uint16
	KeyAlias string // under which the host's key is looked up; "" for its address
}

// Config asks ssh what its configuration and the arguments come to.
func (t Target) Config(ctx context.Context) (Config, error) {
	if !Plain(t.Name) {
		return Config{}, exit.Usagef("%q is not a name that can be given to ssh", t.Name)
	}
	cmd := exec.CommandContext(ctx, t.Program, append([]string{"-G", t.destination()}, t.Args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	if err := cmd.Run(); err != nil {
		return Config{}, exit.Usagef("ssh does not take its arguments: %s", strings.TrimSpace(errs.String()))
	}
	var c Config
	for lines := bufio.NewScanner(&out); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		switch key {
		case "port":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return c, fmt.Errorf("ssh -G: the port is %q", value)
			}
			c.Port = uint16(n)
		case "hostkeyalias":
			c.KeyAlias = value
		}
	}
	if c.Port == 0 {
		return c, errors.New("ssh -G names no port")
	}
	return c, nil
}

// Run is one run of ssh.
type Run struct {
	In       io.Reader
	Out, Err io.Writer
	Signals  <-chan os.Signal // handed on to ssh
}

// wait is how long ssh may take to end after it was told to.
const wait = 5 * time.Second

// Line gives the arguments of ssh: to the place, in the machine's name. alias is under which the host's key is looked up; "" leaves that to ssh.
func (t Target) Line(to reach.Place, alias string) []string {
	args := []string{"-o", "HostName=" + to.Host, "-p", strconv.Itoa(int(to.Port))}
	if alias != "" {
		args = append(args, "-o", "HostKeyAlias="+alias)
	}
	return append(append(args, t.destination()), t.Args...)
}

// Start runs ssh with the arguments until it ends, and gives its exit code.
func (t Target) Start(args []string, r Run) (int, error) {
	cmd := exec.Command(t.Program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = r.In, r.Out, r.Err, time.Second
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var late <-chan time.Time
	for {
		select {
		case err := <-ended:
			return code(cmd, err)
		case signal := <-r.Signals:
			_ = cmd.Process.Signal(signal) // it may have ended by itself: then it is waited for
			if late == nil && signal != os.Interrupt {
				late = time.After(wait)
			}
		case <-late:
			_ = cmd.Process.Kill()
		}
	}
}

// killed is added to the number of the signal that has ended a process, as shells do.
const killed = 128

// code gives the exit code of a process that has ended.
func code(cmd *exec.Cmd, err error) (int, error) {
	if _, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}
	if n := cmd.ProcessState.ExitCode(); n >= 0 {
		return n, nil
	}
	return killed + signalOf(cmd.ProcessState), nil
}
