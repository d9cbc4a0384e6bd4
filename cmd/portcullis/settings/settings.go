// Package settings is what the command line client knows before it asks: the address of the app, how to sign in, and what people ask for
// when they say nothing else. Flags come first, then the environment, then one file. It holds no token and no secret.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/cmd/portcullis/exit"
)

// The variables of the environment.
const (
	VarFile         = "PORTCULLIS_CONFIG"        // the file, in place of the usual one
	VarURL          = "PORTCULLIS_URL"           // the app
	VarSignIn       = "PORTCULLIS_SIGN_IN"       // the way to sign in, as login --with takes it
	VarTenant       = "PORTCULLIS_TENANT"        // where to sign in
	VarClient       = "PORTCULLIS_CLIENT_ID"     // as which application, or which managed identity
	VarAudience     = "PORTCULLIS_AUDIENCE"      // what tokens are for, where the app is not asked
	VarDuration     = "PORTCULLIS_DURATION"      // how long a request opens ports
	VarReason       = "PORTCULLIS_REASON"        // why
	VarTokenCommand = "PORTCULLIS_TOKEN_COMMAND" // for development alone: a JSON array of a program and its arguments, which prints {"access_token":"..."}
)

// Settings are what is known. Everything may be missing.
type Settings struct {
	URL      string  `json:"url,omitzero"`
	Duration string  `json:"duration,omitzero"` // such as 30m
	Reason   string  `json:"reason,omitzero"`
	SignIn   *SignIn `json:"signIn,omitzero"`

	TokenCommand []string `json:"-"` // never in the file: a program that runs by itself
	File         string   `json:"-"` // where they were read from, or would be
}

// SignIn is how somebody signed in with login. It names an account and holds nothing that lets anybody in.
type SignIn struct {
	URL       string                           `json:"url"` // the app that it was for
	Method    string                           `json:"method"`
	Tenant    string                           `json:"tenant,omitzero"`
	Client    string                           `json:"client,omitzero"`
	Authority string                           `json:"authority,omitzero"`
	Audience  string                           `json:"audience,omitzero"`
	Account   *azidentity.AuthenticationRecord `json:"account,omitzero"` // of a browser or device code, by which MSAL finds its cache
}

// Load reads the file and the environment. A file that is not understood is an error, and one that is not there is none.
func Load(getenv func(string) string) (Settings, error) {
	s, err := read(getenv)
	if err != nil {
		return s, exit.With(exit.Usage, err)
	}
	override := func(name string, into *string) {
		if v := getenv(name); v != "" {
			*into = v
		}
	}
	override(VarURL, &s.URL)
	override(VarDuration, &s.Duration)
	override(VarReason, &s.Reason)
	var here SignIn
	override(VarSignIn, &here.Method)
	override(VarTenant, &here.Tenant)
	override(VarClient, &here.Client)
	override(VarAudience, &here.Audience)
	if here != (SignIn{}) { // the environment's alone: half of one sign-in and half of another is none
		here.URL = s.URL
		s.SignIn = &here
	}
	if text := getenv(VarTokenCommand); text != "" {
		if err := json.Unmarshal([]byte(text), &s.TokenCommand); err != nil || len(s.TokenCommand) == 0 {
			return s, exit.Usagef(`%s is not a JSON array of a program and its arguments, such as ["curl","-sS","https://..."]`, VarTokenCommand)
		}
	}
	return s, nil
}

func read(getenv func(string) string) (Settings, error) {
	s := Settings{File: getenv(VarFile)}
	if s.File == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return s, nil // no home, as services have it: the environment is enough
		}
		s.File = filepath.Join(dir, "portcullis", "config.json")
	}
	text, err := os.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s, json.RejectUnknownMembers(true)); err != nil {
		return s, fmt.Errorf("%s: %w", s.File, err)
	}
	return s, nil
}

// Save changes what the file holds, without the environment in it. Only the person may read it.
func Save(getenv func(string) string, change func(*Settings)) (string, error) {
	s, err := read(getenv)
	if err != nil {
		return "", exit.With(exit.Usage, err)
	}
	if s.File == "" {
		return "", exit.Usagef("there is no folder for settings; set %s", VarFile)
	}
	change(&s)
	var text bytes.Buffer
	if err := json.MarshalWrite(&text, s, jsontext.WithIndent("  ")); err != nil {
		return "", err
	}
	text.WriteByte('\n')
	if err := os.MkdirAll(filepath.Dir(s.File), 0o700); err != nil {
		return "", err
	}
	// Beside it and then over it, so that it is never half of one.
	f, err := os.CreateTemp(filepath.Dir(s.File), ".config-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // it is gone where all went well
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return s.File, os.Rename(f.Name(), s.File)
}

// Window gives how long a request opens ports where nobody said so, 0 where that is not known either.
func (s Settings) Window() (time.Duration, error) {
	if s.Duration == "" {
		return 0, nil
	}
	return Length(s.Duration)
}
