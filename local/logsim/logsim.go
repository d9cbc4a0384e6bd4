// Package logsim is a stand-in of the Logs Ingestion API of Azure Monitor, on loopback, that the azlogs client talks to: one data collection rule with one stream.
//
// It is faithful to what the documentation says of the call: POST /dataCollectionRules/{immutable id}/streams/{stream}?api-version=2023-01-01 with a JSON array and a bearer
// token; 204 without a body; 401 without a token, 403 for another rule, 404 for another stream or path, 400 for a body that is no array of objects, 413 above 1 MB, 429 with Retry-After. It knows
// nothing of tokens but whether there is one: the issuer's stand-in does not sign for it.
//
// It leaves out: transformations, the table's schema (columns that the stream does not declare are dropped there without an answer), the time until rows can be queried, compressed
// bodies, the rate limits themselves (Answer says 429 when a test wants it), and queries.
package logsim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Hangs is the answer of a service that does not answer until the caller has gone.
const Hangs = -1

// Limit is how many bytes a call may hold.
const Limit = 1 << 20

// Service is the stand-in. The zero value with a rule and a stream takes everything.
type Service struct {
	Rule, Stream string
	// Answer is asked before each call is taken: a status other than 0 is the answer instead, with Retry-After where after is not 0; [Hangs] takes nothing and answers nothing. After
	// a call that was taken, Lost makes the answer get lost.
	Answer func(call int) (status, after int)
	Lost   func(call int) bool
	Max    int // bytes of a call; 0 for Limit

	mu    sync.Mutex
	calls int
	sizes []int
	rows  []map[string]any
}

// Rows returns what was taken, in its order.
func (s *Service) Rows() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.rows...)
}

// Sizes returns the bytes of each call that was taken.
func (s *Service) Sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.sizes...)
}

// Calls returns how many calls were made.
func (s *Service) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// ServeHTTP answers a call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls++
	call := s.calls
	s.mu.Unlock()
	most := s.Max
	if most == 0 {
		most = Limit
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(most)+1))
	if err != nil {
		refuse(w, http.StatusBadRequest)
		return
	}
	if s.Answer != nil {
		status, after := s.Answer(call)
		if status == Hangs {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		if status != 0 {
			if after != 0 {
				w.Header().Set("Retry-After", strconv.Itoa(after))
			}
			refuse(w, status)
			return
		}
	}
	if status := s.take(r, body, most); status != http.StatusNoContent {
		refuse(w, status)
		return
	}
	if s.Lost != nil && s.Lost(call) {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":{"code":"`+http.StatusText(status)+`","message":"what the service writes"}}`)
}

// take takes the rows of a call, and returns its status.
func (s *Service) take(r *http.Request, body []byte, most int) int {
	rule, stream, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/dataCollectionRules/"), "/streams/")
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || len(r.Header.Get("Authorization")) < 10:
		return http.StatusUnauthorized
	case r.Method != http.MethodPost || !ok || r.URL.Query().Get("api-version") != "2023-01-01" || stream != s.Stream:
		return http.StatusNotFound
	case rule != s.Rule:
		return http.StatusForbidden
	case len(body) > most:
		return http.StatusRequestEntityTooLarge
	}
	var rows []map[string]any
	if r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &rows) != nil {
		return http.StatusBadRequest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.sizes = append(s.rows, rows...), append(s.sizes, len(body))
	return http.StatusNoContent
}
