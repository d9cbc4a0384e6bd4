package azfirewall

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/network"
	"portcullis/infra/arm"
)

// A firewall names its public addresses by resource ids, so the addresses have to be read. They are static, since
// Azure accepts no others for a firewall, and can be cached for a while.
const (
	addressLife    = 10 * time.Minute
	maxSingleReads = 8 // up to this many are read one by one, more by one list of the subscription
)

// addresses returns the public IPv4 addresses behind the ids, sorted. It skips resources that do not exist or have
// no address yet.
func (c *Client) addresses(ctx context.Context, doing string, ids []string) ([]netip.Addr, error) {
	unknown := map[string][]string{} // by subscription
	c.mu.Lock()
	for _, id := range ids {
		if had, ok := c.public[strings.ToLower(id)]; !ok || c.cfg.Now().Sub(had.at) >= addressLife {
			sub, _, _, err := parsePublic(id)
			if err != nil {
				c.mu.Unlock()
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			if key := strings.ToLower(sub); !slices.Contains(unknown[key], strings.ToLower(id)) {
				unknown[key] = append(unknown[key], strings.ToLower(id))
			}
		}
	}
	c.mu.Unlock()
	for sub, missing := range unknown {
		read := c.readAddresses
		if len(missing) > maxSingleReads {
			read = c.listAddresses
		}
		if err := read(ctx, doing, sub, missing); err != nil {
			return nil, err
		}
	}
	var out []netip.Addr
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if a := c.public[strings.ToLower(id)].addr; a.Is4() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// parsePublic parses the id of a public IP address.
func parsePublic(id string) (subscription, group, name string, err error) {
	s := strings.Split(id, "/")
	if len(s) != 9 || !strings.EqualFold(s[1], "subscriptions") || !strings.EqualFold(s[3], "resourceGroups") || !strings.EqualFold(s[7], "publicIPAddresses") {
		return "", "", "", fmt.Errorf("%q is not the id of a public IP address", id)
	}
	return s[2], s[4], s[8], nil
}

func (c *Client) remember(id string, text *string) {
	a, _ := netip.ParseAddr(arm.Value(text)) // the zero address if there is none yet
	c.mu.Lock()
	defer c.mu.Unlock()
	c.public[strings.ToLower(id)] = address{addr: a, at: c.cfg.Now()}
}

// readAddresses reads the addresses individually and concurrently.
func (c *Client) readAddresses(ctx context.Context, doing, subscription string, ids []string) error {
	s, err := c.subscription(subscription)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	g, gctx := arm.NewGroup(ctx)
	for _, id := range ids {
		g.Go(func() error {
			_, group, name, err := parsePublic(id)
			if err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
			got, err := s.addresses.Get(gctx, group, name, nil)
			if r := arm.Refusal(err); r != nil && r.StatusCode == 404 {
				c.remember(id, nil)
				return nil
			}
			if err != nil {
				return arm.Translate(ctx, doing, id, err)
			}
			var text *string
			if got.Properties != nil {
				text = got.Properties.IPAddress
			}
			c.remember(id, text)
			return nil
		})
	}
	return g.Wait()
}

// listAddresses reads every address of a subscription; ids missing from the list have none.
func (c *Client) listAddresses(ctx context.Context, doing, subscription string, ids []string) error {
	s, err := c.subscription(subscription)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	found := map[string]*string{}
	for pager := s.addresses.NewListAllPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return arm.Translate(ctx, doing, subscription, err)
		}
		for _, ip := range page.Value {
			if ip != nil && ip.Properties != nil {
				found[strings.ToLower(arm.Value(ip.ID))] = ip.Properties.IPAddress
			}
		}
	}
	for _, id := range ids {
		c.remember(id, found[id])
	}
	return nil
}

// addressed sets the firewalls' public addresses in their snapshots.
func (c *Client) addressed(ctx context.Context, doing string, docs []document, snaps []network.Snapshot) error {
	var ids []string
	for _, d := range docs {
		ids = append(ids, d.public...)
	}
	if _, err := c.addresses(ctx, doing, ids); err != nil { // reads all addresses at once
		return err
	}
	for i, d := range docs {
		var err error
		if snaps[i].Addresses, err = c.addresses(ctx, doing, d.public); err != nil {
			return err
		}
	}
	slices.SortFunc(snaps, func(a, b network.Snapshot) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	return nil
}
