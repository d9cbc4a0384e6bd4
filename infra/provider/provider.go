// Package provider reads from Azure Resource Manager whether resource providers are registered, and Resource
// Manager's clock. [Client] implements [doctor.Providers] with a client of azcore: no SDK package in use here has
// this operation.
//
// Source: Providers - Get in the Resource Manager reference, api-version 2021-04-01. It needs
// Microsoft.Resources/subscriptions/providers/read. It registers nothing.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/infra/arm"
)

var _ doctor.Providers = (*Client)(nil)

const apiVersion = "2021-04-01"

// Client is the adapter. It is safe for concurrent use.
type Client struct{ raw *azarm.Client }

// New returns a client that calls ARM with cred. It makes no call.
func New(cred azcore.TokenCredential, to arm.Connection) (*Client, error) {
	if cred == nil {
		return nil, errors.New("new providers client: no credential")
	}
	o, err := to.ClientOptions()
	if err != nil {
		return nil, fmt.Errorf("new providers client: %w", err)
	}
	raw, err := azarm.NewClient("portcullis", "v1.0.0", cred, &o)
	if err != nil {
		return nil, fmt.Errorf("new providers client: %w", err)
	}
	return &Client{raw}, nil
}

// Registration implements [doctor.Providers] with one read.
func (c *Client) Registration(ctx context.Context, subscription, namespace string) (string, time.Time, error) {
	if !jit.ValidGUID(subscription) {
		return "", time.Time{}, fmt.Errorf("%q is not the id of a subscription", subscription)
	}
	doing := "read the provider " + namespace + " of subscription " + subscription
	r, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(c.raw.Endpoint(), "subscriptions", subscription, "providers", url.PathEscape(namespace)))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", doing, err)
	}
	r.Raw().URL.RawQuery = url.Values{"api-version": {apiVersion}}.Encode()
	resp, err := c.raw.Pipeline().Do(r)
	if err == nil && !runtime.HasStatusCode(resp, http.StatusOK) {
		err = runtime.NewResponseError(resp)
	}
	var at time.Time
	if resp != nil {
		at, _ = http.ParseTime(resp.Header.Get("Date")) // zero if the header is missing
	}
	if err != nil {
		return "", at, arm.Translate(ctx, doing, namespace, err)
	}
	var body struct {
		State string `json:"registrationState"`
	}
	if err := runtime.UnmarshalAsJSON(resp, &body); err != nil || body.State == "" {
		return "", at, fmt.Errorf("%s: the answer names no registration state", doing)
	}
	return body.State, at, nil
}
