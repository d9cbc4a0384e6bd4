package armsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Knobs is how the stand-in behaves. The zero value is an agreeable ARM: every write is accepted, answers Updating and is
// done when it is next looked at; nothing is throttled, locked or refused.
type Knobs struct {
	// Writes holds for NSGs that Targets does not name.
	Writes Writes `json:"writes"`
	// Firewalls holds for firewalls that Targets does not name. A write of a real one takes three to five minutes on
	// average, and a second one meanwhile is refused (Azure's overview of the service, quoted in MicrosoftDocs/azure-docs#64513).
	Firewalls Writes `json:"firewalls"`
	// Targets replaces Writes or Firewalls, as a whole, for the NSG or firewall with the id.
	Targets map[string]*Writes `json:"targets,omitempty"`
	// PageSize is how many items a list answer holds; 0 means 1000. ARM's own page size is unverified.
	PageSize int `json:"pageSize,omitempty"`
	// Throttle turns the token buckets on: per principal, subscription and region, 250 reads (refilled at 25 per
	// second), 200 writes and 200 deletes (10 per second each).
	Throttle bool `json:"throttle,omitempty"`
	// ThrottleNetwork turns the network provider's own limit on: 1000 writes and deletes in 5 minutes, in a fixed
	// window that starts with the first one. The shape of the real window is not documented.
	ThrottleNetwork bool `json:"throttleNetwork,omitempty"`
	// Down answers 503 to every ARM call.
	Down bool `json:"down,omitempty"`
	// Denied takes permissions away; what nothing denies is allowed.
	Denied []Denied `json:"denied,omitempty"`
	// AdminRules are the effective security admin rules of virtual networks, by id, as ARM would list them: network managers
	// themselves are not here.
	AdminRules map[string][]map[string]any `json:"adminRules,omitempty"`
	// Providers is the state of registration of resource providers, such as NotRegistered; one that is not named is Registered.
	Providers map[string]string `json:"providers,omitempty"`
	// Ahead is how far the clock that answers tell of, in Date, is ahead of the one that this stand-in works by.
	Ahead Duration `json:"ahead,omitempty"`
}

// Writes is how writes to an NSG and its rules behave.
type Writes struct {
	// LatencyMin and LatencyMax bound, both inclusive, how long an operation takes. Of a queued one, after its turn.
	LatencyMin Duration `json:"latencyMin,omitempty"`
	LatencyMax Duration `json:"latencyMax,omitempty"`
	// Answer is how a PUT is answered.
	Answer Answer `json:"answer,omitempty"`
	// RetryAfter is sent with the answer to a write that has not ended; 0 sends none. Whole seconds go out as
	// Retry-After (ARM sends 3), others as retry-after-ms, which only the SDK understands.
	RetryAfter Duration `json:"retryAfter,omitempty"`
	// PollRetryAfter is sent with polls that say InProgress. ARM sends none.
	PollRetryAfter Duration `json:"pollRetryAfter,omitempty"`
	// Concurrent is what happens to a write while another one to the same NSG is under way.
	Concurrent Concurrency `json:"concurrent,omitempty"`
	// FailNext is how many of the next writes and deletes are answered with FailStatus and not applied.
	FailNext int `json:"failNext,omitempty"`
	// FailStatus is 500 or 503; 0 means 500.
	FailStatus int `json:"failStatus,omitempty"`
	// LoseReplies is how many of the next writes are applied and then lose their connection.
	LoseReplies int `json:"loseReplies,omitempty"`
	// FailOperations is how many of the next operations end as Failed. Their rules show in GET but never take effect.
	FailOperations int `json:"failOperations,omitempty"`
}

// Answer is how a PUT is answered.
type Answer string

// AnswerUpdating answers provisioningState Updating and leaves the end to the operation. AnswerSucceeded is done at once,
// whatever the latency, as ARM does it for NSGs that nothing uses.
const (
	AnswerUpdating  Answer = ""
	AnswerSucceeded Answer = "succeeded"
)

// Concurrency is what happens to a write while another one is under way. Which of them ARM does today is unverified; all
// have been reported.
type Concurrency string

// Queue accepts the write and lets it end after the other. Reject answers 429 RetryableErrorDueToAnotherOperation.
// Supersede ends the other as Canceled, with CanceledAndSupersededDueToAnotherOperation. A firewall's Reject is 409
// AnotherOperationInProgress.
const (
	Queue     Concurrency = ""
	Reject    Concurrency = "reject"
	Supersede Concurrency = "supersede"
)

// Denied is a permission that is taken away.
type Denied struct {
	Principal string `json:"principal,omitempty"` // object id; empty: everybody
	Action    string `json:"action"`              // such as Microsoft.Network/networkSecurityGroups/write; a final * matches any rest
	Scope     string `json:"scope,omitempty"`     // an id; empty: everywhere
}

// Duration is a time.Duration that is written as text, such as "1.5s".
type Duration time.Duration

// MarshalText writes the form that time.ParseDuration reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the form that time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

func (k Knobs) clone() Knobs {
	k.Denied = slices.Clone(k.Denied)
	var rules map[string][]map[string]any
	for id, list := range k.AdminRules {
		if rules == nil {
			rules = map[string][]map[string]any{}
		}
		own := make([]map[string]any, 0, len(list))
		for _, r := range list {
			own = append(own, clone(r))
		}
		rules[key(id)] = own
	}
	k.AdminRules = rules
	var providers map[string]string
	for namespace, state := range k.Providers {
		if providers == nil {
			providers = map[string]string{}
		}
		providers[strings.ToLower(namespace)] = state
	}
	k.Providers = providers
	targets := make(map[string]*Writes, len(k.Targets))
	for id, w := range k.Targets {
		own := *w
		targets[key(id)] = &own
	}
	k.Targets = targets
	return k
}

func (k Knobs) check() error {
	if k.PageSize < 0 {
		return errors.New("knobs: pageSize is negative")
	}
	for _, d := range k.Denied {
		if d.Action == "" {
			return errors.New("knobs: denied needs an action")
		}
	}
	if err := k.Writes.check(); err != nil {
		return fmt.Errorf("knobs: writes: %w", err)
	}
	if err := k.Firewalls.check(); err != nil {
		return fmt.Errorf("knobs: firewalls: %w", err)
	}
	for id, w := range k.Targets {
		if w == nil {
			return fmt.Errorf("knobs: targets: %s: null", id)
		}
		if err := w.check(); err != nil {
			return fmt.Errorf("knobs: targets: %s: %w", id, err)
		}
	}
	return nil
}

func (w Writes) check() error {
	switch {
	case w.LatencyMin < 0 || w.LatencyMax < 0 || w.RetryAfter < 0 || w.PollRetryAfter < 0:
		return errors.New("a duration is negative")
	case w.FailNext < 0 || w.LoseReplies < 0 || w.FailOperations < 0:
		return errors.New("a count is negative")
	case w.Answer != AnswerUpdating && w.Answer != AnswerSucceeded:
		return fmt.Errorf("answer is %q, not empty or %q", w.Answer, AnswerSucceeded)
	case w.Concurrent != Queue && w.Concurrent != Reject && w.Concurrent != Supersede:
		return fmt.Errorf("concurrent is %q, not empty, %q or %q", w.Concurrent, Reject, Supersede)
	case w.FailStatus != 0 && w.FailStatus != 500 && w.FailStatus != 503:
		return fmt.Errorf("failStatus is %d, not 500 or 503", w.FailStatus)
	}
	return nil
}

// writes returns the settings for the NSG or firewall with the key, to be read and counted down under the lock.
func (k *Knobs) writes(target string) *Writes {
	if w, ok := k.Targets[target]; ok {
		return w
	}
	if strings.Contains(target, "/"+strings.ToLower(firewallType)+"/") {
		return &k.Firewalls
	}
	return &k.Writes
}

// Knobs returns the current settings, with the counts that are left.
func (s *Server) Knobs() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs.clone()
}

// SetKnobs replaces the settings. It is an error, and nothing changes, when one is out of bounds.
func (s *Server) SetKnobs(k Knobs) error {
	if err := k.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k.clone()
	return nil
}

// Tune changes some settings and leaves the others: change is called with the current ones, under the lock.
func (s *Server) Tune(change func(*Knobs)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.knobs.clone()
	change(&k)
	if err := k.check(); err != nil {
		return err
	}
	s.knobs = k.clone()
	return nil
}

// serveKnobs answers GET and PUT /local/knobs, for people. It needs no token, so it answers on loopback names only.
func (s *Server) serveKnobs(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.Host) {
		write(w, http.StatusMisdirectedRequest, newError(0, "MisdirectedRequest", "The knobs answer on loopback names only."))
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPut:
		var k Knobs
		d := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
		d.DisallowUnknownFields()
		err := d.Decode(&k)
		if err == nil {
			err = s.SetKnobs(k)
		}
		if err != nil {
			write(w, http.StatusBadRequest, newError(0, "InvalidKnobs", "%s", err))
			return
		}
	default:
		w.Header().Set("Allow", "GET, PUT")
		write(w, http.StatusMethodNotAllowed, methodNotAllowed(r))
		return
	}
	write(w, http.StatusOK, s.Knobs())
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
