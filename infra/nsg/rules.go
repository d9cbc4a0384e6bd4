package nsg

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/nsg/document"
	"portcullis/infra/nsg/topology"
)

// maxWaitLooks bounds how often Rules looks at an NSG that is being written: two minutes of the
// usual time between looks, far longer than a write takes. looksPerPoll is how many looks there are in Config.PollEvery: another
// instance leaves [network.TargetKind].WriteGap between its writes, and one look has to fall into it.
const (
	maxWaitLooks = 240
	looksPerPoll = 2
)

// Rules reads one NSG with one GET, and with one more after each half of PollEvery while a
// write to it is under way. Default rules are not among its rules.
// [store.ErrNotFound], [store.ErrForbidden], *[store.Unavailable].
func (c *Client) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	ctx = arm.WithPriority(ctx, p)
	for range maxWaitLooks {
		snap, state, err := c.look(ctx, target)
		if err != nil || !strings.EqualFold(state, arm.Updating) {
			return snap, err
		}
		if err := arm.Wait(ctx, c.cfg.PollEvery/looksPerPoll); err != nil {
			return network.Snapshot{}, arm.Translate(ctx, "wait for the write under way to "+target.Name, target.String(), err)
		}
	}
	return network.Snapshot{}, &store.Unavailable{Dependency: arm.Dependency, RetryAfter: time.Minute, Err: fmt.Errorf("a write to %s does not end", target.Name)}
}

// look reads one NSG with one GET, and gives its provisioning state too.
func (c *Client) look(ctx context.Context, target jit.ID) (network.Snapshot, string, error) {
	doing := "read rules of " + target.Name
	s, err := c.target(target)
	if err != nil {
		return network.Snapshot{}, "", fmt.Errorf("%s: %w", doing, err)
	}
	text, err := s.group(ctx, target)
	if err != nil {
		return network.Snapshot{}, "", arm.Translate(ctx, doing, target.String(), err)
	}
	d, err := document.Parse(bytes.Clone(text))
	if err != nil {
		return network.Snapshot{}, "", fmt.Errorf("%s: %w", doing, err)
	}
	snap, err := d.Snapshot(target)
	if err != nil {
		return network.Snapshot{}, "", fmt.Errorf("%s: %w", doing, err)
	}
	return snap, d.State, nil
}

// group gives ARM's answer to one GET of an NSG.
func (s *clients) group(ctx context.Context, target jit.ID) ([]byte, error) {
	return arm.Payload(ctx, func(ctx context.Context) error {
		_, err := s.groups.Get(ctx, target.ResourceGroup, target.Name, nil)
		return err
	})
}

// target gives the clients for an NSG's subscription.
func (c *Client) target(id jit.ID) (*clients, error) {
	if !strings.EqualFold(id.Type, jit.TypeNSG) {
		return nil, fmt.Errorf("%s is not a network security group", id)
	}
	return c.subscription(id.Subscription)
}

func read(target jit.ID, text []byte) (network.Snapshot, error) {
	d, err := document.Parse(bytes.Clone(text))
	if err != nil {
		return network.Snapshot{}, err
	}
	return d.Snapshot(target)
}

// All reads every NSG of a subscription with one paged listing, sorted by id. One NSG
// that cannot be read makes it an error.
func (c *Client) All(ctx context.Context, p network.Priority, subscription string) ([]network.Snapshot, error) {
	doing := "list security groups of subscription " + subscription
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var out []network.Snapshot
	var bad error
	err = s.listGroups(arm.WithPriority(ctx, p), subscription, func(page []arm.Listed) error {
		for _, one := range page {
			var snap network.Snapshot
			if snap, bad = readListed(one); bad != nil {
				return bad
			}
			out = append(out, snap)
		}
		return nil
	})
	switch {
	case bad != nil:
		return nil, fmt.Errorf("%s: %w", doing, bad)
	case err != nil:
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	slices.SortFunc(out, func(a, b network.Snapshot) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	return out, nil
}

func readListed(one arm.Listed) (network.Snapshot, error) {
	target, err := topology.ParseNSG(one.ID)
	if err != nil {
		return network.Snapshot{}, err
	}
	snap, err := read(target, one.Raw)
	if err != nil {
		return snap, fmt.Errorf("%s: %w", target.Name, err)
	}
	return snap, nil
}

// Apply makes the changes with one conditional PUT of the whole NSG. No changes are
// no call, but for a snapshot that is unconfirmed.
//
// [store.ErrConflict] also where the request was sent and its fate is not known: a lost
// reply, an operation that failed, was canceled or superseded, the context's
// end, an answer that does not show the changes. [CodeRefused], as a *[jit.Error],
// where ARM finds fault with the rules. Changes that would touch a rule of others, and
// a snapshot from which no safe body can be made, are refused before anything is sent.
func (c *Client) Apply(ctx context.Context, p network.Priority, s network.Snapshot, changes plan.Changes) (network.Snapshot, error) {
	if changes.Empty() && !s.Unconfirmed {
		return s, nil
	}
	doing := "apply rules to " + s.Target.Name
	clients, err := c.target(s.Target)
	if err != nil {
		return network.Snapshot{}, fmt.Errorf("%s: %w", doing, err)
	}
	body, err := document.Edit(s, changes)
	if err != nil {
		return network.Snapshot{}, fmt.Errorf("%s: %w", doing, err)
	}
	text, overtaken, err := c.put(arm.WithRegion(arm.WithPriority(ctx, p), s.Region), clients, s, body, doing)
	if err != nil {
		return network.Snapshot{}, err
	}
	done, err := read(s.Target, text)
	if err != nil {
		return network.Snapshot{}, arm.Unknown(doing, err)
	}
	if err := arm.Confirm(done.Rules, changes); err != nil {
		return network.Snapshot{}, arm.Unknown(doing, err)
	}
	done.Unconfirmed = done.Unconfirmed && !overtaken
	return done, nil
}

// Turn implements [network.Turns] with the pacer of the [Config]; without one it never waits.
func (c *Client) Turn(ctx context.Context, p network.Priority, s network.Snapshot) (context.Context, bool, error) {
	return c.cfg.Pacer.Turn(ctx, p, s.Target.Subscription, s.Region)
}

// mostLooked bounds the NSGs, by the bytes that are written, some 70 rules, which are read to see whether their write has
// ended: a larger one is more work to read again and again than the one read that it saves.
const mostLooked = 64 << 10

// put sends the body and gives ARM's answer once the write has succeeded, as [arm.Write.Do] does.
func (c *Client) put(ctx context.Context, clients *clients, s network.Snapshot, body []byte, doing string) (text []byte, overtaken bool, err error) {
	defer clients.watch.want(s.Target)()
	write := arm.Write[armnetwork.SecurityGroupsClientCreateOrUpdateResponse]{
		Doing: doing, Target: s.Target.String(), Version: s.Version, Body: body,
		PollEvery: c.cfg.PollEvery, Pacer: c.cfg.Pacer, Subscription: s.Target.Subscription,
		Begin: func(ctx context.Context) (*runtime.Poller[armnetwork.SecurityGroupsClientCreateOrUpdateResponse], error) {
			return clients.groups.BeginCreateOrUpdate(ctx, s.Target.ResourceGroup, s.Target.Name, armnetwork.SecurityGroup{}, nil)
		},
		State: func(text []byte) (string, error) {
			d, err := document.Parse(text)
			return d.State, err
		},
		Listed: func(ctx context.Context, after time.Time) ([]byte, time.Time, error) {
			return c.listed(ctx, clients, s.Target, after)
		},
	}
	if len(body) <= mostLooked {
		write.Look = func(ctx context.Context) ([]byte, error) { return clients.group(ctx, s.Target) }
	}
	return write.Do(ctx)
}
