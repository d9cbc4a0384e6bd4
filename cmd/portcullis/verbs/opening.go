package verbs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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

// waiting is how long a verb waits for what goes on by itself in the app.
type waiting struct {
	most     time.Duration
	never    bool // end as soon as the app has taken it over
	approval bool // also for somebody's approval
}

// flags adds those by which somebody says how long to wait.
func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.most, "timeout", 15*time.Minute, "how long to wait; then the exit code is 5, and what was asked for goes on by itself")
	cmd.Flags().BoolVar(&w.never, "no-wait", false, "end as soon as the app has taken it over, with exit code 0")
}

// obtain sends a request by send and waits until its ports are open, saying how far it is. The answer is also there with an error: 4 where
// it waits for approval, 5 where the time was over, 3 where nothing is open after all.
func (s *session) obtain(ctx context.Context, c *client.Client, w waiting, send func(context.Context) (client.Pending, error)) (api.GrantAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, w.most)
	defer cancel()
	p, err := send(ctx)
	if err != nil {
		return p.GrantAnswer, err
	}
	if p.DryRun || w.never {
		return p.GrantAnswer, nil
	}
	if p.After == 0 {
		p.After = 2 * time.Second
	}
	waits := func(g api.GrantAnswer) bool { return g.Status == initiating || g.Status == awaiting && w.approval }
	g, err := c.Await(ctx, p, func(g api.GrantAnswer) bool { return !waits(g) }, func(g api.GrantAnswer) { s.term.Progress("%s", progress(g)) })
	if err != nil {
		return g, goesOn(g, err)
	}
	switch g.Status {
	case awaiting:
		return g, exit.With(exit.Waiting, fmt.Errorf("request %s waits for somebody's approval; portcullis requests %s shows it", g.ID, g.ID))
	case revoked:
		return g, exit.With(exit.Refused, fmt.Errorf("request %s is not open: %s", g.ID, g.StatusReason))
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
		return "waiting for approval of request " + g.ID
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

// showGrant writes what a request opens, and where to dial.
func (s *session) showGrant(w io.Writer, g api.GrantAnswer) {
	fmt.Fprintln(w, terminal.Plain(s.summary(g)))
	var rows [][]string
	for _, vm := range g.VMs {
		for _, p := range vm.Ports {
			var dial []string
			for _, c := range p.Connect {
				dial = append(dial, fmt.Sprintf("%s port %d", c.Host, c.Port))
			}
			rows = append(rows, []string{nameOf(vm.ID), fmt.Sprint(p.Number), p.Status, strings.Join(sources(p), " "), terminal.Local(p.End), strings.Join(dial, ", ")})
			for _, text := range p.Warnings {
				s.term.Warn("port %d of %s: %s", p.Number, nameOf(vm.ID), text)
			}
		}
	}
	terminal.Table(w, []string{"Machine", "Port", "Status", "From", "Until", "Connect"}, rows)
	for _, r := range g.Replaces {
		s.term.Warn("it takes the place of request %s at %s, which would have ended at %s", r.Request, nameOf(r.VM), terminal.Local(r.End))
	}
	if g.DryRun {
		showChanges(w, g.Changes)
	}
}

// summary says in a line how a request stands.
func (s *session) summary(g api.GrantAnswer) string {
	if g.DryRun {
		return "dry run: nothing was written"
	}
	text := fmt.Sprintf("request %s of %s: %s", g.ID, g.Requestor, g.Status)
	if end, err := time.Parse(time.RFC3339Nano, g.End); err == nil && s.app != nil && g.Status == initiated {
		return text + fmt.Sprintf(", ends in %s", end.Sub(s.app.Now()).Round(time.Second))
	}
	if g.Status == revoked {
		text += " (" + g.StatusReason + ")"
	}
	return text
}

func sources(p api.GrantPort) []string {
	if p.Prefix != "" {
		return []string{p.Prefix}
	}
	return p.Prefixes
}

// nameOf gives the name in a resource id.
func nameOf(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// showChanges writes what changes, or would, in security groups and firewalls.
func showChanges(w io.Writer, all []api.TargetChange) {
	var rows [][]string
	for _, c := range all {
		for _, kind := range []struct {
			does  string
			rules []api.Rule
		}{{"create", c.Create}, {"update", c.Update}, {"delete", c.Delete}} {
			for _, r := range kind.rules {
				rows = append(rows, []string{nameOf(c.Target), kind.does, r.Name, fmt.Sprint(r.Priority), r.Access, strings.Join(r.Sources, " "), strings.Join(r.Destinations, " "), strings.Join(r.Ports, " ")})
			}
		}
		if c.Hidden > 0 {
			rows = append(rows, []string{nameOf(c.Target), "change", fmt.Sprintf("%d rules about machines that you may not see", c.Hidden)})
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(w, "no rule changes")
		return
	}
	terminal.Table(w, []string{"Target", "Change", "Rule", "Priority", "Access", "From", "To", "Ports"}, rows)
}

// ownAt gives the requests of the caller that are open at a machine.
func ownAt(m api.Machine) []string {
	var ids []string
	for _, win := range m.Windows {
		if win.Own && !slices.Contains(ids, win.Grant) {
			ids = append(ids, win.Grant)
		}
	}
	return ids
}
