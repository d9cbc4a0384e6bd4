package connect

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/reach"
	"portcullis/cmd/portcullis/window"
)

func tunnelVerb(s *Session) *cobra.Command {
	var a way
	var at uint16
	cmd := &cobra.Command{Use: "tunnel machine port", GroupID: s.Group, Args: cobra.ExactArgs(2), Short: "Open a machine's port and lead a port of this machine to it, until Ctrl-C",
		Long: `Open a machine's port and lead a port of this machine, of its loopback address alone, to it, until Ctrl-C or the end of the window. The address is
on stdout. The connection is the protocol's own: nothing encrypts what the protocol does not.`,
		Example: "  portcullis tunnel web 5986 --listen 5986",
		RunE: func(cmd *cobra.Command, args []string) error {
			port, err := portNumber(args[1])
			if err != nil {
				return err
			}
			o, err := s.findWay(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return s.through(cmd.Context(), o, port, func(ctx context.Context, w *window.Window, places []reach.Place) error {
				return s.carry(ctx, o.app, w, places, at)
			})
		}}
	a.flags(cmd)
	a.dryFlag(cmd)
	cmd.Flags().Uint16Var(&at, "listen", 0, "the port of this machine; a free one where it is left out")
	return cmd
}

// mostConnections is how many connections a tunnel carries at a time.
const mostConnections = 256

// carry leads connections to a port of this machine to the first place that answers.
func (s *Session) carry(ctx context.Context, app *client.Client, w *window.Window, places []reach.Place, at uint16) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", at))
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out, l.Addr())
	ctx, stop := context.WithCancel(ctx)
	var carried sync.WaitGroup
	defer carried.Wait()
	defer stop()
	carried.Go(func() {
		defer l.Close()
		s.hold(ctx, app, w)
	})
	room := make(chan struct{}, mostConnections)
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil // it was closed: by whoever uses it, or at the end of the window
		}
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		carried.Go(func() {
			defer func() { <-room }()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			far, err := reach.Dial(ctx, places)
			if err != nil {
				s.Term.Warn("%v", err)
				_ = conn.Close()
				return
			}
			reach.Between(conn, far)
		})
	}
}

// hold waits until the person ends it, or the window ends.
func (s *Session) hold(ctx context.Context, app *client.Client, w *window.Window) {
	for {
		left := w.Ends().Sub(app.Now())
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C: // it may have been extended
		}
	}
}

// The ports of protocols that have verbs of their own.
const (
	portRDP        = 3389
	portWinRM      = 5986
	portWinRMPlain = 5985
)

func rdpVerb(s *Session) *cobra.Command {
	var a way
	cmd := &cobra.Command{Use: "rdp machine", GroupID: s.Group, Args: cobra.ExactArgs(1), Short: "Open a machine's Remote Desktop port, start the client, and close the port again",
		Long: `Open a machine's Remote Desktop port and start the client that this system has: mstsc on Windows, xfreerdp on Linux, and on macOS the one that takes
rdp:// addresses. Where there is none, the address is on stdout and the port stays open until Ctrl-C.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.holdOr(cmd.Context(), a, args[0], portRDP, "%s", desktop)
		}}
	a.flags(cmd)
	a.dryFlag(cmd)
	return cmd
}

// desktop gives the Remote Desktop client for a place; waits says whether it runs as long as the session.
func desktop(p reach.Place) (command []string, waits bool) {
	switch runtime.GOOS {
	case "windows":
		return []string{"mstsc", "/v:" + p.String()}, true
	case "darwin":
		return []string{"open", "rdp://full%20address=s:" + p.String()}, false
	}
	for _, name := range []string{"xfreerdp3", "xfreerdp"} {
		if _, err := exec.LookPath(name); err == nil {
			return []string{name, "/v:" + p.String()}, true
		}
	}
	return nil, false
}

func winrmVerb(s *Session) *cobra.Command {
	var a way
	var plain bool
	cmd := &cobra.Command{Use: "winrm machine", GroupID: s.Group, Args: cobra.ExactArgs(1), Short: "Open a machine's WinRM port until Ctrl-C",
		Long: "Open a machine's WinRM port, 5986, until Ctrl-C or the end of the window. The address for PowerShell's and Ansible's clients is on stdout.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if plain {
				return s.holdOr(cmd.Context(), a, args[0], portWinRMPlain, "http://%s/wsman", nil)
			}
			return s.holdOr(cmd.Context(), a, args[0], portWinRM, "https://%s/wsman", nil)
		}}
	a.flags(cmd)
	a.dryFlag(cmd)
	cmd.Flags().BoolVar(&plain, "http", false, "port 5985, over http")
	return cmd
}

// holdOr opens a port and runs a program for it, where there is one; otherwise it writes the address and waits.
func (s *Session) holdOr(ctx context.Context, a way, typed string, port uint16, shown string, program func(reach.Place) ([]string, bool)) error {
	o, err := s.findWay(ctx, a, typed)
	if err != nil {
		return err
	}
	return s.through(ctx, o, port, func(ctx context.Context, w *window.Window, places []reach.Place) error {
		if program != nil {
			if command, waits := program(places[0]); command != nil {
				cmd := exec.CommandContext(ctx, command[0], command[1:]...)
				cmd.Stdout, cmd.Stderr = s.Err, s.Err
				if err := cmd.Run(); err != nil && ctx.Err() == nil {
					return exit.With(exit.Failed, fmt.Errorf("%s: %w", strings.Join(command[:1], ""), err))
				}
				if waits {
					return nil
				}
			}
		}
		fmt.Fprintf(s.Out, shown+"\n", places[0])
		s.Term.Say("Ctrl-C closes it")
		s.hold(ctx, o.app, w)
		return nil
	})
}
