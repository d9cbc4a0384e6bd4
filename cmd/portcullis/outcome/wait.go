// Package outcome is what becomes of a request: it waits until that is known, saying how far it is, and shows it.
//
// It asks nobody for anything and changes nothing: what is sent, it is handed.
package outcome

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// How requests stand, as the API says it.
const (
	initiating = "Initiating"
	initiated  = "Initiated"
	awaiting   = "AwaitingApproval"
	revoked    = "Revoked"
)

// DryRunSays is the help of the flag --dry-run.
const DryRunSays = "say what would happen, and write nothing"

// Wait is how long a verb waits for what goes on by itself in the app.
type Wait struct {
	Most     time.Duration
	Never    bool // end as soon as the app has taken it over
	Approval bool // also for somebody's approval; set by the verb, before Flags
}

// Flags adds those by which somebody says how long to wait.
func (w *Wait) Flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.Most, "timeout", 15*time.Minute, "how long to wait; then the exit code is 5, and what was asked for goes on by itself")
	says := "end as soon as the app has taken it over, with exit code 0"
	if w.Approval {
		says += ", or 4 where somebody has to approve it"
	}
	cmd.Flags().BoolVar(&w.Never, "no-wait", false, says)
}

// Open sends a request by send and waits until its ports are open, saying how far it is. The answer is also there with an error: 4 where
// it waits for an approval that is not waited for, 5 where the time was over, 3 where nothing is open after all.
func (w Wait) Open(ctx context.Context, c *client.Client, t *terminal.Terminal, send func(context.Context) (client.Pending, error)) (api.GrantAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Most)
	defer cancel()
	p, err := send(ctx)
	if err != nil {
		return p.GrantAnswer, err
	}
	if p.DryRun || w.Never {
		return p.GrantAnswer, waitsFor(p.GrantAnswer)
	}
	if p.After == 0 {
		p.After = 2 * time.Second
	}
	waits := func(g api.GrantAnswer) bool { return g.Status == initiating || g.Status == awaiting && w.Approval }
	g, err := c.Await(ctx, p, func(g api.GrantAnswer) bool { return !waits(g) }, func(g api.GrantAnswer) { t.Progress("%s", progress(g)) })
	if err != nil {
		return g, goesOn(g, err)
	}
	if g.Status == revoked && !g.Drill {
		return g, exit.With(exit.Refused, fmt.Errorf("request %s is not open: %s", g.ID, why(g)))
	}
	return g, waitsFor(g)
}

// waitsFor says that somebody has to approve a request first. A dry run waits for nobody.
func waitsFor(g api.GrantAnswer) error {
	if g.Status != awaiting || g.DryRun {
		return nil
	}
	return exit.With(exit.Waiting, fmt.Errorf("request %s waits for somebody's approval; portcullis requests %s shows it", g.ID, g.ID))
}

// why says why a request has ended: where somebody has denied it, who and in which words.
func why(g api.GrantAnswer) string {
	if g.Approval == nil || g.Approval.Denied == nil {
		return g.StatusReason
	}
	return fmt.Sprintf("%s by %s: %s", g.StatusReason, g.Approval.Denied.Name, g.Approval.Denied.Justification)
}

// Close revokes a request and waits until it is closed.
func (w Wait) Close(ctx context.Context, c *client.Client, t *terminal.Terminal, id string, how client.How) (api.GrantAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.Most)
	defer cancel()
	p, err := c.Revoke(ctx, id, how)
	if err != nil || p.DryRun || w.Never || !p.UnderWay {
		return p.GrantAnswer, err
	}
	g, err := c.Await(ctx, p, func(g api.GrantAnswer) bool { return g.Status == revoked && !g.LogPending }, func(g api.GrantAnswer) { t.Progress("closing request %s", g.ID) })
	if err != nil {
		return g, goesOn(p.GrantAnswer, err)
	}
	return g, nil
}

// goesOn adds to an error what has become of a request that is under way.
func goesOn(g api.GrantAnswer, err error) error {
	return exit.With(exit.Of(err), fmt.Errorf("%w\nrequest %s goes on by itself; portcullis requests %s shows it", err, g.ID, g.ID))
}

// progress says how far a request is.
func progress(g api.GrantAnswer) string {
	if g.Status == awaiting {
		return "waiting for approval of request " + g.ID + approvals(g.Approval)
	}
	confirmed := 0
	for _, t := range g.Targets {
		if t.Status == "Confirmed" {
			confirmed++
		}
	}
	if len(g.Targets) == 0 {
		return "waiting for request " + g.ID
	}
	return fmt.Sprintf("waiting for Azure: %d of %d security groups and firewalls have confirmed", confirmed, len(g.Targets))
}

// ID reads the id of a request.
func ID(text string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return "", exit.Usagef("%q is not the id of a request; portcullis requests lists them", text)
	}
	return id.String(), nil
}
