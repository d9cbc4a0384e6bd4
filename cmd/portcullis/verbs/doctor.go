package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// Examination is what doctor answers with --json: this program's own shape, around the API's. What is not known is null, with the reason.
type Examination struct {
	Account
	Requestor    *string           `json:"requestor"` // whom the app takes you for
	Address      *string           `json:"address"`   // from where the app takes the call to come
	May          []Permission      `json:"may"`
	Installation *api.DoctorAnswer `json:"installation"` // to who administers it
	Unknown      map[string]string `json:"unknown"`      // why, by the field that is null
}

// Permission is something that was tried without doing it.
type Permission struct {
	What   string `json:"what"`
	May    *bool  `json:"may"` // null where it is not known
	Reason string `json:"reason,omitzero"`
}

func doctorVerb(s *session) *cobra.Command {
	return &cobra.Command{Use: "doctor [machine]", GroupID: own, Args: cobra.MaximumNArgs(1), Short: "Say who you are here, from which address, what you may, and what is wrong",
		Long: `Say who you are here, from which address, what you may at a machine, and what is wrong: with the clock, and, to who
administers the installation, with the installation. The machine is the first that is configured, where none is named.

What you may is found by a dry run of a request and of a policy, which writes nothing; one that is refused is in the
activity log like every refusal. The exit code is 1 where something is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := s.examine(cmd.Context(), args)
			if err != nil {
				return err
			}
			if err := s.term.Print(e, func(w io.Writer) { showExamination(w, e) }); err != nil {
				return err
			}
			if e.Ahead != nil && (time.Duration(*e.Ahead)*time.Second).Abs() >= tolerated {
				return exit.With(exit.Failed, errors.New(clockSays(time.Duration(*e.Ahead)*time.Second)))
			}
			if e.Installation != nil && e.Installation.State == "broken" {
				return exit.With(exit.Failed, errors.New("something is wrong with the installation"))
			}
			return nil
		}}
}

func (s *session) examine(ctx context.Context, args []string) (Examination, error) {
	e := Examination{Unknown: map[string]string{}, May: []Permission{}}
	var err error
	if e.Account, err = s.account(ctx); err != nil {
		return e, err
	}
	c := s.app
	told, err := c.Doctor(ctx)
	switch refused, is := errors.AsType[*client.Refusal](err); {
	case err == nil:
		e.Installation, e.Requestor = &told, &told.Caller.Name
		if address := string(told.Caller.Address); address != "" {
			e.Address = &address
		}
	case is:
		e.Unknown["installation"] = refused.Message
	default:
		return e, err
	}
	m, err := s.subject(ctx, c, args)
	if err != nil {
		return e, err
	}
	if m.ID == "" {
		e.Unknown["may"] = "there is no machine that you may see"
	} else if err := e.try(ctx, c, m); err != nil {
		return e, err
	}
	for name, value := range map[string]*string{"requestor": e.Requestor, "address": e.Address} {
		if value == nil {
			e.Unknown[name] = "the app tells it with a request, or to who administers it"
		}
	}
	return e, nil
}

// subject gives the machine to try things at: that which is named, or the first, best one that has a policy.
func (s *session) subject(ctx context.Context, c *client.Client, args []string) (api.Machine, error) {
	if len(args) == 1 {
		return find.Machine(ctx, c, args[0])
	}
	for _, q := range []string{"configured", "notConfigured"} {
		some, err := c.AllMachines(ctx, query("state", q), 1)
		if err != nil || len(some.Value) > 0 {
			return append(some.Value, api.Machine{})[0], err
		}
	}
	return api.Machine{}, nil
}

// try finds out what the caller may do at a machine, by dry runs.
func (e *Examination) try(ctx context.Context, c *client.Client, m api.Machine) error {
	ask := Permission{What: "request ports of " + m.Name, Reason: "it has no policy"}
	if len(m.Ports) > 0 {
		length, reason := settings.ISO(time.Minute), "portcullis doctor"
		g, err := c.Request(ctx, api.RequestBody{Justification: reason, VirtualMachines: []api.RequestVM{{ID: m.ID, Ports: []api.RequestPort{{Number: m.Ports[0].Number, Duration: &length}}}}}, client.How{DryRun: true})
		if err := ask.tried(err); err != nil {
			return err
		}
		if err == nil {
			e.Requestor = &g.Requestor
			for _, vm := range g.VMs {
				e.Address = &vm.Ports[0].Prefix
			}
		}
	}
	change := Permission{What: "change the policy of " + m.Name}
	_, err := c.Enable(ctx, api.EnableBody{VirtualMachines: []api.EnableVM{{ID: m.ID, Ports: m.Ports, ExistingRules: m.ExistingRules}}}, client.How{DryRun: true})
	if err := change.tried(err); err != nil {
		return err
	}
	e.May = append(e.May, ask, change)
	return nil
}

// tried notes what came of a try, and gives an error that is no answer.
func (p *Permission) tried(err error) error {
	refused, is := errors.AsType[*client.Refusal](err)
	if err != nil && !is {
		return err
	}
	may := err == nil
	switch {
	case may:
		p.May, p.Reason = &may, ""
	case refused.Code == "AuthorizationFailed":
		p.May, p.Reason = &may, refused.Message
	default: // not for want of a permission
		p.Reason = refused.Error()
	}
	return nil
}

func showExamination(w io.Writer, e Examination) {
	value := func(v *string, name string) string {
		if v == nil {
			return "not known: " + e.Unknown[name]
		}
		return *v
	}
	rows := append(e.Account.rows(), [][]string{{"the app knows you as", value(e.Requestor, "requestor")}, {"your address", value(e.Address, "address")}}...)
	for _, p := range e.May {
		says := "not known: " + p.Reason
		if p.May != nil {
			says = map[bool]string{true: "yes", false: "no: " + p.Reason}[*p.May]
		}
		rows = append(rows, []string{p.What, says})
	}
	if e.Installation == nil {
		rows = append(rows, []string{"the installation", "not known: " + e.Unknown["installation"]})
		terminal.Pairs(w, rows)
		return
	}
	rows = append(rows, []string{"the installation", e.Installation.State + ", version " + e.Installation.Version})
	terminal.Pairs(w, rows)
	checks := make([][]string, 0, len(e.Installation.Checks))
	for _, k := range e.Installation.Checks {
		checks = append(checks, []string{k.Name, k.Subscription, k.State, string(k.Seen), fmt.Sprint(k.Reason, map[bool]string{true: ". "}[k.Reason != "" && k.Advice != ""], k.Advice)})
	}
	terminal.Table(w, []string{"Check", "Subscription", "State", "Seen", "Says"}, checks)
}
