package verbs

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// filter is which entries of a list somebody wants, by flags.
type filter struct {
	machine, requestor, from, to string
	most                         int
}

func (f *filter) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.machine, "machine", "", "of one machine, by its name, words or resource id")
	cmd.Flags().StringVar(&f.requestor, "requestor", "", "of one person or application, by name")
	cmd.Flags().StringVar(&f.from, "from", "", "since an RFC 3339 time, or so long ago, such as 24h")
	cmd.Flags().StringVar(&f.to, "to", "", "until an RFC 3339 time, or so long ago")
	cmd.Flags().IntVar(&f.most, "top", 20, "how many at most; 0 for all")
}

// query gives the filter as the API takes it.
func (f *filter) query(ctx context.Context, c *client.Client) (url.Values, error) {
	q := url.Values{}
	if f.machine != "" {
		m, err := find.Machine(ctx, c, f.machine)
		if err != nil {
			return nil, err
		}
		q.Set("vm", m.ID)
	}
	if f.requestor != "" {
		q.Set("requestor", f.requestor)
	}
	for name, text := range map[string]string{"from": f.from, "to": f.to} {
		if text == "" {
			continue
		}
		at, err := moment(text, c.Now())
		if err != nil {
			return nil, exit.Usagef("--%s: %v", name, err)
		}
		q.Set(name, at.UTC().Format(time.RFC3339))
	}
	if f.most < 0 {
		return nil, exit.Usagef("--top %d is less than 0", f.most)
	}
	return q, nil
}

// moment reads a time, or how long ago it was.
func moment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := settings.Length(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither an RFC 3339 time nor a length of time such as 24h", text)
	}
	return now.Add(-ago), nil
}

// query gives the values of pairs.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

func requestsVerb(s *session) *cobra.Command {
	var f filter
	var status string
	cmd := &cobra.Command{Use: "requests [request]", GroupID: records, Args: cobra.MaximumNArgs(1), Short: "List requests, newest first, or show one",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				id, err := outcome.ID(args[0])
				if err != nil {
					return err
				}
				g, err := c.RequestByID(cmd.Context(), id)
				if err != nil {
					return err
				}
				return s.term.Print(g, func(w io.Writer) { outcome.Show(w, s.term, c, g) })
			}
			q, err := f.query(cmd.Context(), c)
			if err != nil {
				return err
			}
			if status != "" {
				q.Set("status", status)
			}
			list, err := c.AllRequests(cmd.Context(), q, f.most)
			if err != nil {
				return err
			}
			return s.term.Print(list, func(w io.Writer) { showRequests(w, list.Value) })
		}}
	f.flags(cmd)
	cmd.Flags().StringVar(&status, "status", "", "AwaitingApproval, Scheduled, Initiating, Initiated or Revoked")
	return cmd
}

func showRequests(w io.Writer, all []api.GrantAnswer) {
	rows := make([][]string, 0, len(all))
	for _, g := range all {
		var what []string
		for _, vm := range g.VMs {
			for _, p := range vm.Ports {
				what = append(what, fmt.Sprintf("%s:%d", outcome.Name(vm.ID), p.Number))
			}
		}
		rows = append(rows, []string{g.ID, terminal.Local(g.Start), terminal.Local(g.End), g.Status, g.Requestor, strings.Join(what, " "), g.Justification})
	}
	terminal.Table(w, []string{"Request", "Start", "End", "Status", "Requestor", "Ports", "Reason"}, rows)
}

// meant gives the requests that somebody means: by an id, or all that he has open at a machine.
func (s *session) meant(ctx context.Context, c *client.Client, text string) ([]string, error) {
	if id, err := uuid.Parse(text); err == nil {
		return []string{id.String()}, nil
	}
	m, err := find.Machine(ctx, c, text)
	if err != nil {
		return nil, err
	}
	ids := ownAt(m)
	if len(ids) == 0 {
		return nil, exit.Usagef("you have nothing open at %s", m.Name)
	}
	return ids, nil
}

func revokeVerb(s *session) *cobra.Command {
	var w outcome.Wait
	var dry bool
	cmd := &cobra.Command{Use: "revoke request|machine...", GroupID: access, Args: cobra.MinimumNArgs(1), Short: "Close ports now: of a request, or all that you have open at a machine",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			list := api.List[api.GrantAnswer]{Value: []api.GrantAnswer{}}
			var failed error
			for _, text := range args {
				ids, err := s.meant(cmd.Context(), c, text)
				if err != nil {
					return err
				}
				for _, id := range ids { // one that is not closed is no reason to leave the others open
					g, err := w.Close(cmd.Context(), c, s.term, id, client.How{DryRun: dry})
					if err != nil && failed == nil {
						failed = err
					}
					if g.Status != "" {
						list.Value = append(list.Value, g)
					}
				}
			}
			err = s.term.Print(oneOr(list), func(w io.Writer) {
				for _, g := range list.Value {
					outcome.Show(w, s.term, c, g)
				}
			})
			if failed != nil {
				return failed
			}
			return err
		}}
	w.Flags(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, outcome.DryRunSays)
	return cmd
}

// oneOr gives a single answer as the API has it, and several as a list.
func oneOr(list api.List[api.GrantAnswer]) any {
	if len(list.Value) == 1 {
		return list.Value[0]
	}
	return list
}

func extendVerb(s *session) *cobra.Command {
	var a wanted
	cmd := &cobra.Command{Use: "extend request|machine", GroupID: access, Args: cobra.ExactArgs(1), Short: "Move the end of a request, within the machine's maximum",
		Example: "  portcullis extend web --for 1h    # from now on",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			ids, err := s.meant(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if len(ids) > 1 {
				return exit.Usagef("you have %d requests open at %q; name one of %s", len(ids), args[0], strings.Join(ids, ", "))
			}
			if err := s.lengthOf(&a); err != nil {
				return err
			}
			body := api.ExtendBody{End: &a.until}
			if a.until == "" {
				body = api.ExtendBody{Duration: &a.length}
			}
			g, err := c.Extend(cmd.Context(), ids[0], body, client.How{DryRun: a.dry})
			if err != nil {
				return err
			}
			return s.term.Print(g, func(w io.Writer) { outcome.Show(w, s.term, c, g) })
		}}
	cmd.Flags().StringVarP(&a.length, "for", "d", "", "how long from now on, such as 30m; otherwise PORTCULLIS_DURATION")
	cmd.Flags().StringVar(&a.until, "until", "", "until when, an RFC 3339 time, in place of --for")
	cmd.MarkFlagsMutuallyExclusive("for", "until")
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, outcome.DryRunSays)
	return cmd
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
