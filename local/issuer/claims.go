package issuer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrToken is wrapped by every error of [Issuer.Verify]; its text says what was wrong with the token.
var ErrToken = errors.New("invalid token")

// Claims is what a token says. Times are Unix seconds.
type Claims struct {
	Issuer            string   `json:"iss"`
	Audience          string   `json:"aud"`
	Tenant            string   `json:"tid"`
	ObjectID          string   `json:"oid"`
	Subject           string   `json:"sub"`
	PreferredUsername string   `json:"preferred_username,omitempty"`
	Name              string   `json:"name,omitempty"`
	Groups            []string `json:"groups,omitempty"`
	Roles             []string `json:"roles,omitempty"` // app roles of the app's registration, in tokens for the app alone
	Version           string   `json:"ver"`
	ClientID          string   `json:"azp,omitempty"`
	Type              string   `json:"idtyp,omitempty"` // "app" for the managed identity
	Scope             string   `json:"scp,omitempty"`   // of a person's access token
	Nonce             string   `json:"nonce,omitempty"` // of an ID token
	IssuedAt          int64    `json:"iat"`
	NotBefore         int64    `json:"nbf"`
	Expires           int64    `json:"exp"`
}

// Verify returns the claims of a token that this issuer signed, for one of the audiences, and that is valid now: the
// window is [nbf, exp) without any leeway. An audience matches with or without a final slash. Without audiences nothing
// is accepted. Every error wraps [ErrToken]. It does not say what the bearer may do.
func (i *Issuer) Verify(token string, audiences ...string) (Claims, error) {
	var c Claims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != i.kid {
			return nil, fmt.Errorf("unknown key id %v", t.Header["kid"])
		}
		return &i.key.PublicKey, nil
	})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if err := i.valid(c, audiences); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return c, nil
}

func (i *Issuer) valid(c Claims, audiences []string) error {
	now := i.cfg.Now().Unix()
	switch {
	case c.Issuer != i.IssuerURL():
		return fmt.Errorf("the issuer is %q", c.Issuer)
	case c.Tenant != i.cfg.Tenant:
		return fmt.Errorf("the tenant is %q", c.Tenant)
	case now < c.NotBefore:
		return errors.New("not valid yet")
	case now >= c.Expires:
		return errors.New("expired")
	case c.ObjectID == "":
		return errors.New("no object id")
	}
	for _, a := range audiences {
		if a != "" && strings.EqualFold(strings.TrimSuffix(a, "/"), strings.TrimSuffix(c.Audience, "/")) {
			return nil
		}
	}
	return fmt.Errorf("the audience is %q", c.Audience)
}

// Claims is usable with the jwt package, which asks for the accessors below. Validation happens in Verify.
var _ jwt.Claims = Claims{}

// GetExpirationTime implements jwt.Claims.
func (c Claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires), nil }

// GetIssuedAt implements jwt.Claims.
func (c Claims) GetIssuedAt() (*jwt.NumericDate, error) { return date(c.IssuedAt), nil }

// GetNotBefore implements jwt.Claims.
func (c Claims) GetNotBefore() (*jwt.NumericDate, error) { return date(c.NotBefore), nil }

// GetIssuer implements jwt.Claims.
func (c Claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject implements jwt.Claims.
func (c Claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience implements jwt.Claims.
func (c Claims) GetAudience() (jwt.ClaimStrings, error) { return jwt.ClaimStrings{c.Audience}, nil }

func date(unix int64) *jwt.NumericDate { return jwt.NewNumericDate(time.Unix(unix, 0)) }
