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

// Life is how long one look serves all who ask.
const Life = 10 * time.Second

// State is what a check came to.
type State string

// The states, from the best to the worst.
const (
	OK        State = "ok"
	Unknown   State = "unknown"   // it could not be found out; Reason says why
	Attention State = "attention" // it works, and somebody should look
	Broken    State = "broken"    // something does not work
)

// Worst gives the worst of the states of checks, [OK] for none.
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

// Check is one thing that was looked at.
type Check struct {
	Name         string
	Subscription string // "" for one of the installation
	State        State
	Seen         string // what was seen, "" where it is unknown
	Reason       string // why it is unknown
	Advice       string // what to do, "" where there is nothing
	Facts        []Fact
	Took         time.Duration
	Err          error // for the log alone: its text may hold what a caller must not see
}

// Fact is one value that a check saw. An empty Value is unknown, and Reason says why.
type Fact struct{ Name, Value, Reason string }

// Report is what one caller is told.
type Report struct {
	State         State // the worst of Checks
	Subscriptions []string
	Checks        []Check
}

// Tokens is the app's own identity.
type Tokens interface {
	// Token asks for a token for one of [Dependencies] and gives when it ends. It may be one that was had before.
	Token(ctx context.Context, dependency string) (time.Time, error)
	// Self gives who the app is.
	Self(ctx context.Context) (jit.Caller, error)
}

// The dependencies that the app needs tokens for.
const (
	ResourceManager = "Azure Resource Manager"
	TableStorage    = "Table Storage"
	ServiceBus      = "Service Bus"
)

// Dependencies gives them in the order in which they are told.
func Dependencies() []string { return []string{ResourceManager, TableStorage, ServiceBus} }

// Providers knows the resource providers of subscriptions.
type Providers interface {
	// Registration gives a provider's state of registration, such as Registered, and the time by Resource Manager's clock, in
	// whole seconds, which a refusal has too. An error is [store.ErrForbidden] where the app may not read it.
	Registration(ctx context.Context, subscription, namespace string) (state string, at time.Time, err error)
}

// Rows is what is stored for the doctor: a row to try the table with, and one by which an instance tells the others that a
// wake-up of a doctor's came.
type Rows interface {
	// Try reads a row and writes it on the condition that nobody else has since. It gives the time by the service's clock,
	// in whole seconds. That another instance was first is no error.
	Try(ctx context.Context) (time.Time, error)
	// Answer stores that a wake-up came, in the place of the one before.
	Answer(ctx context.Context, wake string, at time.Time) error
	// Answered gives the last that was stored; [store.ErrNotFound] before the first.
	Answered(ctx context.Context) (wake string, at time.Time, err error)
}

// Actions are what the app's own roles have to hold.
type Actions struct {
	Read     []string // in a whole managed subscription
	Write    []string // where security groups are ours
	Firewall []string // where firewalls are
}

// About is what an installation knows of itself.
type About struct {
	Version         string
	Go              string
	UnknownSettings []string // names
	WriteLimit      bool     // whether the network provider's own limit is kept
}

// Outside is what only the doctor needs from outside.
type Outside struct {
	Tokens    Tokens
	Providers Providers
	Rows      Rows
	Actions   Actions
	Home      string // the subscription that the app itself is in, "" where it is not known
	About     About
}

// Doctor looks. Every field must be set.
type Doctor struct {
	Outside
	Permit        *permit.Permit
	Authority     permit.Authority
	Subscriptions network.Subscriptions
	Targets       store.Targets
	Sweeps        store.Sweeps
	Alarm         store.Alarm
	// Overdue gives the age of the oldest window that should be closed and is not confirmed to be.
	Overdue func(ctx context.Context) (time.Duration, error)
	Now     func() time.Time
	NewID   func() string

	kept   memo.Memo[[]Check] // by subscription, "" for the installation
	wakes  wakes
	closed closed
}

// Look gives what the caller may see: the checks of the installation and of each subscription that he administers. It refuses
// with [permit.CodeForbidden] whoever administers none.
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

// administered gives the subscriptions that the caller administers, and of how many others that could not be found out, with the
// errors. Where it gives no subscription, the error says why the caller is told nothing.
func (d *Doctor) administered(ctx context.Context, who jit.Caller) (shown []string, left int, err error) {
	errs := make([]error, len(d.Subscriptions))
	err = parallel.Each(d.Subscriptions, func(i int, sub string) error {
		errs[i] = d.Permit.May(ctx, who, permit.VerbSweep, "/subscriptions/"+sub)
		return nil
	})
	if err != nil {
		return nil, 0, err // a panic: nobody is permitted by it
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

// look gives the checks of a subscription, or of the installation.
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
