package armsim

import (
	"net/http"
	"slices"
)

// keptRequests bounds the recorder.
const keptRequests = 20000

// Counts is how many calls were made, refused ones included. A poll is a GET of an operation and not counted as a read.
type Counts struct {
	Reads, Writes, Deletes, Polls int
	Rejected                      int // those of the above that were answered 400 or more
}

// serveCounts answers GET /local/counts, for people and for tests in another process. Like the knobs it needs no token, so it answers on loopback names only.
func (s *Server) serveCounts(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.Host) {
		write(w, http.StatusMisdirectedRequest, newError(0, "MisdirectedRequest", "The counts answer on loopback names only."))
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		write(w, http.StatusMethodNotAllowed, methodNotAllowed(r))
		return
	}
	write(w, http.StatusOK, s.Counts())
}

// Request is one ARM call, as it was answered.
type Request struct {
	Method    string
	Path      string // as sent, without the query
	Principal string // empty when the token was refused
	Status    int    // 0 when the reply was lost
	Code      string // of the error, if any
}

// record notes a call. It takes the lock: dispatch has given it back.
func (s *Server) record(c *call, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := Request{Method: c.r.Method, Path: c.r.URL.Path, Principal: c.principal, Status: a.status, Code: c.header.Get("x-ms-error-code")}
	if a.lose {
		request.Status = 0
	}
	if len(s.requests) >= keptRequests {
		s.requests = slices.Delete(s.requests, 0, keptRequests/2)
	}
	s.requests = append(s.requests, request)
	target := key(c.at.id)
	if o := s.ops[c.at.operation]; o != nil {
		target = o.Target
	}
	s.total.add(c, a)
	if target != "" {
		counts := s.perTarget[target]
		counts.add(c, a)
		s.perTarget[target] = counts
	}
}

func (n *Counts) add(c *call, a answer) {
	switch {
	case c.at.operation != "":
		n.Polls++
	case c.r.Method == http.MethodPut:
		n.Writes++
	case c.r.Method == http.MethodDelete:
		n.Deletes++
	default:
		n.Reads++
	}
	if a.status >= 400 {
		n.Rejected++
	}
}

// Counts returns the calls made since the start or the last Reset.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// CountsOf returns the calls aimed at one resource or its children, polls of its operations included.
func (s *Server) CountsOf(id string) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perTarget[key(id)]
}

// Requests returns the calls made since the start or the last Reset, oldest first, and at most the last 10,000 to 20,000.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Reset forgets the counts and the recorded calls. The state and the buckets stay.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total, s.requests = Counts{}, nil
	clear(s.perTarget)
}
