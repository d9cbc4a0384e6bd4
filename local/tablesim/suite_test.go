package tablesim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
)

// suite is what every stand-in for the Table service must do, written against
// aztables alone. strict adds the rows on which Azurite 3.37.0 is laxer than,
// or different from, the service.
func suite(t *testing.T, newClient func(t *testing.T) *aztables.ServiceClient, strict bool) {
	s := &conformance{strict: strict, newClient: newClient}
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"tables", s.tables},
		{"refused writes", s.refusedWrites},
		{"refused entities", s.refusedEntities},
		{"etags", s.etags},
		{"merge and replace", s.mergeAndReplace},
		{"types", s.types},
		{"order", s.order},
		{"filters", s.filters},
		{"pages", s.pages},
		{"select", s.selection},
		{"formats", s.formats},
		{"refused transactions", s.refusedTransactions},
		{"transactions", s.transactions},
		{"race", s.race},
	} {
		t.Run(part.name, part.run)
	}
}

type conformance struct {
	strict    bool
	newClient func(t *testing.T) *aztables.ServiceClient
	count     atomic.Int64
}

func (s *conformance) table(t *testing.T) *aztables.Client {
	t.Helper()
	return created(t, s.newClient(t), uniqueTable(&s.count))
}

func (s *conformance) tables(t *testing.T) {
	service, ctx := s.newClient(t), t.Context()
	name := uniqueTable(&s.count)
	_, err := service.DeleteTable(ctx, name, nil)
	wantCode(t, err, "ResourceNotFound", http.StatusNotFound)
	for _, bad := range []string{"a-b", "1ab", "a_b"} {
		if _, err := service.CreateTable(ctx, bad, nil); s.strict {
			wantCode(t, err, "InvalidResourceName", http.StatusBadRequest)
		} else if _, status := codeOf(err); status != http.StatusBadRequest {
			t.Errorf("create %q: %v, want 400", bad, err)
		}
	}
	for _, bad := range []string{"ab", strings.Repeat("a", 64)} {
		if _, err := service.CreateTable(ctx, bad, nil); err == nil {
			t.Errorf("create %q was not refused", bad)
		}
	}
	created(t, service, name)
	_, err = service.CreateTable(ctx, name, nil)
	wantCode(t, err, "TableAlreadyExists", http.StatusConflict)
	_, err = service.CreateTable(ctx, strings.ToUpper(name), nil)
	wantCode(t, err, "TableAlreadyExists", http.StatusConflict)

	filter := "TableName eq '" + name + "'"
	list := func() (names []string) {
		pager := service.NewListTablesPager(&aztables.ListTablesOptions{Filter: &filter})
		for range 10 {
			if !pager.More() {
				break
			}
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range page.Tables {
				names = append(names, *table.Name)
			}
		}
		return names
	}
	if diff := cmp.Diff([]string{name}, list()); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	if _, err := service.DeleteTable(ctx, name, nil); err != nil {
		t.Fatal(err)
	}
	if got := list(); len(got) != 0 {
		t.Errorf("tables after delete = %q", got)
	}
}

func (s *conformance) refusedWrites(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	absent := s.newClient(t).NewClient("absenttable")
	stale := add(t, table, row(t, "p", "r", nil))
	if _, err := table.UpsertEntity(ctx, row(t, "p", "r", nil), nil); err != nil {
		t.Fatal(err)
	}
	update := func(table *aztables.Client, rk string, mode aztables.UpdateMode, etag azcore.ETag) error {
		_, err := table.UpdateEntity(ctx, row(t, "p", rk, nil), &aztables.UpdateEntityOptions{UpdateMode: mode, IfMatch: &etag})
		return err
	}
	remove := func(rk string, etag azcore.ETag) error {
		_, err := table.DeleteEntity(ctx, "p", rk, &aztables.DeleteEntityOptions{IfMatch: &etag})
		return err
	}
	insert := func(table *aztables.Client, entity []byte) error {
		_, err := table.AddEntity(ctx, entity, nil)
		return err
	}
	get := func(rk string) error {
		_, err := table.GetEntity(ctx, "p", rk, nil)
		return err
	}
	for _, test := range []struct {
		name   string
		err    error
		code   string
		status int
	}{
		{"insert twice", insert(table, row(t, "p", "r", nil)), "EntityAlreadyExists", 409},
		{"insert into no table", insert(absent, row(t, "p", "r", nil)), "TableNotFound", 404},
		{"get nothing", get("none"), "ResourceNotFound", 404},
		{"replace stale", update(table, "r", aztables.UpdateModeReplace, stale), "UpdateConditionNotSatisfied", 412},
		{"merge stale", update(table, "r", aztables.UpdateModeMerge, stale), "UpdateConditionNotSatisfied", 412},
		{"delete stale", remove("r", stale), "UpdateConditionNotSatisfied", 412},
		{"replace nothing", update(table, "none", aztables.UpdateModeReplace, "*"), "ResourceNotFound", 404},
		{"merge nothing", update(table, "none", aztables.UpdateModeMerge, stale), "ResourceNotFound", 404},
		{"delete nothing", remove("none", "*"), "ResourceNotFound", 404},
		{"no etag", remove("r", "nonsense"), "InvalidInput", 400},
	} {
		t.Run(test.name, func(t *testing.T) { wantCode(t, test.err, test.code, test.status) })
	}
	if err := get("r"); err != nil {
		t.Errorf("a refused write touched the row: %v", err)
	}
}

func (s *conformance) refusedEntities(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	many := map[string]any{}
	for i := range 253 {
		many[fmt.Sprintf("p%d", i)] = i
	}
	big := map[string]any{}
	for i := range 17 {
		big[fmt.Sprintf("p%d", i)] = strings.Repeat("x", 32<<10)
	}
	typed := func(edm string, v any) map[string]any { return map[string]any{"v": v, "v@odata.type": edm} }
	for _, test := range []struct {
		name   string
		entity []byte
		code   string
		lax    string // Azurite's code; empty: it accepts the entity, or answers 500
	}{
		{"slash in row key", row(t, "p", "a/b", nil), "OutOfRangeInput", "InvalidInput"},
		{"backslash in partition key", row(t, `a\b`, "r", nil), "OutOfRangeInput", "InvalidInput"},
		{"hash in row key", row(t, "p", "a#b", nil), "OutOfRangeInput", "InvalidInput"},
		{"question mark in row key", row(t, "p", "a?b", nil), "OutOfRangeInput", "InvalidInput"},
		{"tab in row key", row(t, "p", "a\tb", nil), "OutOfRangeInput", "InvalidInput"},
		{"C1 control in row key", row(t, "p", "a\u0085b", nil), "OutOfRangeInput", "InvalidInput"},
		{"key of 1025", row(t, "p", strings.Repeat("k", 1025), nil), "KeyValueTooLarge", "InvalidInput"},
		{"string over 64 KiB", row(t, "p", "r", map[string]any{"v": strings.Repeat("x", 32<<10+1)}), "PropertyValueTooLarge", "PropertyValueTooLarge"},
		{"253 properties", row(t, "p", "r", many), "TooManyProperties", ""},
		{"over 1 MiB", row(t, "p", "r", big), "EntityTooLarge", ""},
		{"name with dash", row(t, "p", "r", map[string]any{"a-b": 1}), "PropertyNameInvalid", ""},
		{"name begins with digit", row(t, "p", "r", map[string]any{"1a": 1}), "PropertyNameInvalid", ""},
		{"name of 256", row(t, "p", "r", map[string]any{strings.Repeat("n", 256): 1}), "PropertyNameTooLong", ""},
		{"Int32 overflow", row(t, "p", "r", typed("Edm.Int32", 1<<31)), "InvalidInput", ""},
		{"number beyond Int32", row(t, "p", "r", map[string]any{"v": 1 << 31}), "InvalidInput", ""},
		{"Int64 overflow", row(t, "p", "r", typed("Edm.Int64", "9223372036854775808")), "InvalidInput", ""},
		{"unknown type", row(t, "p", "r", typed("Edm.Decimal", "1")), "InvalidInput", ""},
		{"bad date", row(t, "p", "r", typed("Edm.DateTime", "yesterday")), "InvalidInput", ""},
		{"date before 1601", row(t, "p", "r", typed("Edm.DateTime", "0001-01-01T00:00:00Z")), "OutOfRangeInput", ""},
		{"bad guid", row(t, "p", "r", typed("Edm.Guid", "1234")), "InvalidInput", ""},
		{"nested object", row(t, "p", "r", map[string]any{"v": map[string]any{"a": 1}}), "InvalidInput", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.code
			if !s.strict {
				want = test.lax
			}
			if want == "" {
				return
			}
			_, err := table.AddEntity(ctx, test.entity, nil)
			wantCode(t, err, want, http.StatusBadRequest)
		})
	}
	rows := s.query(t, table, aztables.ListEntitiesOptions{})
	if len(rows) != 0 {
		t.Errorf("a refused entity was stored: %v", rows)
	}
}

func (s *conformance) etags(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	seen := map[azcore.ETag]bool{}
	for i := range 50 {
		r, err := table.UpsertEntity(ctx, row(t, "p", "r", map[string]any{"n": i}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ETag] || !strings.HasPrefix(string(r.ETag), `W/"datetime'`) {
			t.Fatalf("write %d: etag %q is not new or not in the service's form", i, r.ETag)
		}
		seen[r.ETag] = true
		got, err := table.GetEntity(ctx, "p", "r", nil)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			ETag azcore.ETag `json:"odata.etag"`
		}
		if err := json.Unmarshal(got.Value, &body); err != nil {
			t.Fatal(err)
		}
		if got.ETag != r.ETag || body.ETag != r.ETag {
			t.Fatalf("etag written %q, in the header %q, in the body %q", r.ETag, got.ETag, body.ETag)
		}
	}
}

func (s *conformance) mergeAndReplace(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	etag := add(t, table, row(t, "p", "r", map[string]any{"a": 1, "b": "x"}))
	want := func(step string, want map[string]any) {
		t.Helper()
		r, err := table.GetEntity(ctx, "p", "r", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(r.Value, &got); err != nil {
			t.Fatal(err)
		}
		for name := range got {
			if strings.HasPrefix(name, "odata.") || name == "Timestamp" || name == "PartitionKey" || name == "RowKey" {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	_, err := table.UpdateEntity(ctx, row(t, "p", "r", map[string]any{"b": "y", "c": true}),
		&aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeMerge, IfMatch: &etag})
	if err != nil {
		t.Fatal(err)
	}
	want("merge", map[string]any{"a": 1.0, "b": "y", "c": true})
	_, err = table.UpdateEntity(ctx, row(t, "p", "r", map[string]any{"d": 2}), &aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeReplace})
	if err != nil {
		t.Fatal(err)
	}
	want("replace", map[string]any{"d": 2.0})
	for _, mode := range []aztables.UpdateMode{aztables.UpdateModeMerge, aztables.UpdateModeReplace} {
		if _, err := table.UpsertEntity(ctx, row(t, "p", "r", map[string]any{"e": 3}), &aztables.UpsertEntityOptions{UpdateMode: mode}); err != nil {
			t.Fatal(err)
		}
		if mode == aztables.UpdateModeMerge {
			want("insert or merge", map[string]any{"d": 2.0, "e": 3.0})
		} else {
			want("insert or replace", map[string]any{"e": 3.0})
		}
	}
	if _, err := table.DeleteEntity(ctx, "p", "r", nil); err != nil {
		t.Fatal(err)
	}
	_, err = table.GetEntity(ctx, "p", "r", nil)
	wantCode(t, err, "ResourceNotFound", http.StatusNotFound)
}

// race lets 8 writers replace one row with the same ETag, 20 times.
func (s *conformance) race(t *testing.T) {
	table, ctx := s.table(t), t.Context()
	etag := add(t, table, row(t, "p", "r", nil))
	for round := range 20 {
		type result struct {
			etag azcore.ETag
			err  error
		}
		results := make(chan result)
		for writer := range 8 {
			entity := row(t, "p", "r", map[string]any{"writer": writer})
			go func() {
				r, err := table.UpdateEntity(ctx, entity, &aztables.UpdateEntityOptions{UpdateMode: aztables.UpdateModeReplace, IfMatch: to.Ptr(etag)})
				results <- result{r.ETag, err}
			}()
		}
		var winners []azcore.ETag
		for range 8 {
			r := <-results
			if r.err == nil {
				winners = append(winners, r.etag)
			} else if code, _ := codeOf(r.err); code != "UpdateConditionNotSatisfied" {
				t.Error(r.err)
			}
		}
		if len(winners) != 1 || slices.Contains(winners, etag) {
			t.Fatalf("round %d: winners %q, want exactly one, with a new etag", round, winners)
		}
		etag = winners[0]
	}
}
