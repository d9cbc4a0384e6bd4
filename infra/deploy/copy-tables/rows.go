package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// row is one entity, without what the service adds to it.
type row struct {
	partition, key string
	entity         []byte // JSON, its properties in order
	doc            string // the property Doc, where it is a text
}

// position is a row's place in the order of its table. The zero one comes before every row.
type position struct{ Partition, Row string }

// readRow reads an entity as a list gives it. Annotations of types stay, so that a number is written as the type that it had.
func readRow(data []byte) (row, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return row{}, err
	}
	for name := range all {
		if strings.HasPrefix(name, "odata.") || name == "Timestamp" || strings.HasPrefix(name, "Timestamp@") {
			delete(all, name)
		}
	}
	for name, raw := range all {
		// A text is the same however its characters are escaped.
		if len(raw) > 0 && raw[0] == '"' {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return row{}, err
			}
			var plain bytes.Buffer
			enc := json.NewEncoder(&plain)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(text); err != nil {
				return row{}, err
			}
			all[name] = bytes.TrimSpace(plain.Bytes())
		}
	}
	var r row
	for name, into := range map[string]*string{"PartitionKey": &r.partition, "RowKey": &r.key, "Doc": &r.doc} {
		if err := json.Unmarshal(all[name], into); err != nil && name != "Doc" {
			return row{}, fmt.Errorf("an entity without %s", name)
		}
	}
	var err error
	r.entity, err = json.Marshal(all)
	return r, err
}

func (r row) at() position { return position{r.partition, r.key} }

func (r row) digest() [sha256.Size]byte { return sha256.Sum256(r.entity) }

// pages gives the rows of a table after a position, in order and page by page.
func pages(ctx context.Context, t *aztables.Client, after position) iter.Seq2[[]row, error] {
	filters := []string{""}
	if after != (position{}) {
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		// Two ranges one after the other: with "or" between them the service would look at every row.
		filters = []string{"PartitionKey eq " + quote(after.Partition) + " and RowKey gt " + quote(after.Row), "PartitionKey gt " + quote(after.Partition)}
	}
	return func(yield func([]row, error) bool) {
		for _, filter := range filters {
			o := &aztables.ListEntitiesOptions{}
			if filter != "" {
				o.Filter = &filter
			}
			for pager := t.NewListEntitiesPager(o); pager.More(); {
				page, err := pager.NextPage(ctx)
				var rows []row
				for i := 0; i < len(page.Entities) && err == nil; i++ {
					var r row
					r, err = readRow(page.Entities[i])
					rows = append(rows, r)
				}
				if !yield(rows, err) || err != nil {
					return
				}
			}
		}
	}
}

// each is pages, row by row.
func each(ctx context.Context, t *aztables.Client) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for rows, err := range pages(ctx, t, position{}) {
			if err != nil {
				yield(row{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// The service takes 100 entities and 4 MiB in a transaction, the frame of each included.
const (
	mostTogether  = 100
	bytesTogether = 3 << 20
	frame         = 1 << 10
)

// put writes rows, which come in order, in transactions of one partition each. What stands there already is the same row of a try before.
func put(ctx context.Context, t *aztables.Client, rows []row) error {
	var some []aztables.TransactionAction
	size, partition := 0, ""
	send := func() error {
		if len(some) == 0 {
			return nil
		}
		_, err := t.SubmitTransaction(ctx, some, nil)
		some, size = nil, 0
		return err
	}
	for _, r := range rows {
		if r.partition != partition || len(some) == mostTogether || size+len(r.entity)+frame > bytesTogether {
			if err := send(); err != nil {
				return err
			}
		}
		partition = r.partition
		some, size = append(some, aztables.TransactionAction{ActionType: aztables.TransactionTypeInsertReplace, Entity: r.entity}), size+len(r.entity)+frame
	}
	return send()
}

// holds tells whether a table exists, and whether it has a row.
func holds(ctx context.Context, t *aztables.Client) (exists, rows bool, err error) {
	for pager := t.NewListEntitiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if missing(err) {
			return false, false, nil
		}
		if err != nil || len(page.Entities) > 0 {
			return err == nil, err == nil, err
		}
	}
	return true, false, nil
}

func missing(err error) bool {
	failed, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && failed.StatusCode == http.StatusNotFound
}

// create makes a table unless it is there.
func create(ctx context.Context, of *aztables.ServiceClient, name string) error {
	_, err := of.CreateTable(ctx, name, nil)
	if failed, ok := errors.AsType[*azcore.ResponseError](err); ok && failed.ErrorCode == string(aztables.TableAlreadyExists) {
		return nil
	}
	return err
}
