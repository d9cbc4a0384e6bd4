package signin

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/go-json-experiment/json"
)

// Command gets tokens from a program: the people of make run, for development. The program is started as a list, without a shell, and
// prints what a token endpoint answers (RFC 6749, section 5.1): {"access_token":"...","expires_in":3600}.
func Command(args []string) azcore.TokenCredential { return told{command(args)} }

type command []string

func (c command) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	run := exec.CommandContext(ctx, c[0], c[1:]...)
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr, run.WaitDelay = &out, &errs, time.Second
	if err := run.Run(); err != nil {
		return azcore.AccessToken{}, fmt.Errorf("%s: %w %s", c[0], err, firstLines(errs.String()))
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int    `json:"expires_in"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil || answer.Token == "" { // what it printed may be a token, so it is not shown
		return azcore.AccessToken{}, fmt.Errorf(`%s did not print {"access_token":"..."}`, c[0])
	}
	lasts := expiry
	if answer.Seconds > 0 {
		lasts = time.Duration(answer.Seconds) * time.Second
	}
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: time.Now().Add(lasts)}, nil
}
