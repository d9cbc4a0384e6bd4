// Package signin gets tokens for an app, by Microsoft's own library: the ways in which people and programs sign in to Azure. Tokens stay in
// memory; what outlives the process is MSAL's encrypted cache alone, and only after a sign-in with a browser or a device code.
//
// Whom to ask, and for what, comes from the app (GET /api/metadata/endpoints). An app is not trusted with that blindly: only an audience
// of the form api:// is taken from it, so that a wrong address cannot ask for a token of Azure itself, and MSAL checks that the authority is Microsoft's.
package signin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/settings"
	"portcullis/handlers/api"
)

// The ways to sign in.
const (
	Auto        = "auto"        // the first of environment, workload, managed identity, Azure CLI, Azure Developer CLI and PowerShell that is there
	AzureCLI    = "azure-cli"   // as az login did
	AZD         = "azd"         // as azd auth login did
	Browser     = "browser"     // in a browser, remembered by MSAL
	DeviceCode  = "device-code" // with a code, in a browser somewhere else, remembered by MSAL
	Managed     = "managed-identity"
	Workload    = "workload-identity"
	Environment = "environment" // AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret or certificate
)

// Methods gives every way to sign in.
func Methods() []string {
	return []string{Auto, AzureCLI, AZD, Browser, DeviceCode, Managed, Workload, Environment}
}

// Interactive reports whether a way needs a person each time that nothing is remembered.
func Interactive(method string) bool { return method == Browser || method == DeviceCode }

// Error says that there is no token.
type Error struct{ Err error }

func (e *Error) Error() string {
	var needed *azidentity.AuthenticationRequiredError
	if errors.As(e.Err, &needed) {
		return "the sign-in has expired, or was never made; run portcullis login"
	}
	return "no token: " + firstLines(e.Err.Error()) + "\nsign in again, with portcullis login or as you did before"
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is that of a refusal.
func (e *Error) ExitCode() exit.Code { return exit.Refused }

// NonRetriable keeps azcore from asking again what needs a person.
func (e *Error) NonRetriable() {}

// firstLines keeps the beginning of what libraries write at length.
func firstLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(len(lines), 12)], "\n")
}

// told is a credential whose errors say what to do.
type told struct{ azcore.TokenCredential }

func (c told) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.TokenCredential.GetToken(ctx, o)
	if err != nil && ctx.Err() == nil {
		return token, &Error{err}
	}
	return token, err
}

// For completes how to sign in by what the app says of itself. What was said before, by a person, stays.
func For(how settings.SignIn, app api.EndpointsAnswer) (settings.SignIn, error) {
	if how.Method == "" {
		how.Method = Auto
	}
	if !slices.Contains(Methods(), how.Method) {
		return how, exit.Usagef("%q is no way to sign in; there are %s", how.Method, strings.Join(Methods(), ", "))
	}
	if how.Audience == "" {
		i := slices.IndexFunc(app.Authentication.Audiences, func(a string) bool { return strings.HasPrefix(a, "api://") })
		if i < 0 {
			return how, exit.Usagef("the app names no audience that begins with api://, and no other is taken from it; say what tokens are for with %s", settings.VarAudience)
		}
		how.Audience = app.Authentication.Audiences[i]
	}
	if how.Authority == "" {
		how.Authority = app.Authentication.LoginEndpoint
	}
	return how, nil
}

// Credential gives what gets tokens. ask is told what a person has to do for a device code. Without interactive, a sign-in that needs a
// person is an error.
func Credential(how settings.SignIn, interactive bool, ask func(string)) (azcore.TokenCredential, error) {
	cred, err := build(how, interactive, ask)
	if err != nil {
		return nil, &Error{err}
	}
	return told{cred}, nil
}

func build(how settings.SignIn, interactive bool, ask func(string)) (azcore.TokenCredential, error) {
	o, local := azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: how.Authority}}, here(how.Authority)
	switch how.Method {
	case Auto:
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o, TenantID: how.Tenant, DisableInstanceDiscovery: local})
	case AzureCLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: how.Tenant})
	case AZD:
		return azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{TenantID: how.Tenant})
	case Managed:
		m := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
		if how.Client != "" {
			m.ID = azidentity.ClientID(how.Client)
		}
		return azidentity.NewManagedIdentityCredential(m)
	case Workload:
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: o, ClientID: how.Client, TenantID: how.Tenant, DisableInstanceDiscovery: local})
	case Environment:
		return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: local})
	}
	return person(how, o, interactive, ask)
}

// here reports whether an authority is on this machine, as that of make run is. MSAL would ask Microsoft whether it is one of theirs.
func here(authority string) bool {
	u, err := url.Parse(authority)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// authenticator signs a person in.
type authenticator interface {
	azcore.TokenCredential
	Authenticate(context.Context, *policy.TokenRequestOptions) (azidentity.AuthenticationRecord, error)
}

// person gives a credential for which somebody signs in by hand.
func person(how settings.SignIn, o azcore.ClientOptions, interactive bool, ask func(string)) (authenticator, error) {
	store, _ := remembered() // without one the sign-in lasts as long as the process: Login says so
	var account azidentity.AuthenticationRecord
	if how.Account != nil {
		account = *how.Account
	}
	switch how.Method {
	case Browser:
		return azidentity.NewInteractiveBrowserCredential(&azidentity.InteractiveBrowserCredentialOptions{ClientOptions: o, AuthenticationRecord: account, Cache: store,
			ClientID: how.Client, TenantID: how.Tenant, DisableAutomaticAuthentication: !interactive, DisableInstanceDiscovery: here(how.Authority)})
	case DeviceCode:
		return azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{ClientOptions: o, AuthenticationRecord: account, Cache: store,
			ClientID: how.Client, TenantID: how.Tenant, DisableAutomaticAuthentication: !interactive, DisableInstanceDiscovery: here(how.Authority),
			UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error { ask(m.Message); return nil }})
	}
	return nil, fmt.Errorf("%q is no way to sign in", how.Method)
}

// Login signs in, and gives how it can be done again without a person. warning says that this machine remembers no sign-in.
func Login(ctx context.Context, how settings.SignIn, scope string, ask func(string)) (done settings.SignIn, warning string, err error) {
	if !Interactive(how.Method) {
		cred, err := Credential(how, false, ask)
		if err != nil {
			return how, "", err
		}
		_, err = cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true})
		return how, "", err
	}
	if _, err := remembered(); err != nil {
		warning = fmt.Sprintf("this machine has no safe place for a sign-in, so it would be asked for at every call: %v; use --with %s", err, AzureCLI)
	}
	cred, err := person(how, azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: how.Authority}}, true, ask)
	if err != nil {
		return how, warning, &Error{err}
	}
	account, err := cred.Authenticate(ctx, &policy.TokenRequestOptions{Scopes: []string{scope}, EnableCAE: true})
	if err != nil {
		return how, warning, &Error{err}
	}
	how.Account = &account
	return how, warning, nil
}

// expiry is how long a token lasts of which nobody said so.
const expiry = 5 * time.Minute
