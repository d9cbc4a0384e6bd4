package table

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// where is a filter: conditions that must all hold.
type where []string

// eq, ge, gt, le and lt compare a property to a text. Quotes in it are doubled, which is
// all that OData asks for; nothing else in a text ends it.
func (w where) eq(name, value string) where { return w.compare(name, "eq", value) }
func (w where) ge(name, value string) where { return w.compare(name, "ge", value) }
func (w where) gt(name, value string) where { return w.compare(name, "gt", value) }
func (w where) le(name, value string) where { return w.compare(name, "le", value) }
func (w where) lt(name, value string) where { return w.compare(name, "lt", value) }

func (w where) compare(name, operator, value string) where {
	return append(w, fmt.Sprintf("%s %s '%s'", name, operator, strings.ReplaceAll(value, "'", "''")))
}

// text holds where a column has the text.
func (w where) text(name, value string) where { return w.eq(name, columnText(value)) }

// is holds where a flag is set.
func (w where) is(name string) where { return append(w, name+" eq true") }

// under holds for the row keys that begin with prefix, which ends with "|".
func (w where) under(prefix string) where {
	return w.ge("RowKey", prefix).lt("RowKey", strings.TrimSuffix(prefix, "|")+"}")
}

func (w where) String() string { return strings.Join(w, " and ") }

// in begins a filter within one partition.
func in(partition string) where { return where(nil).eq("PartitionKey", partition) }

// query gives the entities of a filter in their order, at most limit where that
// is not 0. It asks for at most pages pages where that is not 0, and reports whether it
// came to the end. A page may be empty and not the last one.
func (s *Store) query(ctx context.Context, t *aztables.Client, w where, limit, pages int) (rows []stored, done bool, err error) {
	// The ETag of an entity in a list is documented for full metadata alone.
	format, filter := aztables.MetadataFormatFull, w.String()
	o := &aztables.ListEntitiesOptions{Filter: &filter, Format: &format}
	if limit > 0 {
		top := int32(min(limit, 1000))
		o.Top = &top
	}
	pager := t.NewListEntitiesPager(o)
	for n := 0; pager.More(); n++ {
		if pages > 0 && n == pages {
			return rows, false, nil
		}
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, false, translate(err)
		}
		for _, data := range page.Entities {
			r, err := decodeRow(data)
			if err != nil {
				return nil, false, err
			}
			if rows = append(rows, r); limit > 0 && len(rows) == limit {
				return rows, false, nil
			}
		}
	}
	return rows, true, nil
}

// each gives the entities of a filter in their order and holds one page of them, of at most top. The next page is asked
// for when this one is done with. An error is the last that it gives.
func (s *Store) each(ctx context.Context, t *aztables.Client, w where, top int) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		format, filter, most := aztables.MetadataFormatFull, w.String(), int32(top)
		pager := t.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter, Format: &format, Top: &most})
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				yield(stored{}, translate(err))
				return
			}
			for _, data := range page.Entities {
				r, err := decodeRow(data)
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// get reads one entity; access.ErrNotFound.
func (s *Store) get(ctx context.Context, t *aztables.Client, partition, key string) (stored, azcore.ETag, error) {
	resp, err := t.GetEntity(ctx, partition, key, nil)
	if err != nil {
		return stored{}, "", translate(err)
	}
	r, err := decodeRow(resp.Value)
	if err != nil {
		return stored{}, "", err
	}
	r.etag = resp.ETag
	return r, r.etag, nil
}
