package doctor_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core/coretest"
	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

const (
	first  = "00000000-0000-0000-0000-000000000001"
	second = "00000000-0000-0000-0000-000000000002"
	home   = "00000000-0000-0000-0000-00000000000f"
	selfID = "00000000-0000-0000-0000-00000000d1d0/00000000-0000-0000-0000-0000000000a0"
)

var (
	ann    = jit.Caller{ID: "tid/ann", Name: "ann@example.com"}
	secret = errors.New("SECRET")
)

// world is a doctor and everything that it looks at. What it asks of whom is counted. Times are those of the test's bubble.
type world struct {
	*doctor.Doctor
	t *testing.T

	mu     sync.Mutex
	asked  map[string]int
	hang   map[string]bool // what does not answer until its caller gives up
	fail   map[string]error
	panics string // what panics

	admins    []string          // subscriptions that ann administers
	lacking   map[string]string // what the app itself lacks: an action by scope
	states    map[string]string // of providers, Registered where none is named
	armAhead  time.Duration     // Resource Manager's clock, beside ours
	tabAhead  time.Duration
	lifetime  time.Duration // of tokens
	deliver   func(store.Wake)
	answered  string
	answerAt  time.Time
	overdue   time.Duration
	completed time.Duration // ago; 0 is never
	targets   []jit.ID
}

func newWorld(t *testing.T, subscriptions ...string) *world {
	w := &world{t: t, asked: map[string]int{}, hang: map[string]bool{}, fail: map[string]error{}, admins: subscriptions, lacking: map[string]string{}, states: map[string]string{}, lifetime: time.Hour, completed: time.Minute}
	w.Doctor = &doctor.Doctor{
		Outside: doctor.Outside{
			Tokens: tokens{w}, Providers: providers{w}, Rows: rows{w}, Home: home,
			Actions: doctor.Actions{Read: []string{"A/read", "B/read"}, Write: []string{"A/write"}, Firewall: []string{"F/write"}},
			About:   doctor.About{Version: "v1", Go: "go1", WriteLimit: true},
		},
		Permit: &permit.Permit{Authority: authority{w}, Subscriptions: subscriptions}, Authority: authority{w}, Subscriptions: network.Subscriptions(subscriptions),
		Targets: targets{Targets: coretest.NewMemory(), w: w}, Sweeps: sweeps{w}, Alarm: alarm{w},
		Overdue: func(ctx context.Context) (time.Duration, error) { return w.overdue, w.call(ctx, "overdue") },
		Now:     time.Now, NewID: uuid.NewString,
	}
	w.deliver = func(wake store.Wake) { go w.arrive(wake) }
	return w
}

// arrive is the queue: the wake-up comes at its time.
func (w *world) arrive(wake store.Wake) {
	time.Sleep(time.Until(wake.At)) // the bubble's clock: nobody waits
	if !w.Woken(context.Background(), wake.Grant) {
		w.t.Errorf("%s was not taken", wake.Grant)
	}
}

// call counts, and answers as it was told to.
func (w *world) call(ctx context.Context, what string) error {
	w.mu.Lock()
	w.asked[what]++
	panics := w.panics == what
	hang, err := w.hang[what], w.fail[what]
	w.mu.Unlock()
	if panics {
		panic(secret)
	}
	if hang {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return err
}

// counts gives what was asked since the last time.
func (w *world) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := maps.Clone(w.asked)
	clear(w.asked)
	return out
}

func (w *world) look() doctor.Report {
	w.t.Helper()
	r, err := w.Look(w.t.Context(), ann)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range r.Checks {
		unknown := c.State == doctor.Unknown
		if c.Name == "" || unknown != (c.Seen == "") || unknown != (c.Reason != "") || (c.State == doctor.Attention || c.State == doctor.Broken) && c.Advice == "" {
			w.t.Errorf("%s is %s without what it needs: %+v", c.Name, c.State, c)
		}
		if strings.Contains(c.Seen+c.Reason+c.Advice, "SECRET") {
			w.t.Errorf("%s tells the text of an error", c.Name)
		}
		for _, f := range c.Facts {
			if (f.Value == "") != (f.Reason != "") || strings.Contains(f.Value+f.Reason, "SECRET") {
				w.t.Errorf("%s: the fact %+v is known and unknown", c.Name, f)
			}
		}
	}
	return r
}

// ill gives "name: state" of what is not ok.
func ill(r doctor.Report) []string {
	out := []string{}
	for _, c := range r.Checks {
		if c.State != doctor.OK {
			out = append(out, c.Name+": "+string(c.State))
		}
	}
	slices.Sort(out)
	return out
}

func find(t *testing.T, r doctor.Report, name string) doctor.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s", name)
	return doctor.Check{}
}

type authority struct{ w *world }

func (a authority) Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	if who.ID == selfID {
		if err := a.w.call(ctx, "own roles"); err != nil {
			return "", err
		}
		if slices.Contains(actions, a.w.lacking[scope]) {
			return a.w.lacking[scope], nil
		}
		return "", nil
	}
	sub := strings.TrimPrefix(scope, "/subscriptions/")
	if err := a.w.call(ctx, "permission "+sub); err != nil {
		return "", err
	}
	if who.ID == ann.ID && slices.Contains(a.w.admins, sub) {
		return "", nil
	}
	return actions[0], nil
}

type tokens struct{ w *world }

func (t tokens) Token(ctx context.Context, dependency string) (time.Time, error) {
	return time.Now().Add(t.w.lifetime), t.w.call(ctx, "token "+dependency)
}

func (t tokens) Self(ctx context.Context) (jit.Caller, error) {
	return jit.Caller{ID: selfID}, t.w.call(ctx, "self")
}

type providers struct{ w *world }

func (p providers) Registration(ctx context.Context, sub, namespace string) (string, time.Time, error) {
	err := p.w.call(ctx, namespace+" "+sub)
	at := time.Now().Add(p.w.armAhead).Truncate(time.Second)
	if errors.Is(err, store.ErrForbidden) {
		return "", at, err
	}
	if err != nil {
		return "", time.Time{}, err
	}
	if state := p.w.states[namespace]; state != "" {
		return state, at, nil
	}
	return "Registered", at, nil
}

type rows struct{ w *world }

func (r rows) Try(ctx context.Context) (time.Time, error) {
	if err := r.w.call(ctx, "try"); err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(r.w.tabAhead).Truncate(time.Second), nil
}

func (r rows) Answer(ctx context.Context, wake string, at time.Time) error {
	if err := r.w.call(ctx, "answer"); err != nil {
		return err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.answered, r.w.answerAt = wake, at
	return nil
}

func (r rows) Answered(ctx context.Context) (string, time.Time, error) {
	if err := r.w.call(ctx, "answered"); err != nil {
		return "", time.Time{}, err
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.answered == "" {
		return "", time.Time{}, store.ErrNotFound
	}
	return r.w.answered, r.w.answerAt, nil
}

type targets struct {
	store.Targets
	w *world
}

func (t targets) Known(ctx context.Context) ([]jit.ID, error) {
	return t.w.targets, t.w.call(ctx, "targets")
}

type sweeps struct{ w *world }

func (s sweeps) PutSweep(context.Context, store.SweepRecord) error { return errors.New("not here") }

func (s sweeps) LastSweep(ctx context.Context) (store.SweepRecord, error) {
	if err := s.w.call(ctx, "sweep"); err != nil {
		return store.SweepRecord{}, err
	}
	if s.w.completed == 0 {
		return store.SweepRecord{}, store.ErrNotFound
	}
	return store.SweepRecord{Completed: time.Now().Add(-s.w.completed)}, nil
}

type alarm struct{ w *world }

func (a alarm) Schedule(ctx context.Context, wakes ...store.Wake) error {
	if err := a.w.call(ctx, "schedule"); err != nil {
		return err
	}
	for _, wake := range wakes {
		a.w.deliver(wake)
	}
	return nil
}
