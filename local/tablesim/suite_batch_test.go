package tablesim_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
)

func (s *conformance) refusedTransactions(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	stale := add(t, table, row(t, "p", "old", nil))
	if _, err := table.UpsertEntity(ctx, row(t, "p", "old", nil), nil); err != nil {
		t.Fatal(err)
	}
	insert := func(pk, rk string) aztables.TransactionAction {
		return aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: row(t, pk, rk, nil)}
	}
	var tooMany []aztables.TransactionAction
	for i := range 101 {
		tooMany = append(tooMany, insert("p", fmt.Sprint("n", i)))
	}
	for _, test := range []struct {
		name    string
		actions []aztables.TransactionAction
		inner   string // the status of the failing operation
		code    string
		index   string
		strict  bool
	}{
		{"insert of an existing row", []aztables.TransactionAction{insert("p", "new"), insert("p", "old")}, "409", "EntityAlreadyExists", "1:", false},
		{"stale etag", []aztables.TransactionAction{insert("p", "new"),
			{ActionType: aztables.TransactionTypeUpdateReplace, Entity: row(t, "p", "old", nil), IfMatch: &stale}}, "412", "UpdateConditionNotSatisfied", "1:", false},
		{"update of no row", []aztables.TransactionAction{insert("p", "new"), insert("p", "new2"),
			{ActionType: aztables.TransactionTypeUpdateMerge, Entity: row(t, "p", "none", nil), IfMatch: &stale}}, "404", "ResourceNotFound", "2:", false},
		{"two partitions", []aztables.TransactionAction{insert("p", "new"), insert("q", "new")}, "400", "CommandsInBatchActOnDifferentPartitions", "1:", true},
		{"same row twice", []aztables.TransactionAction{insert("p", "new"), insert("p", "new2"), insert("p", "new")}, "400", "InvalidDuplicateRow", "2:", true},
		{"101 operations", tooMany, "400", "InvalidInput", "99:", true},
		{"bad key", []aztables.TransactionAction{insert("p", "new"), insert("p", "a/b")}, "400", "OutOfRangeInput", "1:", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.strict && !s.strict {
				return
			}
			_, err := table.SubmitTransaction(ctx, test.actions, nil)
			// aztables shows only the outer status; the rest is in the text.
			var e *azcore.ResponseError
			if !errors.As(err, &e) || e.StatusCode != http.StatusAccepted {
				t.Fatalf("error = %v, want a ResponseError with status 202", err)
			}
			for _, part := range []string{"HTTP/1.1 " + test.inner, test.code} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q:\n%v", part, err)
				}
			}
			if s.strict && !strings.Contains(err.Error(), `"value":"`+test.index) {
				t.Errorf("error lacks the index %q:\n%v", test.index, err)
			}
			if diff := cmp.Diff([]string{"p/old"}, s.query(t, table, aztables.ListEntitiesOptions{})); diff != "" {
				t.Errorf("a refused transaction left something behind (-want +got):\n%s", diff)
			}
		})
	}
}

func (s *conformance) transactions(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	var etags []azcore.ETag
	for i := range 4 {
		etags = append(etags, add(t, table, row(t, "p", fmt.Sprint("r", i), map[string]any{"a": 1})))
	}
	change := map[string]any{"b": 2}
	_, err := table.SubmitTransaction(ctx, []aztables.TransactionAction{
		{ActionType: aztables.TransactionTypeUpdateMerge, Entity: row(t, "p", "r0", change), IfMatch: &etags[0]},
		{ActionType: aztables.TransactionTypeUpdateReplace, Entity: row(t, "p", "r1", change), IfMatch: &etags[1]},
		{ActionType: aztables.TransactionTypeDelete, Entity: row(t, "p", "r2", nil), IfMatch: &etags[2]},
		{ActionType: aztables.TransactionTypeInsertMerge, Entity: row(t, "p", "r3", change)},
		{ActionType: aztables.TransactionTypeInsertReplace, Entity: row(t, "p", "r4", change)},
		{ActionType: aztables.TransactionTypeAdd, Entity: row(t, "p", "r5", change)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, page := range pages(t, table, aztables.ListEntitiesOptions{}) {
		for _, e := range page {
			got = append(got, fmt.Sprint(e["RowKey"], " ", e["a"], " ", e["b"]))
		}
	}
	want := []string{"r0 1 2", "r1 <nil> 2", "r3 1 2", "r4 <nil> 2", "r5 <nil> 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
