package handlers

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
)

type entry struct {
	Time          string   `json:"time"`
	Operation     string   `json:"operation"`
	Result        string   `json:"result"`
	Subscription  string   `json:"subscription,omitempty"`
	ResourceGroup string   `json:"resourceGroup,omitempty"`
	VM            string   `json:"virtualMachine,omitempty"`
	Target        string   `json:"target,omitempty"`
	Requestor     string   `json:"requestor"`
	Grant         string   `json:"request,omitempty"`
	Ports         []uint16 `json:"ports,omitempty"`
	Sources       []string `json:"sourceAddressPrefixes,omitempty"`
	End           string   `json:"endTimeUtc,omitempty"`
	Justification string   `json:"justification,omitempty"`
	Reason        string   `json:"reason,omitempty"`
	Message       string   `json:"message,omitempty"`
	Correlation   string   `json:"correlationId,omitempty"`
}

func toEntry(e access.Entry) entry {
	out := entry{Time: stamp(e.Time), Operation: string(e.Operation), Result: string(e.Result), Requestor: e.Requestor, Grant: e.Grant, Ports: e.Ports,
		Sources: e.Sources, End: stamp(e.End), Justification: e.Justification, Reason: e.Reason, Message: e.Message, Correlation: e.Correlation}
	if !e.VM.IsZero() {
		out.VM, out.Subscription, out.ResourceGroup = e.VM.String(), e.VM.Subscription, e.VM.ResourceGroup
	}
	if !e.Target.IsZero() {
		out.Target = e.Target.String()
	}
	return out
}

// activity lists the activity log, newest first: GET /api/activity.
func (s *server) activity(w http.ResponseWriter, r call) error {
	q := r.URL.Query()
	f := access.EntryFilter{Subscription: strings.ToLower(q.Get("subscription")), Requestor: q.Get("requestor"), Operation: access.Operation(q.Get("operation"))}
	var err error
	if f.VM, err = queryVM(q); err != nil {
		return err
	}
	if f.From, err = queryTime(q, "from"); err != nil {
		return err
	}
	if f.To, err = queryTime(q, "to"); err != nil {
		return err
	}
	if f.Subscription != "" && !jit.ValidGUID(f.Subscription) {
		return &jit.Error{Code: CodeInvalidQuery, Target: "subscription", Message: "subscription is not a GUID"}
	}
	if format := q.Get("format"); format != "" && format != "json" {
		return &jit.Error{Code: CodeInvalidQuery, Target: "format", Message: "format is json"}
	}
	limit, err := queryLimit(q)
	if err != nil {
		return err
	}
	entries, cursor, err := s.guard.Entries(r.Context(), r.who, f, q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	page := list[entry]{Value: []entry{}, NextLink: nextLink(r.URL, cursor)}
	for _, e := range entries {
		page.Value = append(page.Value, toEntry(e))
	}
	write(w, http.StatusOK, page)
	return nil
}

type sweepAnswer struct {
	Started  string    `json:"startedAt"`
	Ended    string    `json:"endedAt"`
	Targets  int       `json:"targets"`
	Changed  int       `json:"targetsChanged"`
	Closed   int       `json:"requestsClosed"`
	Error    string    `json:"error,omitempty"`
	Findings []finding `json:"findings"`
}

type finding struct {
	Kind    string `json:"kind"`
	Target  string `json:"target,omitempty"`
	VM      string `json:"virtualMachine,omitempty"`
	Grant   string `json:"request,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
	Since   string `json:"since"`
}

func toSweep(r access.SweepRecord) sweepAnswer {
	out := sweepAnswer{Started: stamp(r.Started), Ended: stamp(r.Ended), Targets: r.Targets, Changed: r.Changed, Closed: r.Closed, Error: r.Error, Findings: []finding{}}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, toFinding(f))
	}
	return out
}

func toFinding(f access.Finding) finding {
	out := finding{Kind: string(f.Kind), Grant: f.Grant, Rule: f.Rule, Message: f.Message, Since: stamp(f.Since)}
	if !f.Target.IsZero() {
		out.Target = f.Target.String()
	}
	if !f.VM.IsZero() {
		out.VM = f.VM.String()
	}
	return out
}

// compliance shows the last sweep's findings: GET /api/compliance.
func (s *server) compliance(w http.ResponseWriter, r call) error {
	rec, err := s.guard.LastSweep(r.Context(), r.who)
	if err != nil && !errors.Is(err, access.ErrNotFound) {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}

// sweepNow runs a sweep: POST /api/sweep.
func (s *server) sweepNow(w http.ResponseWriter, r call) error {
	rec, err := s.guard.Sweep(r.Context(), r.who)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, toSweep(rec))
	return nil
}

type healthAnswer struct {
	Status       string            `json:"status"`
	Version      string            `json:"version"`
	Dependencies map[string]string `json:"dependencies"`
	LastSweep    string            `json:"lastSweepEndedAt,omitempty"`
	SweepAge     int               `json:"lastSweepAgeSeconds"`
	Overdue      int               `json:"oldestOverdueClosingSeconds"`
}

// healthTimeout bounds what the health function waits for a dependency.
const healthTimeout = 5 * time.Second

// health says which dependency answers, when the last sweep ended and how old the
// oldest overdue closing is: GET /api/health. 503 where a dependency does not answer.
func (s *server) health(w http.ResponseWriter, r call) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	out := healthAnswer{Status: "ok", Version: s.Version, Dependencies: map[string]string{}, SweepAge: -1}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, d := range s.Dependencies {
		wg.Go(func() {
			state := "ok"
			if err := d.Ping(ctx); err != nil {
				state = "unavailable"
				s.Log.Warn("dependency does not answer", "invocation", invocation(r.Context()), "dependency", name, "error", err.Error())
			}
			mu.Lock()
			defer mu.Unlock()
			out.Dependencies[name] = state
		})
	}
	wg.Wait()
	status := http.StatusOK
	for _, state := range out.Dependencies {
		if state != "ok" {
			out.Status, status = "unavailable", http.StatusServiceUnavailable
		}
	}
	if rec, err := s.guard.Service.Sweeps.LastSweep(ctx); err == nil && !rec.Completed.IsZero() {
		out.LastSweep, out.SweepAge = stamp(rec.Completed), int(s.guard.Service.Now().Sub(rec.Completed).Seconds())
	}
	if age, err := s.guard.Service.Overdue(ctx); err == nil {
		out.Overdue = int(age.Seconds())
	}
	write(w, status, out)
	return nil
}
