package principal_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/doctor"
	"portcullis/core/store"
	"portcullis/infra/principal"
)

var audiences = map[string]string{doctor.ResourceManager: "https://management.azure.com/", doctor.TableStorage: "https://storage.azure.com"}

var end = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)

// cred returns one token, or an error, and records what it was asked for.
type cred struct {
	token string
	err   error
	asked []string
}

func (c *cred) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.asked = append(c.asked, o.Scopes...)
	return azcore.AccessToken{Token: c.token, ExpiresOn: end}, c.err
}

func jwt(claims string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + b([]byte(claims)) + "." + b([]byte("signature"))
}

// TestSelfRefuses: a token without two GUIDs that say who the app is gives an error, which contains nothing of the
// token.
func TestSelfRefuses(t *testing.T) {
	for name, token := range map[string]string{
		"nothing":           "",
		"no token":          "SECRET",
		"no tenant":         jwt(`{"oid":"00000000-0000-0000-0000-0000000000a0"}`),
		"no object":         jwt(`{"tid":"00000000-0000-0000-0000-00000000d1d0"}`),
		"an object by name": jwt(`{"tid":"00000000-0000-0000-0000-00000000d1d0","oid":"SECRET"}`),
	} {
		p, err := principal.New(&cred{token: token}, audiences)
		if err != nil {
			t.Fatal(err)
		}
		if who, err := p.Self(t.Context()); err == nil || who.ID != "" || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %+v %v", name, who, err)
		}
	}
	for _, missing := range []map[string]string{nil, {doctor.TableStorage: "x"}} {
		if _, err := principal.New(&cred{}, missing); err == nil {
			t.Errorf("%v is taken", missing)
		}
	}
	if _, err := principal.New(nil, audiences); err == nil {
		t.Error("no credential is taken")
	}
}

func TestSelf(t *testing.T) {
	p, err := principal.New(&cred{token: jwt(`{"tid":"00000000-0000-0000-0000-00000000D1D0","oid":"00000000-0000-0000-0000-0000000000A0"}`)}, audiences)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := p.Self(t.Context()); err != nil || who.ID != "00000000-0000-0000-0000-00000000d1d0/00000000-0000-0000-0000-0000000000a0" {
		t.Errorf("%+v %v", who, err)
	}
}

// TestToken: each dependency's token is requested for its own audience, and none without one; a refusal names the
// endpoint.
func TestToken(t *testing.T) {
	c := &cred{token: "x"}
	p, err := principal.New(c, audiences)
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{doctor.ResourceManager, doctor.TableStorage} {
		if at, err := p.Token(t.Context(), of); err != nil || !at.Equal(end) {
			t.Errorf("%s: %v %v", of, at, err)
		}
	}
	if _, err := p.Token(t.Context(), doctor.ServiceBus); err == nil {
		t.Error("a token without an audience")
	}
	if got := strings.Join(c.asked, " "); got != "https://management.azure.com/.default https://storage.azure.com/.default" {
		t.Errorf("asked for %s", got)
	}
	c.err = errors.New("identity not found")
	_, err = p.Token(t.Context(), doctor.TableStorage)
	if down, ok := errors.AsType[*store.Unavailable](err); !ok || down.Dependency != "the endpoint for managed identities" {
		t.Errorf("%v", err)
	}
}
