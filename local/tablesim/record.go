package tablesim

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Operation is a kind of request, for counting and for failing.
type Operation string

// The operations of the service.
const (
	CreateTable           Operation = "CreateTable"
	DeleteTable           Operation = "DeleteTable"
	ListTables            Operation = "ListTables"
	InsertEntity          Operation = "InsertEntity"
	GetEntity             Operation = "GetEntity"
	ReplaceEntity         Operation = "ReplaceEntity"
	MergeEntity           Operation = "MergeEntity"
	InsertOrReplaceEntity Operation = "InsertOrReplaceEntity"
	InsertOrMergeEntity   Operation = "InsertOrMergeEntity"
	DeleteEntity          Operation = "DeleteEntity"
	QueryEntities         Operation = "QueryEntities"
	Batch                 Operation = "Batch"
)

// Stats counts work since the start or the last ResetStats.
type Stats struct {
	// Operations counts authorized, well-formed requests, refused ones
	// included; one page of a query is one, and so is one transaction.
	Operations map[Operation]int
	// EntitiesRead counts entities sent to callers.
	EntitiesRead int
	// EntitiesVisited counts stored entities that queries looked at.
	EntitiesVisited int
	// EntitiesWritten counts entities stored or deleted.
	EntitiesWritten int
}

// Exchange is one request and the status of its answer; 0 when no answer was
// sent. Operation is empty for what was refused before it was understood.
type Exchange struct {
	Method    string
	Path      string // with the query, as sent
	Operation Operation
	Status    int
}

// keptExchanges bounds the memory of the recorder.
const keptExchanges = 4096

type record struct {
	mu    sync.Mutex
	stats Stats
	ring  []Exchange
}

// Stats returns a copy of the counters.
func (s *Server) Stats() Stats {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	stats := s.record.stats
	stats.Operations = maps.Clone(stats.Operations)
	return stats
}

// serveStats answers GET /local/counts with the counters, for people and for tests in another process. It needs no token, so it
// answers on loopback names only.
func (s *Server) serveStats(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
		http.Error(w, "the counts answer on loopback names only", http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		http.Error(w, "the counts are read with GET", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(s.Stats()) // a caller that is gone is no error of ours
}

// Requests returns the last requests, oldest first, at most 4096.
func (s *Server) Requests() []Exchange {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	kept := s.record.ring
	return slices.Clone(kept[max(0, len(kept)-keptExchanges):])
}

// ResetStats sets the counters to zero and forgets the recorded requests.
func (s *Server) ResetStats() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.stats, s.record.ring = Stats{}, nil
}

func (r *record) add(e Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring = append(r.ring, e)
	if len(r.ring) >= 2*keptExchanges {
		r.ring = slices.Clone(r.ring[keptExchanges:])
	}
}

func (r *record) count(op Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stats.Operations == nil {
		r.stats.Operations = map[Operation]int{}
	}
	r.stats.Operations[op]++
}

func (r *record) wrote(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.EntitiesWritten += n
}

func (r *record) read(sent, visited int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.EntitiesRead += sent
	r.stats.EntitiesVisited += visited
}
