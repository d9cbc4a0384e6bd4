package connect

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/sosodev/duration"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/reach"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/window"
	"portcullis/handlers/api"
)

// The variables of the environment for verbs that connect.
const (
	varConnectTo = "PORTCULLIS_CONNECT_TO" // as --connect-to; several with commas between them
	varState     = "PORTCULLIS_STATE"      // the folder of locks, in place of the usual one
)

// usually is how long a port is opened where nobody says so and nobody is there to ask.
const usually = time.Hour

// way is how somebody wants to connect, by flags.
type way struct {
	length, reason string
	instead        []string
	keep, dry      bool
	never          bool
}

func (a *way) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&a.length, "for", "d", "", "how long at most, such as 30m or 1h30m; otherwise PORTCULLIS_DURATION or duration in the file of settings, or an hour")
	f.StringVarP(&a.reason, "reason", "r", "", "why; otherwise PORTCULLIS_REASON or reason in the file of settings")
	f.BoolVar(&a.never, "no-wait", false, "wait for nobody's approval: end with exit code 4, and go on with the same request another time")
	f.BoolVar(&a.keep, "keep", false, "extend the window while it is used, as far as the policy allows")
	f.StringSliceVar(&a.instead, "connect-to", nil, "HOST1:PORT1:HOST2:PORT2: connect to the second in place of the first, as curl has it; otherwise "+varConnectTo)
}

// dryFlag is for verbs that people type; what ssh runs has none.
func (a *way) dryFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, "say what would be opened, and open and start nothing")
}

// opening is a machine that is found, and what is to be opened on it.
type opening struct {
	app     *client.Client
	way     way
	machine api.Machine
	instead reach.Instead
}

// findWay finds the machine and reads what can be wrong with the flags before anything is opened.
func (s *Session) findWay(ctx context.Context, a way, typed string) (opening, error) {
	o := opening{way: a}
	if len(a.instead) == 0 && s.Getenv(varConnectTo) != "" {
		a.instead = strings.Split(s.Getenv(varConnectTo), ",")
	}
	var err error
	if o.instead, err = reach.ParseInstead(a.instead); err != nil {
		return o, err
	}
	if strings.HasPrefix(typed, "-") {
		return o, exit.Usagef("%q begins with a dash; no machine is called that", typed)
	}
	if o.app, err = s.Client(ctx); err != nil {
		return o, err
	}
	o.machine, err = find.Machine(ctx, o.app, typed)
	return o, err
}

// want gives what is to be opened: what is missing is asked for where somebody is there to answer.
func (s *Session) want(o opening, port uint16) (window.Want, error) {
	w := window.Want{Machine: o.machine, Port: port, Reason: o.way.reason, NoWait: o.way.never}
	if w.Reason == "" {
		w.Reason = s.Known().Reason
	}
	most := window.Longest(o.machine, port)
	usual := usually
	if most > 0 {
		usual = min(usual, most)
	}
	text := o.way.length
	if text == "" {
		text = s.Known().Duration
	}
	var err error
	if text == "" && s.Term.Asks() && !s.Term.Yes {
		if text, err = s.Term.Ask("How long?", usual.String()); err != nil {
			return w, err
		}
	}
	if w.Length = usual; text != "" {
		if w.Length, err = settings.Length(text); err != nil {
			return w, err
		}
	}
	if demands := o.machine.InForce != nil && o.machine.InForce.RequireJustification; demands && w.Reason == "" && s.Term.Asks() {
		w.Reason, err = s.Term.Ask("Why?", "")
	}
	return w, err
}

// folder gives where the locks are.
func (s *Session) folder() (string, error) {
	if dir := s.Getenv(varState); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", exit.Usagef("there is no folder for locks: %v; set %s", err, varState)
	}
	return filepath.Join(dir, "portcullis", "windows"), nil
}

// who tells those apart who sign in on this account of the machine in different ways.
func (s *Session) who() string {
	how, account := s.How(), ""
	if how.Account != nil {
		account = how.Account.HomeAccountID
	}
	return fmt.Sprintf("%q", append([]string{how.Method, how.Tenant, how.Client, account}, s.Known().TokenCommand...))
}

// through opens a port, has it used, and closes it again, whatever ends the use.
func (s *Session) through(ctx context.Context, o opening, port uint16, use func(context.Context, *window.Window, []reach.Place) error) error {
	// A pipe that nobody reads any more, or a terminal that has gone, is no reason to leave the port open.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	want, err := s.want(o, port)
	if err != nil {
		return err
	}
	if o.way.dry {
		return s.wouldOpen(ctx, o.app, want)
	}
	dir, err := s.folder()
	if err != nil {
		return err
	}
	w, err := window.Keeper{App: o.app, Who: s.who(), Dir: dir, Say: s.Term.Progress}.Open(ctx, want)
	if err != nil {
		return err
	}
	defer func() {
		if err := w.Close(ctx); err != nil {
			s.Term.Warn("%v", err)
		}
	}()
	places, err := reach.Places(w.Port())
	if err != nil {
		return err
	}
	s.Term.Progress("port %d of %s is open until %s", port, o.machine.Name, w.Ends().Local().Format(time.TimeOnly))
	used, stop := context.WithCancel(ctx)
	kept := make(chan error, 1)
	go func() {
		if !o.way.keep {
			kept <- nil
			return
		}
		kept <- w.Keep(used)
	}()
	err = use(ctx, w, o.instead.Of(places))
	stop()
	if refused := <-kept; refused != nil {
		s.Term.Warn("%v", refused)
	}
	if !o.app.Now().Before(w.Ends()) {
		s.Term.Warn("the window of port %d of %s has ended, at %s, while it was used; --keep extends it, as far as the policy allows", port, o.machine.Name, w.Ends().Local().Format(time.TimeOnly))
	}
	return err
}

// wouldOpen says what a request would open.
func (s *Session) wouldOpen(ctx context.Context, c *client.Client, want window.Want) error {
	length := duration.Format(want.Length)
	p, err := c.Request(ctx, api.RequestBody{Justification: want.Reason, VirtualMachines: []api.RequestVM{{ID: want.Machine.ID,
		Ports: []api.RequestPort{{Number: api.PortOf(want.Port), Duration: &length}}}}}, client.How{DryRun: true, Key: uuid.NewString()})
	if err != nil {
		return err
	}
	return s.Term.Print(p.GrantAnswer, func(w io.Writer) {
		for _, vm := range p.VMs {
			for _, port := range vm.Ports {
				fmt.Fprintf(w, "would open port %d of %s for %s, for %s; nothing was opened\n", port.Number, want.Machine.Name, port.Prefix, want.Length)
			}
		}
	})
}
