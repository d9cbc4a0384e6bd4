package verbs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/pkg/browser"
	"github.com/spf13/cobra"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/connect"
	"portcullis/cmd/portcullis/decision"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/terminal"
	"portcullis/handlers/api"
)

// World is what is around the process.
type World struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Now      func() time.Time
	// RetryDelay is the first wait before a call is sent again; 0 for the usual one.
	RetryDelay time.Duration
	// Browse shows a page of an http or https address.
	Browse func(address string) error
}

// System gives the world of this process.
func System() World {
	return World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Now: time.Now, Browse: browse}
}

// browse starts the person's browser. What it prints is no answer of ours.
func browse(address string) error {
	browser.Stdout = os.Stderr
	return browser.OpenURL(address)
}

// Run does what a command line says and gives the exit code. What went wrong is on stderr.
func Run(ctx context.Context, args []string, w World) exit.Code {
	s := &session{world: w, term: &terminal.Terminal{In: w.In, Out: w.Out, Err: w.Err}}
	cmd := root(s)
	cmd.SetArgs(args)
	cmd.SetIn(w.In)
	cmd.SetOut(w.Out)
	cmd.SetErr(w.Err)
	err := cmd.ExecuteContext(ctx)
	defer s.clock()
	if err == nil {
		return exit.Done
	}
	if _, known := errors.AsType[*exit.Error](err); !known && !s.began { // cobra's own: flags, arguments, unknown verbs
		err = exit.With(exit.Usage, err)
	}
	s.complain(err)
	return exit.Of(err)
}

// complain says what went wrong, once: for people, or with --json in the API's own shape.
func (s *session) complain(err error) {
	if own, ok := errors.AsType[*exit.Error](err); ok && own.Err == nil {
		return
	}
	if s.term.JSON {
		detail := api.ErrorDetail{Code: codes[exit.Of(err)], Message: err.Error()}
		if refused, ok := errors.AsType[*client.Refusal](err); ok {
			detail = refused.ErrorDetail
		}
		_ = json.MarshalWrite(s.world.Err, api.ErrorBody{Error: detail}) // stderr is gone, and with it everybody to tell
		fmt.Fprintln(s.world.Err)
		return
	}
	fmt.Fprintln(s.world.Err, "portcullis: "+terminal.Plain(err.Error()))
}

// clock says that the clocks differ, which is behind much that looks like something else: a token that is refused, an end in the past.
func (s *session) clock() {
	if ahead, known := s.difference(); known && ahead.Abs() >= tolerated && !s.term.JSON {
		s.term.Warn("%s", clockSays(ahead))
	}
}

// codes name what the client itself has to say in the API's shape of an error.
var codes = map[exit.Code]api.Code{exit.Failed: "ClientError", exit.Usage: "UsageError", exit.Refused: "Refused", exit.Waiting: "AwaitingApproval", exit.TimedOut: "TimedOut",
	exit.Unreachable: "Unreachable", exit.Interrupted: "Interrupted"}

// root gives the command line.
func root(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "portcullis",
		Short: "Open management ports of Azure virtual machines, for a while",
		Long: `Open management ports of Azure virtual machines for a while, and see who has what open.

The address of the app is enough to begin with: portcullis login https://<app>, or PORTCULLIS_URL.
A machine is named by its name, by any words of its name, resource group, location and addresses, by tags as
name=value, or by its resource id. A name that begins with a dash stands after --.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 waiting for approval, 5 timed out, 6 unreachable, 130 interrupted.`,
		Version: version(), SilenceErrors: true, SilenceUsage: true,
	}
	flags := cmd.PersistentFlags()
	flags.BoolVar(&s.term.JSON, "json", false, "answer in the shapes of the API")
	flags.BoolVarP(&s.term.Yes, "yes", "y", false, "ask nothing: yes to every question")
	flags.BoolVarP(&s.term.Quiet, "quiet", "q", false, "say nothing but answers, warnings and errors")
	flags.StringVar(&s.url, "app", "", "address of the app; otherwise PORTCULLIS_URL or that of the last login")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	cmd.AddGroup(&cobra.Group{ID: access, Title: "Access:"}, &cobra.Group{ID: decisions, Title: "The access of others:"}, &cobra.Group{ID: policies, Title: "Policies:"}, &cobra.Group{ID: records, Title: "What there is and was:"}, &cobra.Group{ID: own, Title: "This program:"})
	cmd.SetHelpCommandGroupID(own)
	cmd.SetCompletionCommandGroupID(own)
	for _, verb := range verbs() {
		cmd.AddCommand(verb(s))
	}
	cmd.AddCommand(connect.Verbs(&connect.Session{Term: s.term, In: s.world.In, Out: s.world.Out, Err: s.world.Err, Getenv: s.world.Getenv, Group: access, Client: s.client,
		Known: func() settings.Settings { return s.known }, How: func() settings.SignIn { return s.how }})...)
	cmd.AddCommand(decision.Verbs(&decision.Session{Term: s.term, Err: s.world.Err, Group: decisions, Client: s.client})...)
	return cmd
}

// The groups of verbs in the help.
const (
	access    = "access"
	decisions = "decisions"
	policies  = "policies"
	records   = "records"
	own       = "own"
)

// verbs is the whole command line.
func verbs() []func(*session) *cobra.Command {
	return []func(*session) *cobra.Command{requestVerb, extendVerb, revokeVerb, againVerb, enableVerb, disableVerb, machinesVerb, requestsVerb, activityVerb, findingsVerb,
		loginVerb, statusVerb, doctorVerb, openVerb, manVerb}
}

// flagError adds what people miss who name a machine that begins with a dash.
func flagError(err error) error {
	text := err.Error()
	if strings.HasPrefix(text, "unknown shorthand flag") || strings.HasPrefix(text, "unknown flag") {
		text += "; a name that begins with a dash stands after --"
	}
	return exit.With(exit.Usage, errors.New(text))
}

// version gives the release, as the Go command stamped it into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
