// Package decision is the verbs of who decides about the access of others: approve, deny, review and lockdown. Each shows what it is about before it
// changes anything, and asks, unless --yes says that nobody has to be asked.
//
// It signs nobody in: package verbs hands it what it needs. Who may decide is the app's to say.
package decision

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// Session is one run of the program.
type Session struct {
	Term   *terminal.Terminal
	Err    io.Writer // where what is asked about is shown
	Group  string    // of the verbs in the help
	Client func(context.Context) (*client.Client, error)
}

// Verbs gives the verbs.
func Verbs(s *Session) []*cobra.Command {
	return []*cobra.Command{approveVerb(s), denyVerb(s), reviewVerb(s), lockdownVerb(s)}
}

// about reads the id of the request that a verb is about.
func (s *Session) about(cmd *cobra.Command, args []string) (*client.Client, string, error) {
	c, err := s.Client(cmd.Context())
	if err != nil {
		return nil, "", err
	}
	id, err := outcome.ID(args[0])
	return c, id, err
}

// show prints a request.
func (s *Session) show(c *client.Client, g api.GrantAnswer) error {
	return s.Term.Print(g, func(w io.Writer) { outcome.Show(w, s.Term, c, g) })
}

// need gives a text that a verb cannot go without: that of a flag, or of whom it asks.
func (s *Session) need(text, flag, question string) (string, error) {
	if text == "" && s.Term.Asks() {
		var err error
		if text, err = s.Term.Ask(question, ""); err != nil {
			return "", err
		}
	}
	if text == "" {
		return "", exit.Usagef("%s Say it with --%s", question, flag)
	}
	return text, nil
}

func approveVerb(s *Session) *cobra.Command {
	var digest string
	var dry bool
	var wait outcome.Wait
	cmd := &cobra.Command{Use: "approve request", GroupID: s.Group, Args: cobra.ExactArgs(1), Short: "Approve what somebody else asks for",
		Long: `Approve what somebody else asks for: exactly what is shown, by its digest. It shows what the approval would change, and who has the
machines open now, and asks. With the last approval the ports open, and it waits for that.

portcullis requests --status AwaitingApproval lists what waits.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := s.about(cmd, args)
			if err != nil {
				return err
			}
			return s.approve(cmd.Context(), c, id, digest, dry, wait)
		}}
	wait.Flags(cmd)
	cmd.Flags().StringVar(&digest, "digest", "", "approve only if it still is what had this digest, as requests --json shows it")
	cmd.Flags().BoolVar(&dry, "dry-run", false, outcome.DryRunSays)
	return cmd
}

// approve shows a request, asks, and approves exactly what was shown.
func (s *Session) approve(ctx context.Context, c *client.Client, id, digest string, dry bool, wait outcome.Wait) error {
	if digest == "" {
		seen, err := c.RequestByID(ctx, id)
		if err != nil {
			return err
		}
		if seen.Approval != nil { // otherwise it does not wait, as the app says in its own words
			digest = seen.Approval.Digest
		}
	}
	would, err := c.Approve(ctx, id, digest, client.How{DryRun: true})
	if err != nil {
		return err
	}
	if dry {
		return s.show(c, would.GrantAnswer)
	}
	if !s.Term.Yes {
		fmt.Fprintln(s.Err, terminal.Plain(fmt.Sprintf("%s asks: %s", would.Requestor, would.Justification)))
		outcome.Show(s.Err, s.Term, c, would.GrantAnswer)
		if err := s.Term.Confirm("Approve that?"); err != nil {
			return err
		}
	}
	// What was shown is what is approved: where it has changed since, the app refuses the digest.
	g, err := wait.Open(ctx, c, s.Term, func(ctx context.Context) (client.Pending, error) {
		return c.Approve(ctx, id, digest, client.How{Async: wait.Never})
	})
	if exit.Of(err) == exit.Waiting { // for others: this one's decision is made
		err = nil
	}
	if g.ID == "" {
		return err
	}
	return errors.Join(err, s.show(c, g))
}

func denyVerb(s *Session) *cobra.Command {
	var reason string
	var dry bool
	cmd := &cobra.Command{Use: "deny request", GroupID: s.Group, Args: cobra.ExactArgs(1), Short: "Deny what somebody else asks for, with a reason that is kept",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := s.about(cmd, args)
			if err != nil {
				return err
			}
			if reason, err = s.need(reason, "reason", "Why is it denied?"); err != nil {
				return err
			}
			g, err := c.Deny(cmd.Context(), id, reason, client.How{DryRun: dry})
			if err != nil {
				return err
			}
			return s.show(c, g)
		}}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, which who asked is told")
	cmd.Flags().BoolVar(&dry, "dry-run", false, outcome.DryRunSays)
	return cmd
}

func reviewVerb(s *Session) *cobra.Command {
	var text string
	var dry bool
	cmd := &cobra.Command{Use: "review request", GroupID: s.Group, Args: cobra.ExactArgs(1), Short: "Write what happened after somebody else's break-glass; once",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := s.about(cmd, args)
			if err != nil {
				return err
			}
			if text, err = s.need(text, "text", "What happened?"); err != nil {
				return err
			}
			g, err := c.Review(cmd.Context(), id, text, client.How{DryRun: dry})
			if err != nil {
				return err
			}
			return s.show(c, g)
		}}
	cmd.Flags().StringVar(&text, "text", "", "what happened; it is written once, and cannot be changed")
	cmd.Flags().BoolVar(&dry, "dry-run", false, outcome.DryRunSays)
	return cmd
}
