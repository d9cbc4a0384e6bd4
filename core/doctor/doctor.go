package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// Life is how long callers share one look.
const Life = 10 * time.Second

// State is the result of a check.
type State string

// The states, from the best to the worst.
const (
	OK        State = "ok"
	Unknown   State = "unknown"   // it could not be determined; Reason says why
	Attention State = "attention" // it works, but somebody should look at it
	Broken    State = "broken"    // something does not work
)

// Worst returns the worst of the states of checks, [OK] if there are none.
func Worst(checks []Check) State {
	order := []State{OK, Unknown, Attention, Broken}
	worst := OK
	for _, c := range checks {
		if slices.Index(order, c.State) > slices.Index(order, worst) {
			worst = c.State
		}
	}
	return worst
}

// Check is the result of checking one thing.
type Check struct {
	Name         string
	Subscription string // "" for a check of the installation
	State        State
	Seen         string // what was observed, "" if unknown
	Reason       string // why it is unknown
	Advice       string // what to do, "" if nothing
	Facts        []Fact
	Took         time.Duration
	Err          error // for the log only: its text may contain what a caller must not see
}

// Fact is one value that a check observed. An empty Value is unknown, and Reason says why.
type Fact struct{ Name, Value, Reason string }

// Report is the answer to one caller.
type Report struct {
	State         State // the worst of Checks
	Subscriptions []string
	Checks        []Check
}

// Tokens gets tokens for the app's own identity.
type Tokens interface {
	// Token gets a token for one of [Dependencies], possibly a cached one, and returns its expiry.
	Token(ctx context.Context, dependency string) (time.Time, error)
	// Self returns the app's own identity.
	Self(ctx context.Context) (jit.Caller, error)
}

// The dependencies that the app needs tokens for.
const (
	ResourceManager = "Azure Resource Manager"
	TableStorage    = "Table Storage"
	ServiceBus      = "Service Bus"
)

// Dependencies returns them in the order of the report.
func Dependencies() []string { return []string{ResourceManager, TableStorage, ServiceBus} }

// Providers reads the resource providers of subscriptions.
type Providers interface {
	// Registration returns a provider's registration state, such as Registered, and the time by Resource Manager's
	// clock in whole seconds, which an error may also come with. The error is [store.ErrForbidden] if the app may not
	// read the state.
	Registration(ctx context.Context, subscription, namespace string) (state string, at time.Time, err error)
}

// Rows is what the doctor stores: a row to test the table with, and one in which an instance records that a
// doctor's wake-up arrived.
type Rows interface {
	// Try reads a row and writes it on condition that nobody else has since. It returns the time by the service's
	// clock, in whole seconds. It is not an error if another instance wrote first.
	Try(ctx context.Context) (time.Time, error)
	// Answer stores that a wake-up arrived, replacing the previous one.
	Answer(ctx context.Context, wake string, at time.Time) error
	// Answered returns the last stored one; [store.ErrNotFound] before the first.
	Answered(ctx context.Context) (wake string, at time.Time, err error)
}

// Actions are what the app's own roles must include.
type Actions struct {
	Read     []string // in the whole of a managed subscription
	Write    []string // where security groups are ours
	Firewall []string // where firewalls are ours
}

// About is what an installation knows about itself.
type About struct {
	Version         string
	Go              string
	UnknownSettings []string // names
	WriteLimit      bool     // whether the network provider's own limit is enforced
}

// Outside is the dependencies that only the doctor needs.
type Outside struct {
	Tokens    Tokens
	Providers Providers
	Rows      Rows
	Actions   Actions
	Home      string // the app's own subscription, "" if not known
	About     About
}

// Doctor runs the checks. Every field must be set.
type Doctor struct {
	Outside
	Permit        *permit.Permit
	Authority     permit.Authority
	Subscriptions network.Subscriptions
	Targets       store.Targets
	Sweeps        store.Sweeps
	Alarm         store.Alarm
	// Overdue returns the age of the oldest window that should be closed but is not confirmed closed.
	Overdue func(ctx context.Context) (time.Duration, error)
	Now     func() time.Time
	NewID   func() string

	kept   memo.Memo[[]Check] // by subscription, "" for the installation
	wakes  wakes
	closed closed
}

// Look returns what the caller may see: the checks of the installation and of each subscription that the caller
// administers. It refuses with [permit.CodeForbidden] a caller who administers none.
func (d *Doctor) Look(ctx context.Context, who jit.Caller) (Report, error) {
	shown, left, err := d.administered(ctx, who)
	if len(shown) == 0 {
		return Report{}, err
	}
	keys := append([]string{""}, shown...)
	looked := make([][]Check, len(keys))
	if err := parallel.AtOnce(keys, func(i int, key string) error { looked[i] = d.look(ctx, key); return nil }); err != nil {
		return Report{}, err
	}
	out := Report{Subscriptions: shown, Checks: slices.Concat(looked...)}
	if left > 0 {
		out.Checks = append(out.Checks, Check{Name: "permissions", State: Unknown,
			Reason: plural(left, "managed subscription is", "managed subscriptions are") + " not shown: whether you administer it could not be found out",
			Advice: "look at the log under this request id; often the app's own role for reading is missing there", Err: err})
	}
	out.State = Worst(out.Checks)
	return out, nil
}

// administered returns the subscriptions that the caller administers, and for how many others this could not be
// determined, with the errors. If it returns no subscription, the error says why.
func (d *Doctor) administered(ctx context.Context, who jit.Caller) (shown []string, left int, err error) {
	errs := make([]error, len(d.Subscriptions))
	err = parallel.Each(d.Subscriptions, func(i int, sub string) error {
		errs[i] = d.Permit.May(ctx, who, permit.VerbSweep, "/subscriptions/"+sub)
		return nil
	})
	if err != nil {
		return nil, 0, err // a panic permits nobody
	}
	var refused error
	for i, sub := range d.Subscriptions {
		switch {
		case errs[i] == nil:
			shown = append(shown, strings.ToLower(sub))
		case jit.Refused(errs[i]) != nil:
			refused = errs[i]
		default:
			left, err = left+1, errors.Join(err, errs[i])
		}
	}
	switch {
	case len(shown) > 0 || left > 0:
		return shown, left, err
	case len(d.Subscriptions) == 1:
		return nil, 0, refused
	}
	return nil, 0, permit.Forbidden(who, permit.ActionWrite, "/subscriptions")
}

// look returns the checks of a subscription, or of the installation.
func (d *Doctor) look(ctx context.Context, key string) []Check {
	checks, err := d.kept.Get(ctx, key, d.Now, memo.Always[[]Check](Life), func(ctx context.Context, _ []Check) ([]Check, error) {
		if key == "" {
			return d.installation(ctx), nil
		}
		return d.run(ctx, key, d.ofSubscription(key)), nil
	})
	if err != nil {
		return []Check{{Name: "doctor", Subscription: key, State: Unknown, Reason: "the look was cut off", Err: err}}
	}
	return checks
}
