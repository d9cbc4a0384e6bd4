package verbs

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/signin"
	"portcullis/handlers/api"
)

// wanted is what somebody asks for, by flags.
type wanted struct {
	ports         []string
	length, until string
	from          []string
	reason, key   string
	glass, drill  bool
	dry           bool
	wait          outcome.Wait
}

// flags adds those of a request.
func (a *wanted) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVarP(&a.ports, "port", "p", nil, "ports, such as 22 or 22,3389; left out where the machine's policy has one")
	f.StringVarP(&a.length, "for", "d", "", "how long, such as 30m or 1h30m; otherwise PORTCULLIS_DURATION or duration in the file of settings")
	f.StringVar(&a.until, "until", "", "until when, an RFC 3339 time, in place of --for")
	f.StringSliceVar(&a.from, "from", nil, "addresses or ranges that may connect; your own where it is left out")
	f.StringVarP(&a.reason, "reason", "r", "", "why; otherwise PORTCULLIS_REASON or reason in the file of settings")
	f.BoolVar(&a.glass, "break-glass", false, "open without approval, in an emergency: it needs a reason and the app role for it, and somebody else has to review it")
	f.BoolVar(&a.drill, "drill", false, "with --break-glass: all of that, and nothing opens")
	cmd.MarkFlagsMutuallyExclusive("for", "until")
	a.writes(cmd)
}

// writes adds the flags of whatever asks for ports.
func (a *wanted) writes(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.key, "key", "", "the Idempotency-Key: the same key gives the same request again; a new one where it is left out")
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, outcome.DryRunSays)
	a.wait.Approval = true
	a.wait.Flags(cmd)
}

// how gives how to send it.
func (a *wanted) how() client.How {
	if a.key == "" {
		a.key = uuid.NewString()
	}
	return client.How{DryRun: a.dry, Key: a.key, Async: a.wait.Never}
}

func requestVerb(s *session) *cobra.Command {
	var a wanted
	cmd := &cobra.Command{Use: "request machine...", GroupID: access, Args: cobra.MinimumNArgs(1), Short: "Open ports of machines for a while",
		Long: `Open ports of machines for a while: of all that are named, or of none. It waits until Azure has confirmed it, and before that for
whoever has to approve it.

Each argument names one machine; words of one machine stand in quotes: portcullis request "web prod" --for 30m`,
		Example: "  portcullis request web --port 22 --for 30m --reason 'look at the logs'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			body, err := s.bodyOf(cmd.Context(), c, args, &a)
			if err != nil {
				return err
			}
			return s.opened(cmd.Context(), c, a, func(ctx context.Context) (client.Pending, error) { return c.Request(ctx, body, a.how()) })
		}}
	a.flags(cmd)
	return cmd
}

// opened sends a request, waits for it and shows it.
func (s *session) opened(ctx context.Context, c *client.Client, a wanted, send func(context.Context) (client.Pending, error)) error {
	g, err := a.wait.Open(ctx, c, s.term, send)
	if g.ID == "" && !g.DryRun {
		return err
	}
	if shown := s.term.Print(g, func(w io.Writer) { outcome.Show(w, s.term, c, g) }); err == nil {
		return shown
	}
	return err
}

// bodyOf finds the machines and asks for whatever was not said.
func (s *session) bodyOf(ctx context.Context, c *client.Client, names []string, a *wanted) (api.RequestBody, error) {
	body := api.RequestBody{BreakGlass: a.glass, Drill: a.drill}
	demands := a.glass
	for _, name := range names {
		m, err := find.Machine(ctx, c, name)
		if err != nil {
			return body, err
		}
		numbers, err := s.portsOf(m, a.ports)
		if err != nil {
			return body, err
		}
		vm := api.RequestVM{ID: m.ID}
		for _, n := range numbers {
			vm.Ports = append(vm.Ports, api.RequestPort{Number: api.PortOf(n), Prefixes: a.from})
		}
		body.VirtualMachines = append(body.VirtualMachines, vm)
		demands = demands || m.InForce != nil && m.InForce.RequireJustification
	}
	if err := s.lengthOf(a); err != nil {
		return body, err
	}
	for i := range body.VirtualMachines {
		for j := range body.VirtualMachines[i].Ports {
			p := &body.VirtualMachines[i].Ports[j]
			if a.until != "" {
				p.End = &a.until
			} else {
				p.Duration = &a.length
			}
		}
	}
	var err error
	body.Justification, err = s.reasonOf(a.reason, demands)
	return body, err
}

// lengthOf reads how long: of the flags, the settings, or of whom it asks.
func (s *session) lengthOf(a *wanted) error {
	if a.until != "" {
		if _, err := time.Parse(time.RFC3339, a.until); err != nil {
			return exit.Usagef("--until %q is not an RFC 3339 time, such as 2026-11-30T17:00:00+01:00", a.until)
		}
		return nil
	}
	if a.length == "" {
		a.length = s.known.Duration
	}
	if a.length == "" {
		if !s.term.Asks() {
			return exit.Usagef("how long? Say --for 30m, or set %s", settings.VarDuration)
		}
		var err error
		if a.length, err = s.term.Ask("How long?", "30m"); err != nil {
			return err
		}
	}
	d, err := settings.Length(a.length)
	a.length = settings.ISO(d)
	return err
}

// reasonOf gives why, and asks where the machine demands one. Where nobody is there to ask, the app says what it demands.
func (s *session) reasonOf(flag string, demands bool) (string, error) {
	if flag == "" {
		flag = s.known.Reason
	}
	if flag == "" && demands && s.term.Asks() {
		return s.term.Ask("Why?", "")
	}
	return flag, nil
}

// portsOf reads which ports of a machine are asked for; none said are the only one of its policy.
func (s *session) portsOf(m api.Machine, asked []string) ([]uint16, error) {
	var out []uint16
	for _, text := range asked {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return nil, exit.Usagef("--port %q is not the number of a port, 1 to 65535", text)
		}
		out = append(out, uint16(n))
	}
	if len(out) > 0 {
		return out, nil
	}
	has := strings.Fields(ports(m.Ports))
	switch {
	case len(has) == 1:
		return s.portsOf(m, has)
	case len(has) == 0:
		return nil, exit.Usagef("%s has no policy for ports (%s): portcullis enable makes one, for who may", m.Name, m.State)
	case s.term.Asks():
		usual := ""
		if slices.Contains(has, "22") {
			usual = "22"
		}
		text, err := s.term.Ask(fmt.Sprintf("Which port of %s (%s)?", m.Name, strings.Join(has, ", ")), usual)
		if err != nil {
			return nil, err
		}
		return s.portsOf(m, []string{text})
	}
	return nil, exit.Usagef("which port of %s? Say --port with one or more of %s", m.Name, strings.Join(has, ", "))
}

func againVerb(s *session) *cobra.Command {
	var a wanted
	cmd := &cobra.Command{Use: "again [request]", GroupID: access, Args: cobra.MaximumNArgs(1), Short: "Ask once more for what an earlier request of yours asked for; the last one where none is named",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			id, err := s.earlier(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			return s.opened(cmd.Context(), c, a, func(ctx context.Context) (client.Pending, error) { return c.Again(ctx, id, a.how()) })
		}}
	a.writes(cmd)
	return cmd
}

// earlier gives the id of an earlier request: that which is named, or the newest of who is signed in.
func (s *session) earlier(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) == 1 {
		return outcome.ID(args[0])
	}
	who, err := signin.WhoIs(ctx, s.cred, client.Scope(s.how.Audience))
	if err != nil {
		return "", err
	}
	if who.Object == "" {
		return "", exit.Usagef("the token does not say who you are; name the request: portcullis requests lists them")
	}
	newest, err := c.AllRequests(ctx, query("requestorObjectId", who.Object), 1)
	if err != nil {
		return "", err
	}
	if len(newest.Value) == 0 {
		return "", exit.Usagef("you have made no request yet")
	}
	return newest.Value[0].ID, nil
}
