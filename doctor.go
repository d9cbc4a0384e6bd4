package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/doctor"
	"portcullis/infra/arm"
	"portcullis/infra/principal"
	"portcullis/infra/provider"
	"portcullis/infra/telemetry"
)

// appRole is the role that the templates give the app, so that what is granted and what is looked for are one list.
//
//go:embed infra/deploy/roles/app.json
var appRole []byte

// outsideOf returns the dependencies that only the doctor needs.
func outsideOf(cfg config, cred azcore.TokenCredential, pacer *arm.Pacer, rows doctor.Rows, tel *telemetry.Telemetry) (doctor.Outside, error) {
	var role struct{ Read, Write, Firewall []string }
	if err := json.Unmarshal(appRole, &role); err != nil {
		return doctor.Outside{}, fmt.Errorf("read the app's role: %w", err)
	}
	self, err := principal.New(cred, audiencesOf(cfg))
	if err != nil {
		return doctor.Outside{}, err
	}
	endpoint, audience, options := resourceManager(cfg, tel.Tracing())
	providers, err := provider.New(cred, arm.Connection{Endpoint: endpoint, Audience: audience, Options: options, Pacer: pacer})
	if err != nil {
		return doctor.Outside{}, err
	}
	return doctor.Outside{
		Tokens: self, Providers: providers, Rows: rows, Home: cfg.Home,
		Actions: doctor.Actions{Read: role.Read, Write: role.Write, Firewall: role.Firewall},
		About:   doctor.About{Version: version(), Go: runtime.Version(), UnknownSettings: cfg.Unknown, WriteLimit: !cfg.Unlimited},
	}, nil
}
