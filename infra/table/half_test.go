package table_test

import (
	"context"
	"testing"

	"portcullis/core/store"
	"portcullis/infra/table"
)

// TestHalfAList: a write of a machine with its named policy that takes several transactions and fails after the first gives the policy's record
// as it is stored then: its version writes it.
func TestHalfAList(t *testing.T) {
	const targets = 120
	for name, call := range map[string]func(context.Context, *table.Store, store.NamedRecord, store.PolicyRecord) (store.NamedRecord, error){
		"put": func(ctx context.Context, s *table.Store, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, error) {
			n, _, err := s.PutListed(ctx, n, p)
			return n, err
		},
		"drop": func(ctx context.Context, s *table.Store, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, error) {
			return s.DropListed(ctx, n, p)
		},
	} {
		for at, moved := range map[int]bool{1: false, 2: true, 3: true} { // the transaction that fails; the first one holds the policy's record
			_, url := simulator(t)
			healthy := on(t, url, &stops{})
			if err := healthy.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
			p, err := healthy.PutPolicy(t.Context(), policyRecord(1, targets))
			if err != nil {
				t.Fatal(err)
			}
			before, err := healthy.PutNamed(t.Context(), store.NamedRecord{Name: p.Listing()})
			if err != nil {
				t.Fatal(err)
			}
			after, err := call(t.Context(), on(t, url, &stops{at: at}), before, p)
			if err == nil || (after.Version != before.Version) != moved {
				t.Errorf("%s, transaction %d: version moved %t, %v", name, at, after.Version != before.Version, err)
			}
			if _, err := healthy.PutNamed(t.Context(), after); err != nil {
				t.Errorf("%s, transaction %d: %v", name, at, err)
			}
		}
	}
}
