package table_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"portcullis/core/store"
	"portcullis/infra/table"
)

// gate holds the first transaction back until it is opened, and keeps what each holds.
type gate struct {
	mu     sync.Mutex
	bodies []string
	at     chan struct{} // closed when the first one has come
	open   chan struct{}
}

func (g *gate) Do(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		g.mu.Lock()
		g.bodies = append(g.bodies, string(body))
		first := len(g.bodies) == 1
		g.mu.Unlock()
		if first {
			close(g.at)
			<-g.open
		}
	}
	return http.DefaultClient.Do(r)
}

// TestRefusalsComeLast: while people without any role are refused, as many at once as like, what others do waits for the one
// transaction that is under way, and for none of those that wait.
func TestRefusalsComeLast(t *testing.T) {
	const nobodies = 40 // besides the one whose refusal is under way, and the last one
	_, url := simulator(t)
	plain := must(table.New(url, token{}, impatient()))
	if err := plain.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := &gate{at: make(chan struct{}), open: make(chan struct{})}
	options := impatient()
	options.Transport = g
	s := must(table.New(url, token{}, options))
	entries := told(nobodies + 5)
	for i := range nobodies + 2 {
		entries[i].ID, entries[i].Result = fmt.Sprint("refused ", i), store.Refused
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Append(t.Context(), entries[0]); err != nil {
			t.Error(err)
		}
	})
	<-g.at
	gone, hangUp := context.WithCancel(t.Context())
	hangUp() // whoever hangs up waits for nothing, and what he had to append is appended all the same
	for i, e := range entries[1:] {
		if i == nobodies { // the last one, which is waited for
			continue
		}
		if err := s.Append(gone, e); !isUnavailable(err) {
			t.Fatalf("%s: %v", e.ID, err)
		}
	}
	close(g.open)
	if err := s.Append(t.Context(), entries[nobodies+1]); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if !strings.Contains(g.bodies[1], "event 43") || !strings.Contains(g.bodies[1], "event 45") || strings.Contains(g.bodies[1], "refused") {
		t.Errorf("the second transaction is\n%.2000s", g.bodies[1])
	}
	if want := 2 + nobodies/8 + 1; len(g.bodies) != want { // eight refusals a transaction
		t.Errorf("%d transactions, want %d", len(g.bodies), want)
	}
	if got := verify(t, plain, subscription); got.FirstBroken != nil || got.Entries != len(entries) {
		t.Errorf("%+v", got)
	}
	f := forger{t, plain.ActivityTable()}
	for i, e := range f.chain(subscription) {
		if strings.HasPrefix(doc(e)["ID"].(string), "event") != (i >= 1 && i <= 3) {
			t.Errorf("place %d is %v", i+1, doc(e)["ID"])
		}
	}
	t.Logf("%d refusals waited; the three lines of the revoke stood behind 1 transaction of 1 entry", nobodies)
}
