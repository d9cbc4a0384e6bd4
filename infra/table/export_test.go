package table

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
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

// Op, and the functions that make one, are the operations of a transaction.
type Op = op

func Add(partition, key, text string) Op {
	return op{kind: add, row: row{partition: partition, key: key, doc: text}}
}

func Drop(partition, key string) Op {
	return op{kind: drop, row: row{partition: partition, key: key}}
}

func Replace(partition, key, etag string) Op {
	return op{kind: replace, etag: azcore.ETag(etag), row: row{partition: partition, key: key}}
}

func Remove(partition, key, etag string) Op {
	return op{kind: remove, etag: azcore.ETag(etag), row: row{partition: partition, key: key}}
}

// Flags adds an entity with n columns beside its document.
func Flags(partition, key string, n int) Op {
	o := Add(partition, key, "x")
	o.row.columns = map[string]any{}
	for i := range n {
		o.row.columns[fmt.Sprint("F", i)] = true
	}
	return o
}

// Submit runs one transaction on the State table.
func (s *Store) Submit(ctx context.Context, ops []Op) error {
	_, err := s.submit(ctx, s.state, ops)
	return err
}

// AgeState rewrites every live row as though an app of another format had written it.
func (s *Store) AgeState(ctx context.Context, v int) error {
	rows, _, err := s.query(ctx, s.state, in(live), 0, 0)
	if err != nil {
		return err
	}
	for _, r := range rows {
		text := regexp.MustCompile(`"V":\d+`).ReplaceAllString(r.text, fmt.Sprintf(`"V":%d`, v))
		if _, err := s.submit(ctx, s.state, []op{{kind: replace, etag: r.etag, row: row{partition: live, key: r.key, doc: json.RawMessage(text)}}}); err != nil {
			return err
		}
	}
	return nil
}

// Equals gives the filter for a column that has a text.
func Equals(name, value string) string { return where(nil).text(name, value).String() }

// PolicyEntities gives what PutPolicy stores of a new policy whose targets nothing else bears on: entities of the State table.
func PolicyEntities(p store.PolicyRecord) ([][]byte, error) {
	o, err := owned{head: op{kind: add}}.policy(p)
	if err != nil {
		return nil, err
	}
	return entities(append([]op{o.head}, o.rest...)...)
}

// PastEntities gives what is left of a grant that has been closed, once its keys are gone: entities of the History table.
func PastEntities(g store.GrantRecord) ([][]byte, error) {
	c, err := newClosing(g, "")
	if err != nil {
		return nil, err
	}
	past := []op{{kind: add, row: c.row}}
	if c.note != nil {
		past = append(past, op{kind: put, row: *c.note})
	}
	return entities(past...)
}

func entities(ops ...op) ([][]byte, error) {
	var out [][]byte
	for _, o := range ops {
		a, err := o.action()
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
	for _, t := range []*aztables.Client{s.state, s.history} {
		rows, _, err := s.query(ctx, t, where(nil).ge("PartitionKey", ""), 0, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			line := r.partition + " " + r.key
			for _, name := range slices.Sorted(maps.Keys(r.properties)) {
				if name != writeColumn && !strings.Contains(name, "odata.") && name != "Timestamp" {
					line += fmt.Sprintf(" %s=%s", name, r.properties[name])
				}
			}
			out = append(out, line)
		}
	}
	return out, nil
}

// States gives the states of many targets by one listing of all that is stored, each read as State reads it.
func (s *Store) States(ctx context.Context, targets ...jit.ID) ([]plan.State, error) {
	rows, _, err := s.query(ctx, s.state, in(live), 0, 0)
	if err != nil {
		return nil, err
	}
	var out []plan.State
	for _, target := range targets {
		var mine []stored
		mark, found := stored{}, store.ErrNotFound
		for _, r := range rows {
			if strings.HasPrefix(r.key, partRows(target)) {
				mine = append(mine, r)
			}
			if r.key == targetRow(target) {
				mark, found = r, nil
			}
		}
		state, err := stateOf(target, mine, func() (stored, error) { return mark, found })
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
	Safe     = safe
	ValidKey = validKey
	Cut      = cut
	Units    = units
	Inverted = inverted
	Day      = day
	Column   = column
)

// Stamp is a time as documents hold it.
type Stamp = stamp

// ActivityTable is the way around the store that somebody has who may write the account.
func (s *Store) ActivityTable() *aztables.Client { return s.activity }

// PolicyOf reads a policy's document as it would stand in a row.
func PolicyOf(text string) (store.PolicyRecord, error) { return stored{text: text}.policy() }

// VerifyRows is Verify of rows that were read before, as the service gives them.
func VerifyRows(subscription string, on time.Time, rows [][]byte) (store.VerifyResult, error) {
	c := chainAt(subscription, on)
	var head foundHead
	var marks, entries []stored
	for _, data := range rows {
		r, err := decodeRow(data)
		if err != nil {
			return store.VerifyResult{}, err
		}
		switch {
		case r.partition != c.partition:
		case r.key == c.headKey():
			head = headOf(c, r)
		case strings.HasPrefix(r.key, markRows):
			marks = append(marks, r)
		case strings.HasPrefix(r.key, entryRows):
			entries = append(entries, r)
		}
	}
	v := verificationOf(c, head)
	for _, r := range marks {
		v.mark(r)
	}
	for _, r := range entries {
		v.add(r)
	}
	v.last = head
	return v.result(), nil
}
