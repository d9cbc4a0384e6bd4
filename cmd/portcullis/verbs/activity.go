package verbs

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

func activityVerb(s *session) *cobra.Command {
	var f filter
	var operation, result, format string
	var follow bool
	var every time.Duration
	cmd := &cobra.Command{Use: "activity", GroupID: records, Args: cobra.NoArgs, Short: "Show the activity log: who did what, and what came of it",
		Example: "  portcullis activity --machine web --from 24h\n  portcullis activity --format csv --from 2026-11-01T00:00:00Z > november.csv\n  portcullis activity --follow --result Refused",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			q, err := f.query(cmd.Context(), c)
			if err != nil {
				return err
			}
			for name, text := range map[string]string{"operation": operation, "result": result} {
				if text != "" {
					q.Set(name, text)
				}
			}
			switch {
			case follow && (format == "csv" || f.to != ""):
				return exit.Usagef("--follow shows what comes, as lines or jsonl; it goes with neither --format csv nor --to")
			case follow && every < time.Second:
				return exit.Usagef("--every %s is less than a second", every)
			case follow:
				return s.follow(cmd.Context(), c, q, f.most, every, format == "jsonl" || s.term.JSON)
			case format == "csv" || format == "jsonl":
				return c.Download(cmd.Context(), q, format, s.world.Out)
			case format != "":
				return exit.Usagef("--format %q is neither csv nor jsonl", format)
			}
			list, err := c.AllActivity(cmd.Context(), q, f.most)
			if err != nil {
				return err
			}
			return s.term.Print(list, func(w io.Writer) { showEntries(w, list.Value) })
		}}
	f.flags(cmd)
	cmd.Flags().StringVar(&operation, "operation", "", "what was done, such as Request, Open, Close or Enable")
	cmd.Flags().StringVar(&result, "result", "", "Succeeded, Refused or Failed")
	cmd.Flags().StringVar(&format, "format", "", "csv or jsonl: everything that matches, as the app writes it; --top does not count")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on, and show what comes, oldest first, until interrupted")
	cmd.Flags().DurationVar(&every, "every", 5*time.Second, "how often --follow asks")
	return cmd
}

func showEntries(w io.Writer, all []api.Entry) {
	rows := make([][]string, 0, len(all))
	for _, e := range all {
		rows = append(rows, []string{terminal.Local(e.Time), e.Operation, e.Result, e.Requestor, outcome.Name(e.VM), outcome.Numbers(e.Ports), strings.Join(e.Sources, " "), said(e)})
	}
	terminal.Table(w, []string{"Time", "Operation", "Result", "Who", "Machine", "Ports", "From", "Says"}, rows)
}

// said gives the texts of an entry.
func said(e api.Entry) string {
	return strings.Join(slices.DeleteFunc([]string{e.Reason, e.Justification, e.Message}, func(s string) bool { return s == "" }), ": ")
}

// overlap is how far back each look of follow goes again: entries of other instances of the app may come in a little later than those after them.
const overlap = time.Minute

// follow shows entries as they come, after the newest of those that there are. It ends when it is interrupted.
func (s *session) follow(ctx context.Context, c *client.Client, q url.Values, most int, every time.Duration, lines bool) error {
	list, err := c.AllActivity(ctx, q, most)
	shown := map[string]time.Time{}
	for {
		if err != nil {
			return err
		}
		newest := c.Now().Add(-overlap)
		for _, e := range slices.Backward(list.Value) {
			at, err := time.Parse(time.RFC3339Nano, e.Time)
			if err != nil {
				at = newest
			}
			if _, twice := shown[e.ID]; twice {
				continue
			}
			shown[e.ID] = at
			if err := s.line(e, lines); err != nil {
				return err
			}
		}
		from := newest.Add(-every)
		for id, at := range shown { // nothing older comes back
			if at.Before(from) {
				delete(shown, id)
			}
		}
		q.Set("from", from.UTC().Format(time.RFC3339))
		if err := client.Pause(ctx, every); err != nil {
			return exit.Silent(exit.Interrupted)
		}
		list, err = c.AllActivity(ctx, q, 0)
	}
}

// line writes one entry: for people, or as a line of JSON.
func (s *session) line(e api.Entry, asJSON bool) error {
	if asJSON {
		if err := json.MarshalWrite(s.world.Out, e); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.world.Out)
		return err
	}
	_, err := fmt.Fprintln(s.world.Out, strings.Join(strings.Fields(terminal.Plain(strings.Join([]string{terminal.Local(e.Time), e.Operation, e.Result, e.Requestor, outcome.Name(e.VM), outcome.Numbers(e.Ports), strings.Join(e.Sources, ","), said(e)}, " "))), " "))
	return err
}

func findingsVerb(s *session) *cobra.Command {
	return &cobra.Command{Use: "findings", GroupID: records, Args: cobra.NoArgs, Short: "Show what the last sweep found, and how old that is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			answer, err := c.Compliance(cmd.Context())
			if err != nil {
				return err
			}
			for _, text := range answer.Warnings {
				s.term.Warn("%s", text)
			}
			return s.term.Print(answer, func(w io.Writer) { showFindings(w, answer) })
		}}
}

// showFindings writes what was found. What is not known is not the same as nothing.
func showFindings(w io.Writer, a api.ComplianceAnswer) {
	if a.Error != "" {
		fmt.Fprintln(w, "the last sweep ended with an error: "+terminal.Plain(a.Error))
	}
	if a.Findings == nil {
		fmt.Fprintln(w, "not known: "+terminal.Plain(a.Unknown["findings"]))
		return
	}
	if a.Age != nil {
		fmt.Fprintf(w, "found %s ago: %d\n", time.Duration(*a.Age)*time.Second, len(*a.Findings))
	} else {
		fmt.Fprintf(w, "found, at a time that is not known (%s): %d\n", terminal.Plain(a.Unknown["ageSeconds"]), len(*a.Findings))
	}
	if len(*a.Findings) == 0 {
		return
	}
	rows := make([][]string, 0, len(*a.Findings))
	for _, f := range *a.Findings {
		rows = append(rows, []string{f.Kind, terminal.Local(f.Since), outcome.Name(f.VM), outcome.Name(f.Target), f.Message})
	}
	terminal.Table(w, []string{"Finding", "Since", "Machine", "Target", "Says"}, rows)
}
