package connect

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/openssh"
	"portcullis/cmd/portcullis/reach"
	"portcullis/cmd/portcullis/window"
	"portcullis/handlers/api"
)

func proxyVerb(s *Session) *cobra.Command {
	var a way
	cmd := &cobra.Command{Use: "proxy machine port", GroupID: s.Group, Args: cobra.ExactArgs(2), Short: "Be ssh's ProxyCommand: open a machine's port and carry the connection",
		Long: `Open a machine's port and carry one connection to it over stdin and stdout, as ssh's ProxyCommand; portcullis ssh-config writes what
ssh needs for that. Nothing but the connection is on stdout. Several at a time share one window, and the last one closes it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			port, err := portNumber(args[1])
			if err != nil {
				return err
			}
			o, err := s.findWay(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return s.through(cmd.Context(), o, port, func(ctx context.Context, _ *window.Window, places []reach.Place) error {
				conn, err := reach.Dial(ctx, places)
				if err != nil {
					return err
				}
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				if err := reach.Pass(conn, s.In, s.Out); err != nil && ctx.Err() == nil && !os.IsTimeout(err) {
					return fmt.Errorf("the connection to %s: %w", o.machine.Name, err)
				}
				return nil
			})
		}}
	a.flags(cmd)
	return cmd
}

func portNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, exit.Usagef("%q is not the number of a port, 1 to 65535", text)
	}
	return uint16(n), nil
}

func sshConfigVerb(s *Session) *cobra.Command {
	return &cobra.Command{Use: "ssh-config [machine...]", GroupID: s.Group, Short: "Write what ssh's configuration needs, so that ssh, scp, rsync, git and Ansible open ports by themselves",
		Long: `Write a stanza of ssh's configuration for each machine that is named, or for every one whose ports are protected: with it ssh and whatever uses ssh
open the machine's port, connect, and close it, by the machine's plain name. Put it into a file and include that:

  portcullis ssh-config > ~/.ssh/portcullis
  Include portcullis        (the first line of ~/.ssh/config)`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.Client(cmd.Context())
			if err != nil {
				return err
			}
			all, err := c.AllMachines(cmd.Context(), nil, 0)
			if err != nil {
				return err
			}
			program, err := ourselves()
			if err != nil {
				return err
			}
			var chosen []api.Machine
			for _, name := range args {
				m, err := find.Machine(cmd.Context(), c, name)
				if err != nil {
					return err
				}
				chosen = append(chosen, m)
			}
			for _, m := range all.Value {
				if len(args) == 0 && len(m.Ports) > 0 {
					chosen = append(chosen, m)
				}
			}
			for _, m := range chosen {
				s.stanza(program, m, len(find.Meant(all.Value, []string{m.Name})) > 1)
			}
			return nil
		}}
}

// safe is a path that means the same to ssh, to a shell and to Windows.
var safe = regexp.MustCompile(`^[A-Za-z0-9/\\:._-]+$`)

// ourselves gives how ssh calls this program: by its name where the path leads to it, and by its path otherwise.
func ourselves() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath("portcullis"); err == nil {
		if same, err := filepath.EvalSymlinks(found); err == nil && same == path {
			return "portcullis", nil
		}
	}
	if !safe.MatchString(path) {
		return "", exit.Usagef("ssh hands the path of this program to a shell, and %q has characters that mean something there; put portcullis into a folder of your PATH", path)
	}
	return path, nil
}

// stanza writes what ssh needs for a machine. One whose name others have too is called name.group, and asked for by its id.
func (s *Session) stanza(program string, m api.Machine, several bool) {
	host, asked := m.Name, "%h"
	if several {
		host, asked = m.Name+"."+m.ResourceGroup, m.ID
	}
	if !openssh.Plain(host) || !safe.MatchString(strings.TrimPrefix(asked, "%")) {
		s.Term.Warn("%s is left out: its name or id means something else to ssh", m.ID)
		return
	}
	writeStanza(s.Out, program, host, asked, keyAlias(m))
}

func writeStanza(w io.Writer, program, host, asked, alias string) {
	fmt.Fprintf(w, "Host %s\n  ProxyCommand %s proxy %s %%p\n", host, program, asked)
	if alias != "" {
		fmt.Fprintf(w, "  HostKeyAlias %s\n", alias)
	}
	fmt.Fprintln(w)
}
