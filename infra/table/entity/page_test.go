package entity_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// answers answers each call with the next body, and says that there is another page after each but the last.
type answers []string

func (a *answers) Do(r *http.Request) (*http.Response, error) {
	body := (*a)[0]
	*a = (*a)[1:]
	h := http.Header{"Content-Type": {"application/json"}}
	if len(*a) > 0 {
		h.Set("x-ms-continuation-NextPartitionKey", "p")
		h.Set("x-ms-continuation-NextRowKey", "r")
	}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func rowsOf(t *testing.T, pages ...string) ([]entity.Stored, error) {
	t.Helper()
	all := answers(pages)
	o := &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: &all, PerCallPolicies: []policy.Policy{entity.Policy{}}}}
	c, err := aztables.NewClientWithNoCredential("https://account.example/table", o)
	if err != nil {
		t.Fatal(err)
	}
	rows, done, err := entity.Table{Client: c}.Query(t.Context(), entity.In("p"), 0, 0)
	if err == nil && (!done || len(all) > 0) {
		t.Errorf("%d pages were not read", len(all))
	}
	return rows, err
}

// TestPagesThatCannotBeRead checks that half a page is an error and never fewer rows: from a missing row follows that a port may be closed.
func TestPagesThatCannotBeRead(t *testing.T) {
	for _, page := range []string{
		`[]`, `"text"`, `{"value":[{"RowKey":"k"}`, `{"value":[{"RowKey":"k"}]`, `{"value":[{"RowKey":"k"},]}`, `{"value":[1]}`, `{"value":["k"]}`,
		`{"value":[null]}`, `{"value":{"RowKey":"k"}}`, `{"value":1}`, `{"value":[{"RowKey":"k"}]} {}`, `{"value":[{"RowKey":"k"}]}]`, `{"value":[{"RowKey"}]}`,
	} {
		rows, err := rowsOf(t, page)
		if unavailable, ok := errors.AsType[*store.Unavailable](err); !ok || unavailable.Dependency != entity.Dependency {
			t.Errorf("%s: %d rows, error %v; want that the table is unavailable", page, len(rows), err)
		}
	}
}

// TestPages checks that rows are read as they are written, over several pages.
func TestPages(t *testing.T) {
	rows, err := rowsOf(t,
		"\xef\xbb\xbf"+`{"odata.metadata":"m","value":[{"odata.etag":"W/\"1\"","PartitionKey":"p","RowKey":"a","Doc":"{\"V\":1}","Open":true}]}`,
		`{}`, `{"value":null}`, `{"value":[]}`,
		`{"value":[{"PartitionKey":"p","RowKey":"\u00e4/b","Doc1":"two","Doc":"one","Doc2":"three","Document":"no","Write":"w"},{"RowKey":7}]}`)
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ Partition, Key, ETag, Text string }
	var got []row
	for _, r := range rows {
		got = append(got, row{r.Partition, r.Key, string(r.ETag), r.Text})
	}
	want := []row{{"p", "a", `W/"1"`, `{"V":1}`}, {"p", "ä/b", "", "onetwothree"}, {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if open := string(rows[0].Properties()["Open"]); open != "true" {
		t.Errorf("the property Open is %q", open)
	}
}
