package tablesim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/tablesim"
)

func TestLoadRefuses(t *testing.T) {
	sim, service := open(t)
	table := created(t, service, "things")
	add(t, table, row(t, "p", "there", nil))
	fresh := row(t, "p", "fresh", nil)
	for _, test := range []struct {
		name, table string
		body        []byte
		want        string
	}{
		{"a table that is not there", "nothing", row(t, "p", "1", nil), "table specified does not exist"},
		{"an entity that is there", "things", row(t, "p", "there", nil), "entity already exists"},
		{"an entity twice", "things", fresh, "entity already exists"},
		{"no row key", "things", []byte(`{"PartitionKey":"p"}`), "values are not specified"},
		{"a key that the service does not take", "things", row(t, "p", "a/b", nil), "out of range"},
		{"what is no entity", "things", []byte(`[]`), "not valid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := sim.Load(test.table, [][]byte{fresh, test.body})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			if all := pages(t, table, aztables.ListEntitiesOptions{}); len(all) != 1 || len(all[0]) != 1 {
				t.Errorf("it left %v", all)
			}
			if _, err := table.GetEntity(t.Context(), "p", "fresh", nil); err == nil {
				t.Error("it inserted what stood beside it")
			}
		})
	}
}

// TestLoadIsAnInsert reads what was loaded, and what was inserted over the wire, and finds no difference.
// Nor does a query or a write cost more rows where a hundred thousand others stand beside those it names.
func TestLoadIsAnInsert(t *testing.T) {
	sim, service := open(t)
	table := created(t, service, "things")
	var bodies [][]byte
	for n := range 20_000 {
		bodies = append(bodies, row(t, "p", fmt.Sprintf("%06d", n), nil))
	}
	same := map[string]any{"Text": "äöü", "Number": 7, "Flag": true, "Long": "9", "Long@odata.type": "Edm.Int64"}
	if err := sim.Load("THINGS", append(bodies, row(t, "q", "loaded", same))); err != nil {
		t.Fatal(err)
	}
	sim.ResetStats()
	add(t, table, row(t, "q", "sent", same))
	if got := pages(t, table, aztables.ListEntitiesOptions{Filter: to.Ptr("PartitionKey eq 'q' and Text eq 'äöü' and Number eq 7 and Flag and Long eq 9L")}); len(got) != 1 || len(got[0]) != 2 {
		t.Fatalf("found %v", got)
	}
	pages(t, table, aztables.ListEntitiesOptions{Filter: to.Ptr("PartitionKey eq 'p' and RowKey ge '010000' and RowKey lt '010010'")})
	want := tablesim.Stats{Operations: map[tablesim.Operation]int{tablesim.InsertEntity: 1, tablesim.QueryEntities: 2}, EntitiesRead: 2 + 10, EntitiesVisited: 2 + 10, EntitiesWritten: 1}
	if diff := cmp.Diff(want, sim.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	loaded, err := table.GetEntity(t.Context(), "q", "loaded", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.UpdateEntity(t.Context(), row(t, "q", "loaded", nil), &aztables.UpdateEntityOptions{IfMatch: to.Ptr(loaded.ETag), UpdateMode: aztables.UpdateModeReplace}); err != nil {
		t.Errorf("by its ETag: %v", err)
	}
}
