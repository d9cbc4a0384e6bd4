// Package principal is the app's own identity, looked at: whether tokens for it can be had, and who it is. [Principal] implements
// [doctor.Tokens] over the credential that the app's other adapters use, so that what is seen here is what they meet.
//
// What it says of itself it reads from its own token, which came from the platform's endpoint for identities and is not verified:
// nothing is permitted by it, it only names whose roles to look at. It shows, keeps and logs no token. A token may be one that the credential
// remembers: that the endpoint answers at this moment is not shown.
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

// New gives the identity behind cred. audiences are by dependency, such as https://management.azure.com; that of
// [doctor.ResourceManager] must be there.
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

// Self implements [doctor.Tokens]. An error means that no token can be had, or that it does not say who it is for.
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
		return jit.Caller{}, errors.New("read the app's own token: it is no JWT") // its text could hold a part of the token
	}
	if !jit.ValidGUID(c.Tenant) || !jit.ValidGUID(c.Object) {
		return jit.Caller{}, errors.New("read the app's own token: it does not name a tenant and an object by GUIDs")
	}
	return jit.Caller{ID: strings.ToLower(c.Tenant) + "/" + strings.ToLower(c.Object), Name: "the app"}, nil
}
