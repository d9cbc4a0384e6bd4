package verbs

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

func machinesVerb(s *session) *cobra.Command {
	var state string
	cmd := &cobra.Command{Use: "machines [word...]", GroupID: records, Short: "List the machines that you may see, or those that all words are a part of",
		Example: "  portcullis machines web prod\n  portcullis machines env=prod team=    # by tags: a value, or any",
		RunE: func(cmd *cobra.Command, words []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			q := url.Values{}
			if state != "" {
				q.Set("state", state)
			}
			if len(words) == 1 && strings.HasPrefix(words[0], "/") {
				m, err := find.Machine(cmd.Context(), c, words[0])
				if err != nil {
					return err
				}
				return s.term.Print(api.MachinesAnswer{Value: []api.Machine{m}}, func(w io.Writer) { showMachines(w, []api.Machine{m}) })
			}
			answer, err := c.AllMachines(cmd.Context(), q, 0)
			if err != nil {
				return err
			}
			answer.Value = slices.DeleteFunc(answer.Value, func(m api.Machine) bool { return !find.Matches(m, words) })
			for sub, why := range answer.Incomplete {
				s.term.Warn("the list of subscription %s is not complete: %s", sub, why)
			}
			return s.term.Print(answer, func(w io.Writer) { showMachines(w, answer.Value) })
		}}
	cmd.Flags().StringVar(&state, "state", "", "Configured, NotConfigured or Unsupported")
	return cmd
}

func showMachines(w io.Writer, all []api.Machine) {
	rows := make([][]string, 0, len(all))
	for _, m := range all {
		state := m.State
		if m.Reason != "" {
			state += " (" + m.Reason + ")"
		}
		host := ""
		if m.Connection != nil {
			host = strings.Join(m.Connection.Hosts, " ")
		}
		rows = append(rows, []string{m.Name, m.ResourceGroup, m.Location, state, ports(m.Ports), host, open(m.Windows)})
	}
	terminal.Table(w, []string{"Name", "Group", "Location", "State", "Ports", "Host", "Open"}, rows)
}

// ports writes which ports a policy closes.
func ports(rules []api.PortRule) string {
	var out []string
	for _, p := range rules {
		n, _ := p.Number.Get()
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " ")
}

// open writes which windows are open, and whose.
func open(windows []api.OpenWindow) string {
	var out []string
	for _, win := range windows {
		out = append(out, fmt.Sprintf("%d for %s until %s", win.Number, win.Requestor, terminal.Local(win.End)))
	}
	return strings.Join(out, ", ")
}
