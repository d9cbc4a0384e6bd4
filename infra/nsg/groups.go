package nsg

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/infra/arm"
)

// HasGroup implements [network.Groups] with one GET
// (https://learn.microsoft.com/en-us/rest/api/resources/resource-groups/get).
func (c *Client) HasGroup(ctx context.Context, subscription, group string) (bool, error) {
	doing := "look for resource group " + group
	s, err := c.subscription(subscription)
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	there, err := s.hasGroup(ctx, "/subscriptions/"+url.PathEscape(subscription)+"/resourcegroups/"+url.PathEscape(group))
	if err != nil {
		return false, arm.Translate(ctx, doing, group, err)
	}
	return there, nil
}

func (s *clients) hasGroup(ctx context.Context, path string) (bool, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, runtime.JoinPaths(s.raw.Endpoint(), path)+"?api-version="+resourcesVersion)
	if err != nil {
		return false, err
	}
	resp, err := s.raw.Pipeline().Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, runtime.NewResponseError(resp)
}
