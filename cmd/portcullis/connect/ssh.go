package connect

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/openssh"
	"portcullis/cmd/portcullis/reach"
	"portcullis/cmd/portcullis/window"
	"portcullis/handlers/api"
)

func sshVerb(s *Session) *cobra.Command {
	var a way
	cmd := &cobra.Command{Use: "ssh [user@]machine [-- arguments of ssh]", GroupID: s.Group, Short: "Open a machine's SSH port, run ssh, and close the port again",
		Long: `Open a machine's SSH port, run your own ssh, and close the port again when ssh ends, however it ends. The exit code is ssh's.

The port is the one that your configuration of ssh has for the machine (ssh -G). Two of them at a time share one window, and the
last one closes it. A window that you have opened elsewhere is used, and left open.`,
		Example: "  portcullis ssh web --for 30m\n  portcullis ssh alice@web -- -L 8080:localhost:80",
		RunE: func(cmd *cobra.Command, args []string) error {
			typed, rest, err := oneThenRest(cmd, args)
			if err != nil {
				return err
			}
			return s.ssh(cmd.Context(), a, typed, rest)
		}}
	a.flags(cmd)
	a.dryFlag(cmd)
	return cmd
}

// oneThenRest splits the machine from what stands after --.
func oneThenRest(cmd *cobra.Command, args []string) (string, []string, error) {
	dash := cmd.ArgsLenAtDash()
	if len(args) == 0 || dash > 1 || dash < 0 && len(args) > 1 {
		return "", nil, exit.Usagef("%s takes one machine; arguments of ssh stand after --: portcullis ssh web -- -v", cmd.Name())
	}
	return args[0], args[1:], nil
}

func (s *Session) ssh(ctx context.Context, a way, typed string, args []string) error {
	target, err := openssh.NewTarget(typed, args)
	if err != nil {
		return err
	}
	o, err := s.findWay(ctx, a, target.Name)
	if err != nil {
		return err
	}
	target.Name = o.machine.Name
	config, err := target.Config(ctx)
	if err != nil {
		return err
	}
	alias := ""
	if config.KeyAlias == "" {
		alias = keyAlias(o.machine)
	}
	return s.through(ctx, o, config.Port, func(_ context.Context, _ *window.Window, places []reach.Place) error {
		// What ends this program ends ssh first; an interrupt that the terminal sends has reached ssh already, and does no harm twice.
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		defer signal.Stop(signals)
		code, err := target.Start(target.Line(places[0], alias), openssh.Run{In: s.In, Out: s.Out, Err: s.Err, Signals: signals})
		if err != nil || code == 0 {
			return err
		}
		return exit.Silent(exit.Code(code))
	})
}

// keyAlias gives the name under which ssh keeps a machine's host key: its own, which stays while its addresses change and a firewall's port leads to
// another machine. It is "" where the machine's id does not make a plain name; then ssh uses the address.
func keyAlias(m api.Machine) string {
	id, err := arm.ParseResourceID(m.ID)
	if err != nil {
		return ""
	}
	alias := strings.ToLower(strings.Join([]string{id.Name, id.ResourceGroupName, id.SubscriptionID, "portcullis"}, "."))
	if !openssh.Plain(alias) {
		return ""
	}
	return alias
}
