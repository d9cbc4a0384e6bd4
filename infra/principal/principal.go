// Package principal checks the app's own identity for the doctor: whether it can get tokens, and who it is.
// [Principal] implements [doctor.Tokens] with the credential that the app's other adapters use, so its results
// apply to them.
//
// It reads who it is from its own token, which comes from the platform's identity endpoint and is not verified:
// this grants no permission, it only says whose roles to check. It shows, keeps and logs no token. The credential
// may return a cached token, so a result does not show that the endpoint answers right now.
package principal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"

	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/core/store"
)

var _ doctor.Tokens = (*Principal)(nil)

// Principal is the adapter. It is safe for concurrent use.
type Principal struct {
	cred      azcore.TokenCredential
	audiences map[string]string
}

// New returns the identity behind cred. audiences are by dependency, such as https://management.azure.com;
// [doctor.ResourceManager] is required.
func New(cred azcore.TokenCredential, audiences map[string]string) (*Principal, error) {
	if cred == nil || audiences[doctor.ResourceManager] == "" {
		return nil, errors.New("look at the app's identity: a credential and the audience of Resource Manager are needed")
	}
	return &Principal{cred: cred, audiences: audiences}, nil
}

// Token implements [doctor.Tokens].
func (p *Principal) Token(ctx context.Context, dependency string) (time.Time, error) {
	t, err := p.token(ctx, dependency)
	return t.ExpiresOn, err
}

func (p *Principal) token(ctx context.Context, dependency string) (azcore.AccessToken, error) {
	audience := p.audiences[dependency]
	if audience == "" {
		return azcore.AccessToken{}, fmt.Errorf("get a token: %q has no audience", dependency)
	}
	t, err := p.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{strings.TrimSuffix(audience, "/") + "/.default"}})
	if err != nil {
		return t, fmt.Errorf("get a token for %s: %w", dependency, &store.Unavailable{Dependency: "the endpoint for managed identities", Err: err})
	}
	return t, nil
}

// Self implements [doctor.Tokens]. An error means that it can get no token, or that the token does not say who it
// is for.
func (p *Principal) Self(ctx context.Context) (jit.Caller, error) {
	t, err := p.token(ctx, doctor.ResourceManager)
	if err != nil {
		return jit.Caller{}, err
	}
	var c struct {
		jwt.RegisteredClaims
		Tenant string `json:"tid"`
		Object string `json:"oid"`
	}
	if _, _, err := jwt.NewParser().ParseUnverified(t.Token, &c); err != nil {
		return jit.Caller{}, errors.New("read the app's own token: it is no JWT") // the error text could contain part of the token
	}
	if !jit.ValidGUID(c.Tenant) || !jit.ValidGUID(c.Object) {
		return jit.Caller{}, errors.New("read the app's own token: it does not name a tenant and an object by GUIDs")
	}
	return jit.Caller{ID: strings.ToLower(c.Tenant) + "/" + strings.ToLower(c.Object), Name: "the app"}, nil
}
