package rbac

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// subscriptionsVersion is of Subscriptions - Get of the Resource Manager's reference.
const subscriptionsVersion = "2022-12-01"

// native reports whether the tenant that a caller's token is from is the one that the subscription is in. One that
// accepts tokens of one tenant has none of another to refuse, and asks nothing. Where the tenant of a subscription
// cannot be read, that is the error: whose directory its role assignments speak of is not guessed.
func (a *Authority) native(ctx context.Context, tenant, sub string) (bool, error) {
	if !a.several {
		return true, nil
	}
	home, err := a.homes.get(ctx, sub, Life, func(ctx context.Context) (string, int, error) {
		home, err := a.home(ctx, sub)
		return home, 64, err
	})
	return home == tenant, err
}

// home reads the tenant of a subscription, in lower case. It needs Microsoft.Resources/subscriptions/read.
func (a *Authority) home(ctx context.Context, sub string) (string, error) {
	doing := "read the tenant of subscription " + sub
	client, err := azarm.NewClient("portcullis", "v1.0.0", a.cred, &a.options)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	r, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(client.Endpoint(), "subscriptions", sub))
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	r.Raw().URL.RawQuery = url.Values{"api-version": {subscriptionsVersion}}.Encode()
	resp, err := client.Pipeline().Do(r)
	if err == nil && !runtime.HasStatusCode(resp, http.StatusOK) {
		err = runtime.NewResponseError(resp)
	}
	if notFound(err) { // Resource Manager answers so to who may not see it
		return "", fmt.Errorf("%s: %w", doing, store.ErrForbidden)
	}
	if err != nil {
		return "", translate(doing, err)
	}
	var body struct {
		Tenant string `json:"tenantId"`
	}
	if err := runtime.UnmarshalAsJSON(resp, &body); err != nil || !jit.ValidGUID(body.Tenant) {
		return "", fmt.Errorf("%s: %w", doing, errors.New("the answer names none"))
	}
	return lower(body.Tenant), nil
}
