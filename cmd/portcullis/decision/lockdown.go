package decision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// order is what somebody wants to lock down, by flags.
type order struct {
	scope  api.LockdownScope
	reason string
	hold   bool
	lift   string // the hold to lift
	list   bool
	dry    bool
	never  bool
	most   time.Duration
}

func lockdownVerb(s *Session) *cobra.Command {
	var o order
	cmd := &cobra.Command{Use: "lockdown [machine]", GroupID: s.Group, Args: cobra.MaximumNArgs(1), Short: "Close everything in a scope now, and hold it closed, or lift such a hold",
		Long: `Close everything that is open now: of a machine, a person, a resource group, a subscription, or of all. With --hold nothing new opens there until
somebody lifts that. It shows what would close and asks, and then waits until Azure has confirmed all of it.`,
		Example: `  portcullis lockdown web --hold --reason 'it may be compromised'
  portcullis lockdown --person 00000000-0000-0000-0000-0000000000e2 --hold --reason 'has left the company'
  portcullis lockdown --list
  portcullis lockdown --lift 01a22e85-e879-71a3-b6f7-447d9816888a --reason 'rebuilt'`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.locking(cmd, o, args) }}
	f := cmd.Flags()
	f.StringVar(&o.scope.Person, "person", "", "everything of a person or an application, by object id")
	f.StringVar(&o.scope.ResourceGroup, "group", "", "everything in a resource group, by its resource id")
	f.StringVar(&o.scope.Subscription, "subscription", "", "everything in a subscription, by its id")
	f.BoolVar(&o.scope.Everything, "everything", false, "everything")
	f.BoolVar(&o.hold, "hold", false, "let nothing new open there until somebody lifts that")
	f.StringVarP(&o.reason, "reason", "r", "", "why, which is kept")
	f.StringVar(&o.lift, "lift", "", "lift a hold, by its id")
	f.BoolVar(&o.list, "list", false, "list the holds that stand")
	f.BoolVar(&o.dry, "dry-run", false, outcome.DryRunSays)
	f.DurationVar(&o.most, "timeout", 15*time.Minute, "how long to wait; then the exit code is 5, and the closing goes on by itself")
	f.BoolVar(&o.never, "no-wait", false, "end as soon as the app has taken it over, with exit code 0")
	cmd.MarkFlagsMutuallyExclusive("person", "group", "subscription", "everything", "lift", "list")
	cmd.MarkFlagsMutuallyExclusive("hold", "lift", "list")
	return cmd
}

// locking does what the flags say: one of three things.
func (s *Session) locking(cmd *cobra.Command, o order, args []string) error {
	c, err := s.Client(cmd.Context())
	if err != nil {
		return err
	}
	ctx, named := cmd.Context(), o.scope != api.LockdownScope{}
	switch {
	case len(args) == 1 && (named || o.lift != "" || o.list), len(args) == 0 && !named && o.lift == "" && !o.list:
		return exit.Usagef("what is to be closed? Name a machine, or one of --person, --group, --subscription and --everything; or --lift a hold, or --list them")
	case o.list:
		return s.holds(ctx, c)
	}
	if o.reason, err = s.need(o.reason, "reason", "Why?"); err != nil {
		return err
	}
	if o.lift != "" {
		return s.lift(ctx, c, o)
	}
	if len(args) == 1 {
		m, err := find.Machine(ctx, c, args[0])
		if err != nil {
			return err
		}
		o.scope.VM = m.ID
	}
	return s.lockdown(ctx, c, o)
}

// lockdown shows what would close, asks, closes it and waits until that is confirmed.
func (s *Session) lockdown(ctx context.Context, c *client.Client, o order) error {
	body := api.LockdownBody{Scope: &o.scope, Reason: o.reason, Hold: o.hold}
	if o.dry || !s.Term.Yes {
		would, err := c.Lockdown(ctx, body, client.How{DryRun: true})
		if err != nil {
			return err
		}
		if o.dry {
			return s.Term.Print(would, func(w io.Writer) { showWould(w, would) })
		}
		showWould(s.Err, would)
		if err := s.Term.Confirm("Close that now?"); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.most)
	defer cancel()
	a, err := c.Lockdown(ctx, body, client.How{})
	if err != nil {
		return err
	}
	if !o.never {
		a, err = c.AwaitLockdown(ctx, a, func(a api.LockdownAnswer) {
			s.Term.Progress("closing: %d of %d requests are confirmed closed", a.Closed, a.Found)
		})
		switch {
		case err != nil:
			err = exit.With(exit.Of(err), fmt.Errorf("%w\nlock-down %s goes on by itself", err, a.ID))
		case a.Untraced > 0: // of those nothing is confirmed
			err = exit.With(exit.Failed, errors.New("it is not known whether all is closed; portcullis requests --status Initiated lists what is open"))
		}
	}
	if shown := s.Term.Print(a, func(w io.Writer) { showLockdown(w, a) }); err == nil {
		return shown
	}
	return err
}

// showWould writes what a lock-down would close.
func showWould(w io.Writer, a api.LockdownAnswer) {
	fmt.Fprintln(w, "dry run: nothing was written")
	fmt.Fprintf(w, "would close everything of %s: %s\n", terminal.Plain(scopeSays(a.Scope)), counted(a.Found, "request"))
	if a.Targets != nil {
		fmt.Fprintf(w, "security groups and firewalls that would be written: %d\n", *a.Targets)
	}
	if a.Windows != nil {
		outcome.Ended(w, a.Windows.Closes, a.Windows.Hidden)
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// showLockdown writes how far a lock-down is.
func showLockdown(w io.Writer, a api.LockdownAnswer) {
	fmt.Fprintf(w, "lock-down %s of %s: %d of %s confirmed closed\n", a.ID, terminal.Plain(scopeSays(a.Scope)), a.Closed, counted(a.Found, "request"))
	if a.Held {
		fmt.Fprintf(w, "nothing new opens there; portcullis lockdown --lift %s ends that\n", a.Hold)
	}
	for _, f := range a.Failed {
		fmt.Fprintf(w, "request %s is not closed yet, and every sweep tries again: %s\n", f.Request, terminal.Plain(f.Message))
	}
	if a.Hidden > 0 {
		fmt.Fprintf(w, "and %d more are not closed yet, at machines that you may not see\n", a.Hidden)
	}
	if a.Untraced > 0 {
		fmt.Fprintf(w, "and %d more were found, which are being closed and cannot be followed here; it is not known whether they are closed\n", a.Untraced)
	}
}

// scopeSays names a scope.
func scopeSays(s api.LockdownScope) string {
	switch {
	case s.Person != "":
		return "person " + s.Person
	case s.VM != "":
		return "machine " + outcome.Name(s.VM)
	case s.ResourceGroup != "":
		return "resource group " + outcome.Name(s.ResourceGroup)
	case s.Subscription != "":
		return "subscription " + s.Subscription
	}
	return "all machines"
}

// holds lists the holds that stand.
func (s *Session) holds(ctx context.Context, c *client.Client) error {
	all, err := c.Holds(ctx)
	if err != nil {
		return err
	}
	return s.Term.Print(all, func(w io.Writer) {
		if len(all.Value) == 0 {
			fmt.Fprintln(w, "no hold stands that you may see")
			return
		}
		rows := make([][]string, 0, len(all.Value))
		for _, h := range all.Value {
			rows = append(rows, []string{h.ID, scopeSays(h.Scope), terminal.Local(h.Since), h.By, h.Reason})
		}
		terminal.Table(w, []string{"Hold", "Scope", "Since", "By", "Reason"}, rows)
	})
}

// lift lifts a hold.
func (s *Session) lift(ctx context.Context, c *client.Client, o order) error {
	h, err := c.Lift(ctx, strings.TrimSpace(o.lift), o.reason, client.How{DryRun: o.dry})
	if err != nil {
		return err
	}
	return s.Term.Print(h, func(w io.Writer) {
		if h.DryRun {
			fmt.Fprintf(w, "dry run: nothing was written\nwould lift the hold on %s\n", terminal.Plain(scopeSays(h.Scope)))
			return
		}
		fmt.Fprintf(w, "windows may open again: the hold on %s is lifted\n", terminal.Plain(scopeSays(h.Scope)))
	})
}
