package nsg

import (
	"context"
	"fmt"
	"strings"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/reach"
	"portcullis/infra/arm"
	"portcullis/infra/nsg/document"
)

// maxAdminPages bounds how often the rules of one network are asked for, of which a page
// holds as many as ARM likes.
const maxAdminPages = 50

// AdminRules gives the inbound security admin rules in effect on a virtual network, with one POST a page.
// The permission is Microsoft.Network/virtualNetworks/listNetworkManagerEffectiveSecurityAdminRules/action.
// A rule of which something is not understood is taken for the widest meaning, as in a security group, and
// an action that is not known for Deny and AlwaysAllow is taken for Allow: it is not told as deciding.
// Default rules of a network manager have no priority that a caller can read otherwise, and count like others.
//
// Unverified against the live service: all of it but the shape of the SDK's model.
func (c *Client) AdminRules(ctx context.Context, network string) ([]reach.AdminRule, error) {
	doing := "list security admin rules of " + network
	id, err := azarm.ParseResourceID(network)
	if err != nil || !strings.EqualFold(id.ResourceType.String(), "Microsoft.Network/virtualNetworks") {
		return nil, fmt.Errorf("%s: not a virtual network", doing)
	}
	s, err := c.subscription(id.SubscriptionID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var out []reach.AdminRule
	next := armnetwork.QueryRequestOptions{}
	for range maxAdminPages {
		page, err := s.management.ListNetworkManagerEffectiveSecurityAdminRules(ctx, id.ResourceGroupName, id.Name, next, nil)
		if err != nil {
			return nil, arm.Translate(ctx, doing, network, err)
		}
		for _, r := range page.Value {
			if rule, ok := document.DecodeAdminRule(r); ok {
				out = append(out, rule)
			}
		}
		if arm.Value(page.SkipToken) == "" {
			return out, nil
		}
		next.SkipToken = to.Ptr(arm.Value(page.SkipToken))
	}
	return nil, fmt.Errorf("%s: more than %d pages", doing, maxAdminPages)
}
