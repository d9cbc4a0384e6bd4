package verbs

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/signin"
	"portcullis/cmd/portcullis/terminal"
)

// Account is what login and status answer with --json: it is this program's own, since the API has no such operation.
type Account struct {
	App       string     `json:"app"`
	Method    string     `json:"method"`
	Authority string     `json:"authority,omitzero"`
	Audience  string     `json:"audience"`
	Who       signin.Who `json:"who"`                             // whom the token names
	Ahead     *int       `json:"appClockAheadSeconds"`            // of this machine's; null where it is not known
	Machines  *int       `json:"machines"`                        // how many the app lets you see
	File      string     `json:"settings,omitzero"`               // where the sign-in was saved
	Unknown   string     `json:"appClockUnknownBecause,omitzero"` // why
}

func loginVerb(s *session) *cobra.Command {
	var want settings.SignIn
	cmd := &cobra.Command{Use: "login [address]", GroupID: own, Args: cobra.MaximumNArgs(1), Short: "Sign in to an app, and remember its address and the way",
		Long: `Sign in to an app, and remember its address and the way to sign in. No token is saved, beyond MSAL's own
encrypted cache after a sign-in with a browser or a device code.

--with is one of ` + strings.Join(signin.Methods(), ", ") + `;
auto takes the first of environment, workload identity, managed identity, Azure CLI, Azure Developer CLI and
Azure PowerShell that is signed in.`,
		Example: "  portcullis login https://portcullis.example\n  portcullis login https://portcullis.example --with browser",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.url = args[0]
			}
			account, err := s.login(cmd.Context(), want)
			if err != nil {
				return err
			}
			return s.term.Print(account, func(w io.Writer) { showAccount(w, account) })
		}}
	cmd.Flags().StringVar(&want.Method, "with", signin.Auto, "the way to sign in")
	cmd.Flags().StringVar(&want.Tenant, "tenant", "", "the tenant to sign in to")
	cmd.Flags().StringVar(&want.Client, "client-id", "", "the application to sign in as, with a browser or a device code, or the managed identity")
	cmd.Flags().StringVar(&want.Audience, "audience", "", "what tokens are for, where the app is not to be asked")
	return cmd
}

// login signs in as somebody wants, and saves the way once the app has accepted it.
func (s *session) login(ctx context.Context, how settings.SignIn) (Account, error) {
	app, err := s.open()
	if err != nil {
		return Account{}, err
	}
	if len(s.known.TokenCommand) > 0 {
		return Account{}, exit.Usagef("%s is set, which is a sign-in of its own; unset it to sign in", settings.VarTokenCommand)
	}
	says, err := app.Endpoints(ctx)
	if err != nil {
		return Account{}, err
	}
	how.URL = app.App()
	if how, err = signin.For(how, says); err != nil {
		return Account{}, err
	}
	s.term.Say("signing in at %s for %s", how.Authority, how.Audience)
	how, warning, err := signin.Login(ctx, how, client.Scope(how.Audience), func(text string) { s.term.Say("%s", text) })
	if err != nil {
		return Account{}, err
	}
	if warning != "" {
		s.term.Warn("%s", warning)
	}
	s.known.SignIn = &how
	account, err := s.account(ctx)
	if err != nil {
		return account, err
	}
	account.File, err = settings.Save(s.world.Getenv, func(k *settings.Settings) { k.URL, k.SignIn = app.App(), &how })
	return account, err
}

// account signs in and asks the app whether it accepts that.
func (s *session) account(ctx context.Context) (Account, error) {
	c, err := s.client(ctx)
	if err != nil {
		return Account{}, err
	}
	out := Account{App: c.App(), Method: s.how.Method, Authority: s.how.Authority, Audience: s.how.Audience}
	if len(s.known.TokenCommand) > 0 {
		out.Method = "token-command"
	}
	if out.Who, err = signin.WhoIs(ctx, s.cred, client.Scope(s.how.Audience)); err != nil {
		return out, err
	}
	seen, err := c.Machines(ctx, query("top", "1"))
	if err != nil {
		return out, err
	}
	n := seen.Counts.Configured + seen.Counts.NotConfigured + seen.Counts.Unsupported
	out.Machines = &n
	if ahead, known := c.ClockDifference(); known {
		seconds := int(ahead.Seconds())
		out.Ahead = &seconds
	} else {
		out.Unknown = "the answers have no Date"
	}
	return out, nil
}

func showAccount(w io.Writer, a Account) { terminal.Pairs(w, a.rows()) }

// rows gives the account as names and values.
func (a Account) rows() [][]string {
	rows := [][]string{{"app", a.App}, {"signed in as", name(a.Who)}, {"by", a.Method}, {"at", a.Authority}, {"for", a.Audience},
		{"token until", a.Who.Expires.Local().Format(time.DateTime)}, {"clock", clock(a.Ahead, a.Unknown)}, {"machines", fmt.Sprint(*a.Machines)}}
	if a.File != "" {
		rows = append(rows, []string{"saved in", a.File})
	}
	return rows
}

// name gives whom a token names.
func name(w signin.Who) string {
	switch {
	case w.Name != "" && w.Object != "":
		return w.Name + " (" + w.Object + ")"
	case w.Name+w.Object != "":
		return w.Name + w.Object
	}
	return "not known: the token does not say it"
}

// clock says how the clocks compare.
func clock(ahead *int, unknown string) string {
	switch {
	case ahead == nil:
		return "not known: " + unknown
	case *ahead == 0:
		return "as the app's"
	}
	return fmt.Sprintf("the app's is %s ahead of this machine's", time.Duration(*ahead)*time.Second)
}

func statusVerb(s *session) *cobra.Command {
	return &cobra.Command{Use: "status", GroupID: own, Args: cobra.NoArgs, Short: "Say which app is called, as whom, and whether it accepts that",
		RunE: func(cmd *cobra.Command, _ []string) error {
			account, err := s.account(cmd.Context())
			if err != nil {
				return err
			}
			return s.term.Print(account, func(w io.Writer) { showAccount(w, account) })
		}}
}
