package entity

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Table is one table of an account.
type Table struct{ *aztables.Client }

// Where is a filter: conditions that must all hold.
type Where []string

// eq, ge, gt, le and lt compare a property to a text. Quotes in it are doubled, which is
// all that OData asks for; nothing else in a text ends it.
func (w Where) eq(name, value string) Where { return w.compare(name, "eq", value) }
func (w Where) Ge(name, value string) Where { return w.compare(name, "ge", value) }
func (w Where) Gt(name, value string) Where { return w.compare(name, "gt", value) }
func (w Where) le(name, value string) Where { return w.compare(name, "le", value) }
func (w Where) Lt(name, value string) Where { return w.compare(name, "lt", value) }

func (w Where) compare(name, operator, value string) Where {
	return append(w, fmt.Sprintf("%s %s '%s'", name, operator, strings.ReplaceAll(value, "'", "''")))
}

// Text holds where a column has the text.
func (w Where) Text(name, value string) Where { return w.eq(name, ColumnText(value)) }

// Is holds where a flag is set.
func (w Where) Is(name string) Where { return append(w, name+" eq true") }

// Under holds for the row keys that begin with prefix, which ends with "|".
func (w Where) Under(prefix string) Where {
	return w.Ge("RowKey", prefix).Lt("RowKey", strings.TrimSuffix(prefix, "|")+"}")
}

func (w Where) String() string { return strings.Join(w, " and ") }

// During holds for a time column in [from, to).
func (w Where) During(name string, from, to time.Time) Where {
	if !from.IsZero() {
		w = w.Ge(name, Column(Within(from)))
	}
	if !to.IsZero() {
		w = w.Lt(name, Column(Within(to)))
	}
	return w
}

// Within moves a time to the nearest that a row can have.
func Within(t time.Time) time.Time {
	switch {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	}
	return t
}

// In begins a filter within one partition.
func In(partition string) Where { return Where(nil).eq("PartitionKey", partition) }

// Query gives the entities of a filter in their order, at most limit where that
// is not 0. It asks for at most pages pages where that is not 0, and reports whether it
// came to the end. A page may be empty and not the last one.
func (t Table) Query(ctx context.Context, w Where, limit, pages int) (rows []Stored, done bool, err error) {
	// The ETag of an entity in a list is documented for full metadata alone.
	format, filter := aztables.MetadataFormatFull, w.String()
	o := &aztables.ListEntitiesOptions{Filter: &filter, Format: &format}
	if limit > 0 {
		top := int32(min(limit, 1000))
		o.Top = &top
	}
	pager := t.Pages(o)
	for n := 0; pager.More(); n++ {
		if pages > 0 && n == pages {
			return rows, false, nil
		}
		page, err := pager.Next(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, r := range page {
			if rows = append(rows, r); limit > 0 && len(rows) == limit {
				return rows, false, nil
			}
		}
	}
	return rows, true, nil
}

// Each gives the entities of a filter in their order and holds one page of them, of at most top. The next page is asked
// for when this one is done with. An error is the last that it gives.
func (t Table) Each(ctx context.Context, w Where, top int) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		format, filter, most := aztables.MetadataFormatFull, w.String(), int32(top)
		pager := t.Pages(&aztables.ListEntitiesOptions{Filter: &filter, Format: &format, Top: &most})
		for pager.More() {
			page, err := pager.Next(ctx)
			if err != nil {
				yield(Stored{}, err)
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// Get reads one entity; store.ErrNotFound.
func (t Table) Get(ctx context.Context, partition, key string) (Stored, azcore.ETag, error) {
	resp, err := t.GetEntity(ctx, partition, key, nil)
	if err != nil {
		return Stored{}, "", Translate(err)
	}
	r, err := DecodeRow(resp.Value)
	if err != nil {
		return Stored{}, "", err
	}
	r.ETag = resp.ETag
	return r, r.ETag, nil
}
