// Package connect is the verbs that open a port in order to use it: ssh, proxy, ssh-config, tunnel, rdp and winrm. Each opens the port, has it used, and
// closes it however the use ends. What is used is the person's own program, started with its arguments as a list, or a connection that is carried.
//
// It signs nobody in and parses no command line of its own: package verbs hands it what it needs.
package connect

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/terminal"
)

// Session is one run of the program. Known and How are asked after Client.
type Session struct {
	Term     *terminal.Terminal
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Group    string // of the verbs in the help
	Client   func(context.Context) (*client.Client, error)
	Known    func() settings.Settings
	How      func() settings.SignIn
}

// Verbs gives the verbs.
func Verbs(s *Session) []*cobra.Command {
	var out []*cobra.Command
	for _, verb := range []func(*Session) *cobra.Command{sshVerb, proxyVerb, sshConfigVerb, tunnelVerb, rdpVerb, winrmVerb} {
		out = append(out, verb(s))
	}
	return out
}
