package armsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Provisioning states and the ends of operations.
const (
	succeeded  = "Succeeded"
	failed     = "Failed"
	canceled   = "Canceled"
	updating   = "Updating"
	deleting   = "Deleting"
	inProgress = "InProgress"
)

// keptOperations bounds how many ended operations can still be polled.
const keptOperations = 4096

// operation is an accepted write. It ends by the clock, when somebody looks: nothing runs in between.
type operation struct {
	ID       string         `json:"id"`
	Target   string         `json:"target"` // key of the NSG or firewall
	Location string         `json:"location"`
	Sub      string         `json:"sub"`
	Delete   bool           `json:"delete,omitempty"` // of the whole resource
	Doc      map[string]any `json:"doc,omitempty"`    // what takes effect when it succeeds
	Start    time.Time      `json:"start"`
	End      time.Time      `json:"end"`
	Outcome  string         `json:"outcome"`         // what it will end as
	Status   string         `json:"status"`          // InProgress until the end
	Sequence int            `json:"sequence"`        // order of arrival
	Cause    *Detail        `json:"cause,omitempty"` // of Failed and Canceled
}

func (s *Server) restorePending() {
	for _, o := range s.ops {
		s.sequence = max(s.sequence, o.Sequence)
		if o.Status == inProgress {
			s.pending = append(s.pending, o)
		}
	}
	slices.SortFunc(s.pending, func(a, b *operation) int { return a.Sequence - b.Sequence })
}

// settle ends the operations that are due, in the order of their ends.
func (s *Server) settle(now time.Time) {
	for {
		var due *operation
		for _, o := range s.pending {
			if !now.Before(o.End) && (due == nil || o.End.Before(due.End)) {
				due = o
			}
		}
		if due == nil {
			return
		}
		s.finish(due)
	}
}

// finish ends o: the etag changes once more, and provisioningState says how it went unless another write is under way.
func (s *Server) finish(o *operation) {
	o.Status = o.Outcome
	s.dirtyOps[o.ID] = true
	s.pending = slices.DeleteFunc(s.pending, func(p *operation) bool { return p == o })
	defer s.prune()
	old, ok := s.resources[o.Target]
	if !ok || o.Outcome == canceled {
		return
	}
	if o.Delete && o.Outcome == succeeded {
		s.remove(o.Target)
		return
	}
	r := *old
	r.ETag = newETag()
	if o.Outcome == succeeded {
		r.Effective = o.Doc
	}
	if len(s.inFlight(o.Target)) == 0 {
		r.State = o.Outcome
	}
	s.set(&r)
	o.Doc = nil
}

// prune forgets the oldest ended operations.
func (s *Server) prune() {
	if len(s.ops) <= 2*keptOperations {
		return
	}
	var ended []*operation
	for _, o := range s.ops {
		if o.Status != inProgress {
			ended = append(ended, o)
		}
	}
	slices.SortFunc(ended, func(a, b *operation) int { return a.Sequence - b.Sequence })
	for _, o := range ended[:max(0, len(ended)-keptOperations)] {
		delete(s.ops, o.ID)
		s.dirtyOps[o.ID] = true
	}
}

func (s *Server) inFlight(target string) []*operation {
	var in []*operation
	for _, o := range s.pending {
		if o.Target == target {
			in = append(in, o)
		}
	}
	return in
}

// begin accepts a write of doc to the NSG or firewall at id, or a delete of it, according to the knobs. It returns the operation; the
// resource holds doc from now on. Nothing has changed when it returns an error.
func (s *Server) begin(c *call, doc map[string]any, del bool) (*operation, *Error) {
	k := key(c.at.id)
	w := s.knobs.writes(k)
	start, err := s.admit(c, k, w.Concurrent)
	if err != nil {
		return nil, err
	}
	s.sequence++
	old := s.resources[k]
	o := &operation{
		ID: uuid.NewString(), Target: k, Sub: c.at.sub, Delete: del, Doc: doc, Start: c.now,
		End: start.Add(s.latency(w)), Outcome: succeeded, Status: inProgress, Sequence: s.sequence,
	}
	r := &resource{ID: c.at.id, Type: c.at.typ.name, GUID: uuid.NewString(), Doc: doc, State: updating}
	if old != nil {
		*r = *old
		r.Doc, r.State = doc, updating
	}
	if del {
		r.Doc, r.State, o.Doc = old.Doc, deleting, nil
	}
	o.Location = r.location()
	r.ETag = newETag()
	if w.FailOperations > 0 {
		w.FailOperations--
		o.Outcome, o.Cause = failed, &Detail{Code: "InternalServerError", Message: "An error occurred."}
	}
	s.set(r)
	s.ops[o.ID], s.dirtyOps[o.ID] = o, true
	s.pending = append(s.pending, o)
	if w.Answer == AnswerSucceeded && !del && o.Outcome == succeeded && !start.After(c.now) {
		o.End = c.now
		s.finish(o)
	}
	return o, nil
}

// admit decides what happens to a write while another one is under way, and returns when the new one starts.
func (s *Server) admit(c *call, k string, mode Concurrency) (time.Time, *Error) {
	in := s.inFlight(k)
	if len(in) == 0 {
		return c.now, nil
	}
	last := in[len(in)-1]
	if c.at.typ.name == firewallType && mode == Reject {
		return time.Time{}, newError(http.StatusConflict, "AnotherOperationInProgress",
			"Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: %s/subscriptions/%s/providers/Microsoft.Network/locations/%s/operations/%s?api-version=2025-05-01.",
			s.base(c.r), last.Sub, last.Location, last.ID)
	}
	if mode == Reject || last.Delete {
		return time.Time{}, &Error{
			Status: http.StatusTooManyRequests, Code: "RetryableErrorDueToAnotherOperation",
			Message: fmt.Sprintf("Operation PutNetworkSecurityGroupOperation (%s) is updating resource %s. The call can be retried later.", last.ID, c.at.id),
		}
	}
	if mode != Supersede {
		return last.End, nil
	}
	for _, o := range in {
		o.Outcome, o.Doc = canceled, nil
		o.Cause = &Detail{
			Code:    "CanceledAndSupersededDueToAnotherOperation",
			Message: fmt.Sprintf("Operation PutNetworkSecurityGroupOperation (%s) was canceled and superseded by another operation.", o.ID),
		}
		o.End = c.now
		s.finish(o)
	}
	return c.now, nil
}

func (s *Server) latency(w *Writes) time.Duration {
	low, high := time.Duration(w.LatencyMin), time.Duration(max(w.LatencyMin, w.LatencyMax))
	if high == low {
		return low
	}
	return low + time.Duration(s.rand.Int64N(int64(high-low)+1))
}

// announce sets the headers by which a client follows o.
func (s *Server) announce(c *call, o *operation, location bool) {
	at := fmt.Sprintf("%s/subscriptions/%s/providers/Microsoft.Network/locations/%s/", s.base(c.r), o.Sub, o.Location)
	tail := o.ID + "?api-version=" + c.r.URL.Query().Get("api-version")
	c.header.Set("Azure-AsyncOperation", at+"operations/"+tail)
	if location {
		c.header.Set("Location", at+"operationResults/"+tail)
	}
	if o.Status == inProgress {
		retryAfter(c.header, s.knobs.writes(o.Target).RetryAfter)
	}
}

func (s *Server) base(r *http.Request) string {
	if s.cfg.URL != "" {
		return s.cfg.URL
	}
	return "http://" + r.Host
}

// retryAfter sets Retry-After, or retry-after-ms for what is not whole seconds (which azcore honours, and ARM never sends).
func retryAfter(h http.Header, d Duration) {
	switch t := time.Duration(d); {
	case t <= 0:
	case t%time.Second == 0:
		h.Set("Retry-After", strconv.Itoa(int(t/time.Second)))
	default:
		h.Set("retry-after-ms", strconv.Itoa(max(1, int(t/time.Millisecond))))
	}
}

// pollOperation answers a GET of an operation's status or result.
func (s *Server) pollOperation(c *call) (answer, *Error) {
	if c.r.Method != http.MethodGet {
		return answer{}, methodNotAllowed(c.r)
	}
	o, ok := s.ops[c.at.operation]
	if !ok {
		return answer{}, newError(http.StatusNotFound, "OperationNotFound", "The operation '%s' was not found.", c.at.operation)
	}
	if o.Status == inProgress {
		retryAfter(c.header, s.knobs.writes(o.Target).PollRetryAfter)
	}
	if c.at.kind == operationDone {
		return s.operationResult(c, o)
	}
	body := map[string]any{"status": o.Status}
	if o.Cause != nil && o.Status != inProgress {
		body["error"] = o.Cause
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// operationResult answers the Location of a delete: 202 until it is done, then 204 or the error.
func (s *Server) operationResult(c *call, o *operation) (answer, *Error) {
	switch {
	case o.Status == inProgress:
		s.announce(c, o, true)
		return answer{status: http.StatusAccepted}, nil
	case o.Cause != nil:
		return answer{}, newError(http.StatusConflict, o.Cause.Code, "%s", o.Cause.Message)
	}
	return answer{status: http.StatusNoContent}, nil
}
