package azfirewall

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

// maxPolls bounds how often Rules reads a firewall that is being written: ten minutes at the usual interval, twice
// the average duration of a write.
const maxPolls = 120

// Rules reads one firewall with one GET, and with one more after each PollEvery while a write to it is in
// progress; and its public addresses unless they are cached. [CodeManaged], as a *[jit.Error], if its rules are
// not classic ones. [store.ErrNotFound], [store.ErrForbidden], *[store.Unavailable].
func (c *Client) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	ctx = arm.WithPriority(ctx, p)
	doing := "read NAT rules of " + target.Name
	for range maxPolls {
		d, err := c.look(ctx, target, doing)
		if err != nil {
			return network.Snapshot{}, err
		}
		snap, err := d.snapshot(target)
		if err != nil {
			return network.Snapshot{}, fmt.Errorf("%s: %w", doing, err)
		}
		if !strings.EqualFold(d.state, arm.Updating) {
			one := []network.Snapshot{snap}
			err := c.addressed(ctx, doing, []document{d}, one)
			return one[0], err
		}
		if err := arm.Wait(ctx, c.cfg.PollEvery); err != nil {
			return network.Snapshot{}, arm.Translate(ctx, "wait for the write under way to "+target.Name, target.String(), err)
		}
	}
	return network.Snapshot{}, &store.Unavailable{Dependency: arm.Dependency, RetryAfter: time.Minute, Err: fmt.Errorf("a write to %s does not end", target.Name)}
}

// look reads one firewall with one GET.
func (c *Client) look(ctx context.Context, target jit.ID, doing string) (document, error) {
	s, err := c.target(target)
	if err != nil {
		return document{}, fmt.Errorf("%s: %w", doing, err)
	}
	text, err := arm.Payload(ctx, func(ctx context.Context) error {
		_, err := s.firewalls.Get(ctx, target.ResourceGroup, target.Name, nil)
		return err
	})
	if err != nil {
		return document{}, arm.Translate(ctx, doing, target.String(), err)
	}
	d, err := parseDocument(bytes.Clone(text))
	if err != nil {
		return document{}, fmt.Errorf("%s: %w", doing, err)
	}
	return d, nil
}

// All reads every firewall of a subscription that has classic rules with one paged list, sorted by id, and their
// public addresses. Managed firewalls are not targets and are left out. A firewall that cannot be read is an
// error.
func (c *Client) All(ctx context.Context, p network.Priority, subscription string) ([]network.Snapshot, error) {
	ctx = arm.WithPriority(ctx, p)
	doing := "list firewalls of subscription " + subscription
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var docs []document
	var out []network.Snapshot
	for pager := s.firewalls.NewListAllPager(nil); pager.More(); {
		var resp *http.Response
		if _, err := pager.NextPage(policy.WithCaptureResponse(ctx, &resp)); err != nil {
			return nil, arm.Translate(ctx, doing, subscription, err)
		}
		text, err := runtime.Payload(resp)
		if err != nil {
			return nil, arm.Translate(ctx, doing, subscription, err)
		}
		var page struct {
			Value []json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		for _, raw := range page.Value {
			d, snap, err := listed(raw)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", doing, err)
			}
			if d.managed == "" {
				docs, out = append(docs, d), append(out, snap)
			}
		}
	}
	if err := c.addressed(ctx, doing, docs, out); err != nil {
		return nil, err
	}
	return out, nil
}

// listed parses one firewall of a list. A managed one has no snapshot.
func listed(raw json.RawMessage) (document, network.Snapshot, error) {
	d, err := parseDocument(bytes.Clone(raw))
	if err != nil || d.managed != "" {
		return d, network.Snapshot{}, err
	}
	target, err := jit.ParseID(d.id)
	if err != nil {
		return d, network.Snapshot{}, err
	}
	if !strings.EqualFold(target.Type, jit.TypeFirewall) {
		return d, network.Snapshot{}, fmt.Errorf("%s is not an Azure Firewall", d.id)
	}
	target.Type = jit.TypeFirewall
	snap, err := d.snapshot(target)
	return d, snap, err
}

// Apply makes the changes with one conditional PUT of the whole firewall, after reading it once more. Without
// changes it makes no call, unless the snapshot is unconfirmed. It returns when the write has ended, which takes
// minutes.
//
// [store.ErrConflict] also if the request was sent and its result is unknown: a lost response, an operation that
// failed, was canceled or superseded, an ended context, a response that does not show the changes, or one in which
// something foreign differs ([Config].Differs is called). [arm.CodeRefused], as a *[jit.Error], if ARM rejects the
// rules. It refuses before sending anything: changes that would touch a foreign rule, rules that cannot be
// expressed as NAT rules, and a snapshot from which no safe body can be made.
func (c *Client) Apply(ctx context.Context, p network.Priority, s network.Snapshot, changes plan.Changes) (network.Snapshot, error) {
	if changes.Empty() && !s.Unconfirmed {
		return s, nil
	}
	ctx = arm.WithPriority(ctx, p)
	doing := "apply NAT rules to " + s.Target.Name
	clients, err := c.target(s.Target)
	if err != nil {
		return network.Snapshot{}, fmt.Errorf("%s: %w", doing, err)
	}
	body, err := edit(s, changes)
	if err != nil {
		return network.Snapshot{}, fmt.Errorf("%s: %w", doing, err)
	}
	now, err := c.look(ctx, s.Target, doing)
	if err != nil {
		return network.Snapshot{}, err
	}
	if now.etag != s.Version {
		return network.Snapshot{}, fmt.Errorf("%s: %w since it was read", doing, store.ErrConflict)
	}
	text, overtaken, err := c.put(ctx, clients.firewalls, s, body, doing)
	if err != nil {
		return network.Snapshot{}, err
	}
	done, err := c.confirmed(s, changes, body, text, doing)
	done.Unconfirmed = done.Unconfirmed && !overtaken
	return done, err
}

// put sends the body and returns ARM's response once the write has succeeded, as [arm.Write.Do] does.
func (c *Client) put(ctx context.Context, firewalls *armnetwork.AzureFirewallsClient, s network.Snapshot, body []byte, doing string) (text []byte, overtaken bool, err error) {
	return arm.Write[armnetwork.AzureFirewallsClientCreateOrUpdateResponse]{
		Doing: doing, Target: s.Target.String(), Version: s.Version, Body: body,
		PollEvery: c.cfg.PollEvery, Pacer: c.cfg.Pacer, Subscription: s.Target.Subscription,
		Begin: func(ctx context.Context) (*runtime.Poller[armnetwork.AzureFirewallsClientCreateOrUpdateResponse], error) {
			return firewalls.BeginCreateOrUpdate(ctx, s.Target.ResourceGroup, s.Target.Name, armnetwork.AzureFirewall{}, nil)
		},
		State: func(text []byte) (string, error) {
			d, err := parseDocument(text)
			return d.state, err
		},
	}.Do(ctx)
}

// confirmed returns the snapshot from ARM's response to a write.
func (c *Client) confirmed(s network.Snapshot, changes plan.Changes, body, text []byte, doing string) (network.Snapshot, error) {
	d, err := parseDocument(bytes.Clone(text))
	if err != nil {
		return network.Snapshot{}, arm.Unknown(doing, err)
	}
	done, err := d.snapshot(s.Target)
	if err != nil {
		return network.Snapshot{}, arm.Unknown(doing, err)
	}
	if err := arm.Confirm(done.Rules, changes); err != nil {
		return network.Snapshot{}, arm.Unknown(doing, err)
	}
	if what := differing(body, text); len(what) > 0 {
		if c.cfg.Differs != nil {
			c.cfg.Differs(s.Target, what)
		}
		return network.Snapshot{}, arm.Unknown(doing, fmt.Errorf("the answer shows another %s than was sent", strings.Join(what, ", ")))
	}
	done.Addresses = s.Addresses // the configurations are unchanged
	return done, nil
}
