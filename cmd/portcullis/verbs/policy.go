package verbs

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/outcome"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// policy is what somebody wants of machines, by flags.
type policy struct {
	ports    []string
	from     []string
	maximum  string
	existing string
	options  api.Options
	dry      bool
}

func (p *policy) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVarP(&p.ports, "port", "p", nil, "ports to close, such as 22 or 22/tcp,3389; left out: 22, 3389, 5985 and 5986")
	f.StringSliceVar(&p.from, "from", nil, "addresses or ranges that requests may be for; any where it is left out")
	f.StringVar(&p.maximum, "maximum", "3h", "the longest that a request may open a port")
	f.StringVar(&p.existing, "existing-rules", "", "override or respect: what to do with rules of others that open a port")
	f.BoolVar(&p.options.ForbidAnySource, "forbid-any-source", false, "refuse requests for any address")
	f.BoolVar(&p.options.RequireJustification, "require-reason", false, "refuse requests without a reason")
	f.IntVar(&p.options.WidestIPv4Prefix, "widest-ipv4", 0, "refuse wider ranges than /N")
	f.IntVar(&p.options.WidestIPv6Prefix, "widest-ipv6", 0, "refuse wider ranges than /N")
	f.IntVar(&p.options.Approvers, "approvers", 0, "how many people have to approve a request, 0 to 5")
	f.StringSliceVar(&p.options.ApproverObjectIDs, "approver", nil, "who may approve, people and groups by object id; left out: who may change the policy, or has the app role")
	f.BoolVar(&p.dry, "dry-run", false, outcome.DryRunSays)
}

// of gives the policy of one machine. What no flag says is left out, so that the app's own defaults and what is stored count.
func (p *policy) of(cmd *cobra.Command, m api.Machine) (api.EnableVM, error) {
	vm := api.EnableVM{ID: m.ID, ExistingRules: p.existing}
	for _, name := range []string{"forbid-any-source", "require-reason", "widest-ipv4", "widest-ipv6", "approvers", "approver"} {
		if cmd.Flags().Changed(name) {
			vm.Options = &p.options
		}
	}
	maximum, err := settings.Length(p.maximum)
	if err != nil {
		return vm, err
	}
	if len(p.ports) == 0 {
		if len(p.from) > 0 || cmd.Flags().Changed("maximum") {
			return vm, exit.Usagef("--from and --maximum are about ports; name them with --port")
		}
		return vm, nil
	}
	for _, text := range p.ports {
		number, protocol, named := strings.Cut(text, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 || named && protocol == "" {
			return vm, exit.Usagef("--port %q is neither a port nor a port and a protocol, such as 22/tcp", text)
		}
		rule := api.PortRule{Number: api.PortOf(uint16(n)), Protocol: "*", Prefixes: p.from, Maximum: settings.ISO(maximum)}
		if named {
			rule.Protocol = strings.ToUpper(protocol)
		}
		if len(p.from) == 0 {
			anywhere := "*"
			rule.Prefix = &anywhere
		}
		vm.Ports = append(vm.Ports, rule)
	}
	return vm, nil
}

func enableVerb(s *session) *cobra.Command {
	var p policy
	cmd := &cobra.Command{Use: "enable machine...", GroupID: policies, Args: cobra.MinimumNArgs(1), Short: "Close management ports of machines until somebody asks for them",
		Long: "Close management ports of machines until somebody asks for them. It shows what would change and asks before it does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			var body api.EnableBody
			var how client.How
			for _, name := range args {
				m, err := find.Machine(cmd.Context(), c, name)
				if err != nil {
					return err
				}
				vm, err := p.of(cmd, m)
				if err != nil {
					return err
				}
				body.VirtualMachines = append(body.VirtualMachines, vm)
				if how.ETag = m.ETag; m.ETag == "" {
					how.ETag = "*"
				}
			}
			if len(args) > 1 { // the API compares one machine alone
				how.ETag = ""
			}
			if p.dry || !s.term.Yes {
				would, err := c.Enable(cmd.Context(), body, client.How{DryRun: true, ETag: how.ETag})
				if err != nil {
					return err
				}
				if p.dry {
					return s.term.Print(would, func(w io.Writer) { s.showEnabled(w, would) })
				}
				s.showEnabled(s.world.Err, would)
				if err := s.term.Confirm("Change that?"); err != nil {
					return err
				}
			}
			answer, err := c.Enable(cmd.Context(), body, how)
			if err != nil {
				return err
			}
			return s.term.Print(answer, func(w io.Writer) { s.showEnabled(w, answer) })
		}}
	p.flags(cmd)
	return cmd
}

func (s *session) showEnabled(w io.Writer, a api.EnableAnswer) {
	if a.DryRun {
		fmt.Fprintln(w, "dry run: nothing was written")
	}
	rows := make([][]string, 0, len(a.VirtualMachines))
	for _, vm := range a.VirtualMachines {
		rows = append(rows, []string{outcome.Name(vm.ID), ports(vm.Ports), foreign(vm.Overridden), foreign(vm.Exposed), foreign(vm.Blocked)})
		if len(vm.Unguarded) > 0 {
			s.term.Warn("%s has network interfaces without a security group: %s", outcome.Name(vm.ID), strings.Join(vm.Unguarded, ", "))
		}
		if len(vm.Shared) > 0 {
			s.term.Warn("%s shares addresses with another machine behind the same security group, so no request is granted: %s", outcome.Name(vm.ID), strings.Join(vm.Shared, ", "))
		}
		if vm.Unchecked != "" {
			s.term.Warn("%s: rules of others were not looked at: %s", outcome.Name(vm.ID), vm.Unchecked)
		}
	}
	terminal.Table(w, []string{"Machine", "Closed", "Overrides", "Still open by", "Kept shut by"}, rows)
	outcome.Changes(w, a.Changes)
	if a.Windows != nil {
		fmt.Fprintln(w, a.Windows.Summary)
		outcome.Ended(w, append(a.Windows.Closes, a.Windows.Shortens...), a.Windows.Hidden)
	}
}

func foreign(rules []api.Foreign) string {
	var out []string
	for _, r := range rules {
		out = append(out, fmt.Sprintf("%s (%d)", r.Rule, r.Port))
	}
	return strings.Join(out, ", ")
}

func disableVerb(s *session) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{Use: "disable machine...", GroupID: policies, Args: cobra.MinimumNArgs(1), Short: "End the protection of machines, and every window at them",
		Long: "End the protection of machines, and every window at them. Their ports are then what the rules of others say. It shows what would change and asks before it does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client(cmd.Context())
			if err != nil {
				return err
			}
			var body api.VmsBody
			for _, name := range args {
				m, err := find.Machine(cmd.Context(), c, name)
				if err != nil {
					return err
				}
				body.VirtualMachines = append(body.VirtualMachines, api.VmRef{ID: m.ID})
			}
			if dry || !s.term.Yes {
				would, err := c.Disable(cmd.Context(), body, client.How{DryRun: true})
				if err != nil {
					return err
				}
				if dry {
					return s.term.Print(would, func(w io.Writer) { showDisabled(w, would) })
				}
				showDisabled(s.world.Err, would)
				if err := s.term.Confirm("End that protection?"); err != nil {
					return err
				}
			}
			answer, err := c.Disable(cmd.Context(), body, client.How{})
			if err != nil {
				return err
			}
			return s.term.Print(answer, func(w io.Writer) { showDisabled(w, answer) })
		}}
	cmd.Flags().BoolVar(&dry, "dry-run", false, outcome.DryRunSays)
	return cmd
}

func showDisabled(w io.Writer, a api.DisableAnswer) {
	if a.DryRun {
		fmt.Fprintln(w, "dry run: nothing was written")
	}
	var names []string
	for _, vm := range a.VirtualMachines {
		names = append(names, outcome.Name(vm.ID))
	}
	fmt.Fprintln(w, "no policy any more: "+terminal.Plain(strings.Join(names, " ")))
	outcome.Ended(w, a.Closes, a.Hidden)
	if a.DryRun {
		outcome.Changes(w, a.Changes)
	}
}
