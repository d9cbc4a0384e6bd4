package signin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
	"portcullis/cmd/portcullis/signin"
	"portcullis/handlers/api"
)

// TestAudience: an app at a wrong address must not get a token for Azure by naming its audience.
func TestAudience(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		before settings.SignIn
		says   []string
		want   string
	}{
		"none":                        {settings.SignIn{}, nil, ""},
		"Resource Manager":            {settings.SignIn{}, []string{"https://management.azure.com/"}, ""},
		"Resource Manager by its id":  {settings.SignIn{}, []string{"797f4846-ba00-4fd7-ba43-dac1f8f63013"}, ""},
		"Graph among others":          {settings.SignIn{}, []string{"https://graph.microsoft.com", "api://portcullis"}, "api://portcullis"},
		"of another scheme":           {settings.SignIn{}, []string{"API://portcullis", "xapi://portcullis"}, ""},
		"its own":                     {settings.SignIn{}, []string{"api://portcullis", "0f0e0d0c-0000-4000-8000-000000000001"}, "api://portcullis"},
		"what a person said":          {settings.SignIn{Audience: "0f0e0d0c-0000-4000-8000-000000000001"}, []string{"api://portcullis"}, "0f0e0d0c-0000-4000-8000-000000000001"},
		"what was agreed at sign-in":  {settings.SignIn{Audience: "api://before"}, []string{"api://now"}, "api://before"},
		"an unknown way to sign in":   {settings.SignIn{Method: "password"}, []string{"api://portcullis"}, ""},
		"the same in capital letters": {settings.SignIn{Method: "Browser"}, []string{"api://portcullis"}, ""},
	} {
		got, err := signin.For(row.before, api.EndpointsAnswer{Authentication: api.Authentication{LoginEndpoint: "https://login.microsoftonline.com", Audiences: row.says}})
		if row.want == "" {
			if exit.Of(err) != exit.Usage {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		} else if err != nil || got.Audience != row.want || got.Method != signin.Auto || got.Authority != "https://login.microsoftonline.com" {
			t.Errorf("%s: %+v, %v, want %s", name, got, err, row.want)
		}
	}
}

// TestCommand: what a program prints is a token or an error, and never shown.
func TestCommand(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"not there":   {"no-such-program-anywhere"},
		"fails":       {"false"},
		"no JSON":     {"echo", "secret"},
		"no token":    {"echo", `{"expires_in":3600}`},
		"wrong shape": {"echo", `{"access_token":["secret"]}`},
	} {
		_, err := signin.Command(args).GetToken(t.Context(), policy.TokenRequestOptions{})
		if exit.Of(err) != exit.Refused || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: exit code %d: %v", name, exit.Of(err), err)
		}
		if again, ok := errors.AsType[interface {
			error
			NonRetriable()
		}](err); !ok || again == nil {
			t.Errorf("%s: it would be tried again", name)
		}
	}
	got, err := signin.Command([]string{"echo", `{"access_token":"a $(b) c","token_type":"Bearer"}`}).GetToken(t.Context(), policy.TokenRequestOptions{})
	if err != nil || got.Token != "a $(b) c" || got.ExpiresOn.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}
