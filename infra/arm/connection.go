package arm

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"portcullis/infra/loopback"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Connection configures access to a Resource Manager.
type Connection struct {
	// Endpoint and Audience name the cloud, such as https://management.azure.com for both. If both are empty, it is
	// the public cloud; setting only one is an error.
	Endpoint string
	Audience string
	// Options are passed to the SDK, such as Transport and Retry. ClientOptions sets Cloud, DisableRPRegistration and
	// Telemetry. InsecureAllowCredentialWithHTTP is refused unless Endpoint is a loopback address.
	Options arm.ClientOptions
	// Pacer, if set, keeps calls within ARM's limits. All clients of one identity share it.
	Pacer *Pacer
}

// ClientOptions returns the options for the SDK's clients, whose writes send the body of a [Write].
func (c Connection) ClientOptions() (arm.ClientOptions, error) {
	if (c.Endpoint == "") != (c.Audience == "") {
		return arm.ClientOptions{}, errors.New("give both Endpoint and Audience, or neither")
	}
	if u, err := url.Parse(c.Endpoint); c.Options.InsecureAllowCredentialWithHTTP && (err != nil || !loopback.Host(u.Hostname())) {
		return arm.ClientOptions{}, fmt.Errorf("a credential must not go over plain HTTP to %q", c.Endpoint)
	}
	o := c.Options
	o.Cloud = cloud.AzurePublic
	if c.Endpoint != "" {
		o.Cloud = cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: strings.TrimSuffix(c.Endpoint, "/"), Audience: c.Audience},
		}}
	}
	o.DisableRPRegistration = true // the app must not register providers
	o.Telemetry = policy.TelemetryOptions{ApplicationID: "portcullis"}
	o.PerCallPolicies = append(slices.Clone(o.PerCallPolicies), rawBody{})
	if c.Pacer != nil {
		o.PerRetryPolicies = append(slices.Clone(o.PerRetryPolicies), c.Pacer)
	}
	return o, nil
}
