package outcome

import (
	"fmt"
	"io"
	"strings"
	"time"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// Show writes what a request opens, and where to dial. Warnings go to the terminal. The client knows the time by the app's clock.
func Show(w io.Writer, t *terminal.Terminal, c *client.Client, g api.GrantAnswer) {
	fmt.Fprintln(w, terminal.Plain(summary(c, g)))
	var rows [][]string
	for _, vm := range g.VMs {
		for _, p := range vm.Ports {
			var dial []string
			for _, c := range p.Connect {
				dial = append(dial, fmt.Sprintf("%s port %d", c.Host, c.Port))
			}
			rows = append(rows, []string{Name(vm.ID), fmt.Sprint(p.Number), p.Status, strings.Join(sources(p), " "), terminal.Local(p.End), strings.Join(dial, ", ")})
			for _, text := range p.Warnings {
				t.Warn("port %d of %s: %s", p.Number, Name(vm.ID), text)
			}
		}
	}
	terminal.Table(w, []string{"Machine", "Port", "Status", "From", "Until", "Connect"}, rows)
	for _, r := range g.Replaces {
		t.Warn("it takes the place of request %s at %s, which would have ended at %s", r.Request, Name(r.VM), terminal.Local(r.End))
	}
	if g.DryRun {
		Changes(w, g.Changes)
	}
}

// summary says in a line how a request stands.
func summary(c *client.Client, g api.GrantAnswer) string {
	if g.DryRun {
		return "dry run: nothing was written"
	}
	text := fmt.Sprintf("request %s of %s: %s", g.ID, g.Requestor, g.Status)
	if end, err := time.Parse(time.RFC3339Nano, g.End); err == nil && g.Status == initiated {
		return text + fmt.Sprintf(", ends in %s", end.Sub(c.Now()).Round(time.Second))
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

// Name gives the name in a resource id.
func Name(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// Changes writes what changes, or would, in security groups and firewalls.
func Changes(w io.Writer, all []api.TargetChange) {
	var rows [][]string
	for _, c := range all {
		for _, kind := range []struct {
			does  string
			rules []api.Rule
		}{{"create", c.Create}, {"update", c.Update}, {"delete", c.Delete}} {
			for _, r := range kind.rules {
				rows = append(rows, []string{Name(c.Target), kind.does, r.Name, fmt.Sprint(r.Priority), r.Access, strings.Join(r.Sources, " "), strings.Join(r.Destinations, " "), strings.Join(r.Ports, " ")})
			}
		}
		if c.Hidden > 0 {
			rows = append(rows, []string{Name(c.Target), "change", fmt.Sprintf("%d rules about machines that you may not see", c.Hidden)})
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(w, "no rule changes")
		return
	}
	terminal.Table(w, []string{"Target", "Change", "Rule", "Priority", "Access", "From", "To", "Ports"}, rows)
}
