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
	if len(g.Open) > 0 {
		rows = nil
		for _, o := range g.Open {
			rows = append(rows, []string{Name(o.ID), fmt.Sprint(o.Number), o.Requestor, strings.Join(o.Prefixes, " "), terminal.Local(o.End)})
		}
		terminal.Table(w, []string{"Open now", "Port", "For", "From", "Until"}, rows)
	}
	if r := g.Review; r != nil && r.Status == "Written" {
		fmt.Fprintln(w, terminal.Plain(fmt.Sprintf("reviewed by %s: %s", r.Reviewer, r.Text)))
	} else if r != nil {
		fmt.Fprintln(w, "the review: "+r.Status)
	}
}

// summary says in a line how a request stands.
func summary(c *client.Client, g api.GrantAnswer) string {
	if g.DryRun {
		return "dry run: nothing was written" + begins(c, g) + approvals(g.Approval)
	}
	text := fmt.Sprintf("request %s of %s: %s", g.ID, g.Requestor, g.Status)
	if end, err := time.Parse(time.RFC3339Nano, g.End); err == nil && g.Status == initiated {
		text += fmt.Sprintf(", ends in %s", end.Sub(c.Now()).Round(time.Second))
	}
	if g.Status == revoked {
		text += " (" + why(g) + ")"
	}
	if g.Drill {
		text += ", a drill"
	} else if g.BreakGlass {
		text += ", by break-glass"
	}
	return text + begins(c, g) + approvals(g.Approval)
}

// begins says when a request opens that does not open at once; "" for any other.
func begins(c *client.Client, g api.GrantAnswer) string {
	at, err := time.Parse(time.RFC3339Nano, g.Start)
	if err != nil || g.Status == revoked || at.Before(c.Now().Add(time.Minute)) { // clocks differ a little
		return ""
	}
	return ", begins at " + terminal.Local(g.Start)
}

// approvals says how many people have to approve, who has, and until when a request waits; "" where nobody has to.
func approvals(a *api.Approval) string {
	if a == nil || a.Needed == 0 {
		return ""
	}
	var names []string
	for _, d := range a.By {
		names = append(names, d.Name)
	}
	text := fmt.Sprintf(", approved by %d of %d", len(a.By), a.Needed)
	if len(names) > 0 {
		text += " (" + strings.Join(names, ", ") + ")"
	}
	if a.Until != "" {
		text += ", waits until " + terminal.Local(a.Until)
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

// Ended writes which windows end.
func Ended(w io.Writer, all []api.EndedWindow, hidden int) {
	if len(all) > 0 {
		rows := make([][]string, 0, len(all))
		for _, e := range all {
			end := "now"
			if e.End != "" {
				end = terminal.Local(e.End)
			}
			rows = append(rows, []string{e.Request, Name(e.VM), Numbers(e.Ports), end})
		}
		terminal.Table(w, []string{"Ends request", "Machine", "Ports", "At"}, rows)
	}
	if hidden > 0 {
		fmt.Fprintf(w, "and %d more, at machines that you may not see\n", hidden)
	}
}

// Numbers writes numbers of ports.
func Numbers(all []uint16) string {
	var out []string
	for _, n := range all {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " ")
}
