package verbs

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/signin"
	"portcullis/cmd/portcullis/terminal"
)

// session is one run of the program: what is around it, what is known, and the app as it is called.
type session struct {
	world World
	term  *terminal.Terminal
	url   string // the flag
	began bool   // a verb runs: what goes wrong now is no matter of usage

	known settings.Settings
	how   settings.SignIn
	cred  azcore.TokenCredential
	app   *client.Client
}

// open gives the client of the app before anybody has signed in.
func (s *session) open() (*client.Client, error) {
	s.began = true
	if s.app != nil {
		return s.app, nil
	}
	var err error
	if s.known, err = settings.Load(s.world.Getenv); err != nil {
		return nil, err
	}
	if s.url == "" {
		s.url = s.known.URL
	}
	if s.url == "" {
		return nil, exit.Usagef("which app? Say portcullis login https://<app>, or set %s", settings.VarURL)
	}
	app, err := client.New(s.url, client.Options{Version: version(), Now: s.world.Now, RetryDelay: s.world.RetryDelay})
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	s.app = app
	return app, nil
}

// client gives the client of the app, which signs in at its first call.
func (s *session) client(ctx context.Context) (*client.Client, error) {
	app, err := s.open()
	if err != nil || s.cred != nil {
		return app, err
	}
	if err := s.knowHow(ctx); err != nil {
		return nil, err
	}
	if len(s.known.TokenCommand) > 0 {
		s.cred = signin.Command(s.known.TokenCommand)
	} else if s.cred, err = signin.Credential(s.how, s.term.Asks(), func(text string) { s.term.Say("%s", text) }); err != nil {
		return nil, err
	}
	s.app = app.SignedIn(s.cred, s.how.Audience)
	return s.app, nil
}

// knowHow finds out how to sign in: as it was done before for this app, completed by what the app says of itself.
func (s *session) knowHow(ctx context.Context) error {
	if before := s.known.SignIn; before != nil {
		if a, err := client.Address(before.URL); err == nil && a.String() == s.app.App() {
			s.how = *before
		}
	}
	if s.how.Authority != "" && s.how.Audience != "" {
		return nil // as it was at login: asked of the app again, another answer would be no reason to sign in elsewhere
	}
	says, err := s.app.Endpoints(ctx)
	if err != nil {
		return err
	}
	s.how, err = signin.For(s.how, says)
	return err
}

// tolerated is how far clocks may differ without a word: the app itself tolerates two minutes.
const tolerated = 2 * time.Minute

func (s *session) difference() (time.Duration, bool) {
	if s.app == nil {
		return 0, false
	}
	return s.app.ClockDifference()
}

// clockSays says how this machine's clock differs.
func clockSays(ahead time.Duration) string {
	if ahead > 0 {
		return fmt.Sprintf("the clock of this machine is %s behind that of the app; set it right", ahead.Abs())
	}
	return fmt.Sprintf("the clock of this machine is %s ahead of that of the app; set it right", ahead.Abs())
}
