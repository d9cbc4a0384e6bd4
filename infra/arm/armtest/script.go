package armtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Script is a server that answers requests one after the other and remembers them.
type Script struct {
	Server  *httptest.Server
	Bodies  []string      // of the requests so far
	Headers []http.Header // the same

	mu      sync.Mutex
	answers []http.HandlerFunc
	calls   []string // method and last segment of the path
}

// Play starts a server that gives the answers. The test ends it.
func Play(t *testing.T, answers ...http.HandlerFunc) *Script {
	t.Helper()
	s := &Script{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.calls = append(s.calls, r.Method+" "+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		s.Bodies, s.Headers = append(s.Bodies, string(body)), append(s.Headers, r.Header.Clone())
		var next http.HandlerFunc
		if len(s.answers) > 0 {
			next, s.answers = s.answers[0], s.answers[1:]
		}
		s.mu.Unlock()
		if next == nil {
			http.Error(w, "a call too many", http.StatusTeapot)
			return
		}
		next(w, r)
	}))
	t.Cleanup(s.Server.Close)
	return s
}

// Add gives it more answers, to requests after those that it has answers for.
func (s *Script) Add(answers ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, answers...)
}

// Seen returns the calls so far, such as "GET shop", and checks that every answer was asked for.
func (s *Script) Seen(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 0 {
		t.Errorf("%d answers were not asked for", len(s.answers))
	}
	return slices.Clone(s.calls)
}

// Answer answers with headers, names and values in turn, in which {host} stands for where the server is.
func Answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], strings.ReplaceAll(header[i+1], "{host}", "http://"+r.Host))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Refusal answers with an error as ARM has it.
func Refusal(status int, code, message string, header ...string) http.HandlerFunc {
	return Answer(status, fmt.Sprintf(`{"error":{"code":%q,"message":%q,"details":[]}}`, code, message), header...)
}

// Cut ends the connection without an answer.
func Cut(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
