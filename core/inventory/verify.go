package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// MaxVerified is how many days of the activity log one call verifies.
const MaxVerified = 31

// verifiesAtOnce is how many calls verify chains at once: one may read a month of every subscription.
const verifiesAtOnce = 2

// CodeTooManyVerifications refuses a call while as many others as may verify chains do.
const CodeTooManyVerifications jit.Code = "TooManyVerifications"

// NoSubscription stands in place of a subscription id for the chain of entries that concern no subscription.
const NoSubscription = "none"

// Chain is the result of verifying one chain of the activity log.
type Chain struct {
	Subscription string    // [NoSubscription] for entries that concern none
	Day          time.Time // its midnight in UTC
	store.VerifyResult
}

// Verify checks the chains of the days that overlap [from, to), oldest first, at most [MaxVerified] of them;
// today's if both are zero, one day if one is. subscription is one that the caller may read, or [NoSubscription],
// for which the caller must be allowed to read every managed subscription, as for entries that concern no machine;
// "" is every chain that the caller may read. If stated is given, the call must name one subscription and one day.
// At most two calls read at once; one more is refused with [CodeTooManyVerifications].
func (s *Inventory) Verify(ctx context.Context, who jit.Caller, subscription string, from, to time.Time, stated ...store.Head) ([]Chain, error) {
	days, err := daysOf(from, to, s.now())
	if err != nil {
		return nil, err
	}
	if len(stated) > 0 && (subscription == "" || len(days) != 1) {
		return nil, &jit.Error{Code: CodeInvalidQuery, Target: "head", Message: "a head is that of one chain: name its subscription, or none, and with from its day"}
	}
	log, ok := s.Activity.(store.Verifier)
	if !ok {
		return nil, fmt.Errorf("verify the activity log: it is kept where that cannot be done")
	}
	subscriptions, err := s.chains(ctx, who, subscription)
	if err != nil {
		return nil, err
	}
	defer s.verifying.Add(-1)
	if s.verifying.Add(1) > verifiesAtOnce {
		return nil, &jit.Error{Code: CodeTooManyVerifications, Message: "the activity log is being verified for others; ask again in a few seconds"}
	}
	var out []Chain
	for _, d := range days {
		for _, sub := range subscriptions {
			name := sub
			if sub == NoSubscription {
				name = ""
			}
			found, err := log.Verify(ctx, name, d, stated...)
			if err != nil {
				return nil, fmt.Errorf("verify the activity log: %w", err)
			}
			out = append(out, Chain{Subscription: sub, Day: d, VerifyResult: found})
		}
	}
	return out, nil
}

// chains returns the subscriptions whose chains the caller may verify.
func (s *Inventory) chains(ctx context.Context, who jit.Caller, subscription string) ([]string, error) {
	switch subscription {
	case "":
	case NoSubscription:
		var all []string
		for _, sub := range s.Subscriptions {
			all = append(all, "/subscriptions/"+sub)
		}
		return []string{NoSubscription}, s.Permit.May(ctx, who, permit.VerbRead, all...)
	default:
		if !s.Permit.Subscriptions.Within("/subscriptions/" + subscription) {
			return nil, &jit.Error{Code: network.CodeNotManaged, Target: "subscription", Message: "subscription " + subscription + " is not one that this installation manages"}
		}
		return []string{strings.ToLower(subscription)}, s.Permit.May(ctx, who, permit.VerbRead, "/subscriptions/"+subscription)
	}
	var out []string
	for _, sub := range s.Subscriptions {
		ok, err := s.Permit.Reads(ctx, who, "/subscriptions/"+sub)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, strings.ToLower(sub))
		}
	}
	if len(out) == 0 {
		return nil, permit.Forbidden(who, permit.ActionRead, "/subscriptions")
	}
	if len(out) == len(s.Subscriptions) {
		out = append(out, NoSubscription)
	}
	return out, nil
}

// daysOf returns the midnights of the days that overlap [from, to).
func daysOf(from, to, now time.Time) ([]time.Time, error) {
	const day = 24 * time.Hour
	switch {
	case from.IsZero() && to.IsZero():
		from, to = now, now.Add(1)
	case from.IsZero():
		from = to.Add(-1)
	case to.IsZero():
		to = from.Add(1)
	case !from.Before(to):
		return nil, &jit.Error{Code: CodeInvalidQuery, Target: "to", Message: "to is not later than from"}
	}
	var out []time.Time
	for d := from.UTC().Truncate(day); d.Before(to); d = d.Add(day) {
		if len(out) == MaxVerified {
			return nil, &jit.Error{Code: CodeInvalidQuery, Target: "to", Message: fmt.Sprintf("at most %d days are looked through at once", MaxVerified)}
		}
		out = append(out, d)
	}
	return out, nil
}
