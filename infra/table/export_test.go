package table

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// OpenWithKey is New with the account's key, which Azurite wants. The product
// knows no keys.
func OpenWithKey(endpoint, account, key string, options Options) (*Store, error) {
	cred, err := aztables.NewSharedKeyCredential(account, key)
	if err != nil {
		return nil, err
	}
	return open(endpoint, options, func(url string, o *aztables.ClientOptions) (*aztables.ServiceClient, error) {
		return aztables.NewServiceClientWithSharedKey(url, cred, o)
	})
}

// Prefixed gives options for tables of a test's own.
func (o Options) Prefixed(prefix string) Options {
	o.Prefix = prefix
	return o
}

// Op, and the functions that make one, are the operations of a transaction.
type Op = entity.Op

func Add(partition, key, text string) Op {
	return entity.Op{Kind: entity.Add, Row: entity.Row{Partition: partition, Key: key, Doc: text}}
}

func Drop(partition, key string) Op {
	return entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: partition, Key: key}}
}

func Replace(partition, key, etag string) Op {
	return entity.Op{Kind: entity.Replace, ETag: azcore.ETag(etag), Row: entity.Row{Partition: partition, Key: key}}
}

func Remove(partition, key, etag string) Op {
	return entity.Op{Kind: entity.Remove, ETag: azcore.ETag(etag), Row: entity.Row{Partition: partition, Key: key}}
}

// Flags adds an entity with n columns beside its document.
func Flags(partition, key string, n int) Op {
	o := Add(partition, key, "x")
	o.Row.Columns = map[string]any{}
	for i := range n {
		o.Row.Columns[fmt.Sprint("F", i)] = true
	}
	return o
}

// Submit runs one transaction on the State table.
func (s *Store) Submit(ctx context.Context, ops []Op) error {
	_, err := s.state.Submit(ctx, ops)
	return err
}

// AgeState rewrites every live row as though an app of another format had written it.
func (s *Store) AgeState(ctx context.Context, v int) error {
	rows, _, err := s.state.Query(ctx, entity.In(live), 0, 0)
	if err != nil {
		return err
	}
	for _, r := range rows {
		text := regexp.MustCompile(`"V":\d+`).ReplaceAllString(r.Text, fmt.Sprintf(`"V":%d`, v))
		if _, err := s.state.Submit(ctx, []entity.Op{{Kind: entity.Replace, ETag: r.ETag, Row: entity.Row{Partition: live, Key: r.Key, Doc: json.RawMessage(text)}}}); err != nil {
			return err
		}
	}
	return nil
}

// Equals gives the filter for a column that has a text.
func Equals(name, value string) string { return entity.Where(nil).Text(name, value).String() }

// PolicyEntities gives what PutPolicy stores of a new policy whose targets nothing else bears on: entities of the State table.
func PolicyEntities(p store.PolicyRecord) ([][]byte, error) {
	o, err := withPolicy(entity.Owned{Head: entity.Op{Kind: entity.Add}}, p)
	if err != nil {
		return nil, err
	}
	return entities(append([]entity.Op{o.Head}, o.Rest...)...)
}

// PastEntities gives what is left of a grant that has been closed, once its keys are gone: entities of the History table.
func PastEntities(g store.GrantRecord) ([][]byte, error) {
	c, err := newClosing(g, "")
	if err != nil {
		return nil, err
	}
	past := []entity.Op{{Kind: entity.Add, Row: c.row}}
	if c.note != nil {
		past = append(past, entity.Op{Kind: entity.Put, Row: *c.note})
	}
	return entities(past...)
}

func entities(ops ...entity.Op) ([][]byte, error) {
	var out [][]byte
	for _, o := range ops {
		a, err := o.Action()
		if err != nil {
			return nil, err
		}
		out = append(out, a.Entity)
	}
	return out, nil
}

// Rows gives what stands in the State and the History table, in order, but for what differs from write to write.
func (s *Store) Rows(ctx context.Context) ([]string, error) {
	var out []string
	for _, t := range []entity.Table{s.state, s.history} {
		rows, _, err := t.Query(ctx, entity.Where(nil).Ge("PartitionKey", ""), 0, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			line := r.Partition + " " + r.Key
			for _, name := range slices.Sorted(maps.Keys(r.Properties())) {
				if name != entity.WriteColumn && !strings.Contains(name, "odata.") && name != "Timestamp" {
					line += fmt.Sprintf(" %s=%s", name, r.Properties()[name])
				}
			}
			out = append(out, line)
		}
	}
	return out, nil
}

// StatesAtOnce gives the states of many targets by one listing of all that is stored, each read as State reads it.
func (s *Store) StatesAtOnce(ctx context.Context, targets ...jit.ID) ([]roster.State, error) {
	rows, _, err := s.state.Query(ctx, entity.In(live), 0, 0)
	if err != nil {
		return nil, err
	}
	var out []roster.State
	for _, target := range targets {
		var mine []entity.Stored
		mark, found := entity.Stored{}, store.ErrNotFound
		for _, r := range rows {
			if strings.HasPrefix(r.Key, partRows(target)) {
				mine = append(mine, r)
			}
			if r.Key == targetRow(target) {
				mark, found = r, nil
			}
		}
		state, err := new(policyParts).stateOf(target, mine, func() (entity.Stored, error) { return mark, found })
		if err != nil {
			return nil, err
		}
		out = append(out, state)
	}
	return out, nil
}

// Tables gives the names of the State and the History table.
func (s *Store) Tables() (state, history string) { return s.names[0], s.names[1] }

// What keys and documents are made with.
var (
	Safe     = entity.Safe
	ValidKey = entity.ValidKey
	Cut      = entity.Cut
	Units    = entity.Units
	Inverted = entity.Inverted
	Day      = entity.Day
	Column   = entity.Column
)

// Stamp is a time as documents hold it.
type Stamp = entity.Stamp

// ActivityTable is the way around the store that somebody has who may write the account.
func (s *Store) ActivityTable() *aztables.Client { return s.service.NewClient(s.names[2]) }

// PolicyOf reads a policy's document as it would stand in a row.
func PolicyOf(text string) (store.PolicyRecord, error) {
	return policyRecordOf(entity.Stored{Text: text})
}
