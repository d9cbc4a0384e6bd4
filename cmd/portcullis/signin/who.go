package signin

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"
)

// Who is whom a token names. The app verifies tokens, and this only reads one: fields that a token does not have are empty.
type Who struct {
	Name    string    `json:"name,omitzero"`
	Object  string    `json:"objectId,omitzero"`
	Tenant  string    `json:"tenantId,omitzero"`
	Client  string    `json:"clientId,omitzero"` // the application that asked for the token
	Expires time.Time `json:"expires,omitzero"`  // of the token, by the clock of who issued it
}

// WhoIs gets a token and says whom it names.
func WhoIs(ctx context.Context, cred azcore.TokenCredential, scope string) (Who, error) {
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true})
	if err != nil {
		return Who{}, err
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token.Token, claims); err != nil {
		return Who{Expires: token.ExpiresOn}, nil // a token is the app's to understand
	}
	first := func(names ...string) string {
		for _, name := range names {
			if text, ok := claims[name].(string); ok && text != "" {
				return text
			}
		}
		return ""
	}
	return Who{Name: first("preferred_username", "upn", "unique_name", "name", "app_displayname"), Object: first("oid"), Tenant: first("tid"), Client: first("azp", "appid"), Expires: token.ExpiresOn}, nil
}
