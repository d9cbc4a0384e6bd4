package tablesim_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/tablesim"
)

func TestDown(t *testing.T) {
	sim, service := open(t)
	sim.SetDown(true)
	_, err := service.CreateTable(t.Context(), "things", nil)
	wantCode(t, err, "ServerBusy", http.StatusServiceUnavailable)
	sim.SetDown(false)
	created(t, service, "things") // nothing was created while down
}

func TestFailNext(t *testing.T) {
	for _, test := range []struct {
		how     tablesim.Failure
		code    string // "" when there is no answer
		status  int
		applied bool
	}{
		{tablesim.NotApplied, "ServerBusy", 503, false},
		{tablesim.Applied, "OperationTimedOut", 500, true},
		{tablesim.ReplyLost, "", 0, true},
	} {
		t.Run(fmt.Sprint(test.code, test.status), func(t *testing.T) {
			sim, service := open(t)
			table := created(t, service, "things")
			sim.FailNext(2, test.how, tablesim.InsertEntity)
			if _, err := table.GetEntity(t.Context(), "p", "0", nil); err == nil {
				t.Error("the row is there already")
			}
			for i := range 2 {
				_, err := table.AddEntity(t.Context(), row(t, "p", fmt.Sprint(i), nil), nil)
				if err == nil {
					t.Fatal("the insert did not fail")
				}
				wantCode(t, err, test.code, test.status)
				_, err = table.GetEntity(t.Context(), "p", fmt.Sprint(i), nil)
				if got := err == nil; got != test.applied {
					t.Errorf("row %d there: %v, want %v", i, got, test.applied)
				}
			}
			add(t, table, row(t, "p", "after", nil))
			requests := sim.Requests()
			if got := requests[2].Status; got != test.status {
				t.Errorf("recorded status %d, want %d", got, test.status)
			}
			sim.FailNext(1, test.how)
			sim.ClearFailures()
			add(t, table, row(t, "p", "cleared", nil))
		})
	}
}

func TestLatency(t *testing.T) {
	sim, service := open(t)
	const delay = 30 * time.Millisecond
	sim.SetLatency(delay)
	start := time.Now()
	created(t, service, "things")
	if took := time.Since(start); took < delay {
		t.Errorf("took %v, want at least %v", took, delay)
	}
}

func TestPageKnobs(t *testing.T) {
	sim, service := open(t)
	table := created(t, service, "things")
	for i := range 5 {
		add(t, table, row(t, "p", fmt.Sprint(i), nil))
	}
	sim.SetMaxPage(2)
	sim.EmptyPages(1)
	all := pages(t, table, aztables.ListEntitiesOptions{Top: to.Ptr[int32](4)})
	sizes := []int{}
	for _, page := range all {
		sizes = append(sizes, len(page))
	}
	if diff := cmp.Diff([]int{0, 2, 2, 1}, sizes); diff != "" {
		t.Errorf("page sizes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"p/0", "p/1", "p/2", "p/3", "p/4"}, keysOf(all)); diff != "" {
		t.Errorf("entities (-want +got):\n%s", diff)
	}
	for _, name := range []string{"aaa", "bbb", "ccc"} {
		created(t, service, name)
	}
	var names []string
	pager := service.NewListTablesPager(nil)
	for n := 0; pager.More() && n < 10; n++ {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Tables) > 2 {
			t.Errorf("page of %d tables, want at most 2", len(page.Tables))
		}
		for _, table := range page.Tables {
			names = append(names, *table.Name)
		}
	}
	if diff := cmp.Diff([]string{"aaa", "bbb", "ccc", "things"}, names); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

func TestStatsAndRequests(t *testing.T) {
	sim, service := open(t)
	table := created(t, service, "things")
	add(t, table, row(t, "p", "1", nil))
	_, err := table.SubmitTransaction(t.Context(), []aztables.TransactionAction{
		{ActionType: aztables.TransactionTypeAdd, Entity: row(t, "p", "2", nil)},
		{ActionType: aztables.TransactionTypeAdd, Entity: row(t, "p", "3", nil)},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages(t, table, aztables.ListEntitiesOptions{Filter: to.Ptr("RowKey ge '2'")})
	want := tablesim.Stats{
		Operations:   map[tablesim.Operation]int{tablesim.CreateTable: 1, tablesim.InsertEntity: 1, tablesim.Batch: 1, tablesim.QueryEntities: 1},
		EntitiesRead: 2, EntitiesVisited: 3, EntitiesWritten: 3,
	}
	if diff := cmp.Diff(want, sim.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	wantRequests := []tablesim.Exchange{
		{Method: "POST", Path: "/Tables", Operation: tablesim.CreateTable, Status: 201},
		{Method: "POST", Path: "/things", Operation: tablesim.InsertEntity, Status: 201},
		{Method: "POST", Path: "/$batch", Operation: tablesim.Batch, Status: 202},
		{Method: "GET", Path: "/things()?%24filter=RowKey+ge+%272%27", Operation: tablesim.QueryEntities, Status: 200},
	}
	if diff := cmp.Diff(wantRequests, sim.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	sim.ResetStats()
	if diff := cmp.Diff(tablesim.Stats{}, sim.Stats()); diff != "" || len(sim.Requests()) != 0 {
		t.Errorf("after reset (-want +got):\n%s", diff)
	}
}

// TestRangeQueryDoesNotScan is the reason for the order of stored keys.
func TestRangeQueryDoesNotScan(t *testing.T) {
	sim, service := open(t)
	table := created(t, service, "things")
	const batches = 30
	for _, pk := range []string{"a", "b", "c"} {
		for i := range batches {
			actions := []aztables.TransactionAction{}
			for j := range 100 {
				actions = append(actions, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: row(t, pk, fmt.Sprintf("%06d", 100*i+j), nil)})
			}
			if _, err := table.SubmitTransaction(t.Context(), actions, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		filter     string
		read, most int
	}{
		{"PartitionKey eq 'b' and RowKey ge '002000' and RowKey lt '002010'", 10, 10},
		{"PartitionKey eq 'b' and RowKey gt '002000' and RowKey le '002010'", 10, 10},
		{"RowKey lt '000003' and PartitionKey eq 'c'", 3, 3},
		{"PartitionKey ge 'b' and PartitionKey le 'b' and RowKey eq '001234'", 1, 1},
		{"PartitionKey eq 'a' and (RowKey eq '000010' or RowKey eq '000014')", 2, 5},
		{"PartitionKey gt 'b' and RowKey eq '000000'", 1, 100 * batches},
		{"PartitionKey eq 'd'", 0, 0},
		{"PartitionKey lt 'a'", 0, 0},
	} {
		t.Run(test.filter, func(t *testing.T) {
			sim.ResetStats()
			pages(t, table, aztables.ListEntitiesOptions{Filter: &test.filter})
			if got := sim.Stats(); got.EntitiesRead != test.read || got.EntitiesVisited > test.most {
				t.Errorf("read %d, visited %d; want %d and at most %d", got.EntitiesRead, got.EntitiesVisited, test.read, test.most)
			}
		})
	}
}

// TestTransactionRace lets 8 writers each replace a row with the same ETag and
// append to a log in one transaction: the log grows by the winners alone.
func TestTransactionRace(t *testing.T) {
	_, service := open(t)
	table := created(t, service, "things")
	etag := add(t, table, row(t, "p", "state", nil))
	const rounds, writers = 20, 8
	for round := range rounds {
		won := make(chan bool)
		for writer := range writers {
			actions := []aztables.TransactionAction{
				{ActionType: aztables.TransactionTypeAdd, Entity: row(t, "p", fmt.Sprintf("log-%d-%d", round, writer), nil)},
				{ActionType: aztables.TransactionTypeUpdateReplace, Entity: row(t, "p", "state", nil), IfMatch: to.Ptr(etag)},
			}
			go func() {
				_, err := table.SubmitTransaction(t.Context(), actions, nil)
				if err != nil && !strings.Contains(err.Error(), "UpdateConditionNotSatisfied") {
					t.Error(err)
				}
				won <- err == nil
			}()
		}
		winners := 0
		for range writers {
			if <-won {
				winners++
			}
		}
		if winners != 1 {
			t.Fatalf("round %d: %d winners, want 1", round, winners)
		}
		r, err := table.GetEntity(t.Context(), "p", "state", nil)
		if err != nil {
			t.Fatal(err)
		}
		etag = r.ETag
	}
	logged := keysOf(pages(t, table, aztables.ListEntitiesOptions{Filter: to.Ptr("RowKey lt 'm'")}))
	if len(logged) != rounds {
		t.Errorf("%d log rows, want %d", len(logged), rounds)
	}
}

func TestClosedServerAnswers(t *testing.T) {
	sim, err := tablesim.Open(tablesim.Config{Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Close(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/Tables", "/things()"} {
		if w := send(sim, "GET", target, "", nil); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: status %d, want 500", target, w.Code)
		}
	}
}
