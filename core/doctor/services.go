package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// The names of the checks.
const (
	CheckTokens       = "tokens"
	CheckTable        = "tableStorage"
	CheckQueue        = "queue"
	CheckClock        = "clock"
	CheckHome         = "ownProvider"
	CheckSweep        = "sweep"
	CheckClosings     = "closings"
	CheckSettings     = "settings"
	CheckReadRole     = "readRole"
	CheckWriteRole    = "writeRole"
	CheckFirewallRole = "firewallRole"
	CheckProviders    = "providers"
)

// installation runs the checks of the installation.
func (d *Doctor) installation(ctx context.Context) []Check {
	var arm, table seenClock
	checks := d.run(ctx, "", []step{
		{name: CheckTokens, make: d.tokens},
		{name: CheckTable, make: func(ctx context.Context) Check { return d.table(ctx, &table) }},
		{name: CheckQueue, wait: wakeWait + wait, make: d.queue},
		{name: CheckHome, make: func(ctx context.Context) Check { return d.home(ctx, &arm) }},
		{name: CheckSweep, make: d.sweep},
		{name: CheckClosings, make: d.closings},
		{name: CheckSettings, make: d.settings},
	})
	clock := clockOf(arm.of(ResourceManager), table.of(TableStorage))
	return append(checks, clock)
}

// tokens gets a token for each dependency.
func (d *Doctor) tokens(ctx context.Context) Check {
	of := Dependencies()
	ends, errs := make([]time.Time, len(of)), make([]error, len(of))
	if err := parallel.AtOnce(of, func(i int, dependency string) error {
		ends[i], errs[i] = d.Tokens.Token(ctx, dependency)
		return nil
	}); err != nil {
		return failed(err)
	}
	c := Check{State: OK, Seen: "a token can be had for " + strings.Join(of, ", ")}
	var none, short []string
	now := d.Now()
	for i, dependency := range of {
		f := Fact{Name: dependency}
		if errs[i] != nil {
			f.Reason = why(errs[i])
			none = append(none, dependency)
		} else {
			left := ends[i].Sub(now)
			f.Value = fmt.Sprintf("ends %s, in %d s", ends[i].UTC().Format(time.RFC3339), int(left.Seconds()))
			if left < minTokenLife {
				short = append(short, dependency)
			}
		}
		c.Facts = append(c.Facts, f)
	}
	c.Err = errors.Join(errs...)
	switch {
	case len(none) > 0:
		c.State, c.Seen = Broken, "no token for "+strings.Join(none, ", ")
		c.Advice = "is the managed identity still assigned to the app, and is PORTCULLIS_IDENTITY_CLIENT_ID its client id? az functionapp identity show; then restart the app"
	case len(short) > 0:
		c.State, c.Seen = Attention, fmt.Sprintf("a token ends within %d s and has not been renewed: %s", int(minTokenLife.Seconds()), strings.Join(short, ", "))
		c.Advice = "look again in a minute; if it stays, restart the app"
	}
	return c
}

// minTokenLife is far below the remaining life at which the SDK renews a token: a token with less left was not
// renewed.
const minTokenLife = time.Minute

// table tests the table.
func (d *Doctor) table(ctx context.Context, clock *seenClock) Check {
	before := d.Now()
	at, err := d.Rows.Try(ctx)
	clock.see(at, before, d.Now(), err)
	if err != nil {
		return Check{State: Broken, Seen: "a row could not be read and written: " + why(err), Err: err,
			Advice: "does the identity hold Storage Table Data Contributor on the account, and does the account's network let the app in? az role assignment list --scope ACCOUNT; terraform apply puts both right"}
	}
	return Check{State: OK, Seen: "a row was read, and written on a condition"}
}

// home checks the resource provider that runs the app.
func (d *Doctor) home(ctx context.Context, clock *seenClock) Check {
	if d.Home == "" {
		return Check{State: Unknown, Reason: "the host does not say which subscription the app is in"}
	}
	before := d.Now()
	state, at, err := d.Providers.Registration(ctx, d.Home, "Microsoft.App")
	clock.see(at, before, d.Now(), err)
	return registrations([]registration{{"Microsoft.App", state, err}}, "the app's own subscription", "ID")
}

// registration is the state read for one provider.
type registration struct {
	namespace, state string
	err              error
}

// registrations reports the providers of a subscription. id is just "ID" if the caller need not know it.
func registrations(all []registration, where, id string) Check {
	c := Check{State: OK, Seen: "all are registered"}
	var not, unread []string
	for _, r := range all {
		f := Fact{Name: r.namespace, Value: r.state}
		switch {
		case r.err != nil:
			f.Value, f.Reason = "", why(r.err)
			unread, c.Err = append(unread, r.namespace), errors.Join(c.Err, r.err)
		case !strings.EqualFold(r.state, "Registered"):
			not = append(not, r.namespace)
		}
		c.Facts = append(c.Facts, f)
	}
	switch {
	case len(not) > 0:
		c.State, c.Seen = Broken, strings.Join(not, ", ")+" is not registered in "+where
		c.Advice = "az provider register --subscription " + id + " --namespace " + not[0] + " --wait; it needs a minute or two"
	case len(unread) > 0 && errors.Is(c.Err, store.ErrForbidden):
		c.State, c.Seen, c.Reason = Unknown, "", "the app may not read the resource providers of "+where
		c.Advice = "az provider show --subscription " + id + " --namespace " + unread[0] + " --query registrationState says it; the app needs Microsoft.Resources/subscriptions/providers/read there to say it itself"
	case len(unread) > 0:
		c.State, c.Seen, c.Reason = Unknown, "", why(c.Err)
		c.Advice = "look again when Azure Resource Manager answers"
	}
	return c
}

// providers checks the resource providers that a managed subscription needs.
func (d *Doctor) providers(ctx context.Context, subscription string) Check {
	of := []string{"Microsoft.Compute", "Microsoft.Network"}
	read := make([]registration, len(of))
	if err := parallel.AtOnce(of, func(i int, namespace string) error {
		state, _, err := d.Providers.Registration(ctx, subscription, namespace)
		read[i] = registration{namespace, state, err}
		return nil
	}); err != nil {
		return failed(err)
	}
	return registrations(read, "this subscription", subscription)
}
