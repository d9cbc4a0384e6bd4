package table

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/jit"
)

// The refusals of a list.
const (
	CodeInvalidCursor jit.Code = "InvalidSkipToken" // a cursor that no list has given
	CodeRangeTooWide  jit.Code = "RangeTooWide"     // a filter that matches too little of too much
)

const (
	maxPage  = 1000 // items in one page
	maxReads = 1000 // pages of the service that one page may cost
)

func bounded(limit int) int { return max(1, min(limit, maxPage)) }

// position is the place of an item in a list that is sorted newest first, then
// by name: the text that its row key ends with.
type position struct {
	time time.Time
	name string
}

func (p position) compare(o position) int {
	return cmp.Or(o.time.Compare(p.time), cmp.Compare(p.name, o.name))
}

// cursor names the position after which the next page begins. It holds no
// filter: items that change their table between two pages keep their position.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte("1 " + strconv.FormatInt(p.time.UnixNano(), 10) + " " + p.name))
}

func parseCursor(cursor string) (*position, error) {
	if cursor == "" {
		return nil, nil
	}
	bad := &jit.Error{Code: CodeInvalidCursor, Target: "$skipToken", Message: "this is not a continuation that the list has given; start again without it"}
	if len(cursor) > 400 {
		return nil, bad
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, bad
	}
	part := strings.Split(string(text), " ")
	if len(part) != 3 || part[0] != "1" || part[2] == "" || validKey(part[2]) != nil {
		return nil, bad
	}
	nano, err := strconv.ParseInt(part[1], 10, 64)
	if err != nil || nano < 0 {
		return nil, bad
	}
	return &position{time: time.Unix(0, nano).UTC(), name: part[2]}, nil
}

// page collects items of several sorted lists, each item once.
type page[T any] struct {
	limit int
	items []placed[T]
	seen  map[position]bool
}

type placed[T any] struct {
	at   position
	item T
}

func (p *page[T]) add(at position, item T) {
	at.time = at.time.UTC()
	if p.seen == nil {
		p.seen = map[position]bool{}
	}
	if !p.seen[at] {
		p.seen[at] = true
		p.items = append(p.items, placed[T]{at, item})
	}
}

// cut gives the first items and the cursor for what follows them, "" for nothing.
func (p *page[T]) cut() ([]T, string) {
	slices.SortFunc(p.items, func(a, b placed[T]) int { return a.at.compare(b.at) })
	next := ""
	if len(p.items) > p.limit {
		p.items = p.items[:p.limit]
		next = p.items[p.limit-1].at.cursor()
	}
	var out []T
	for _, i := range p.items {
		out = append(out, i.item)
	}
	return out, next
}

// span is the part of a table of days that a list looks at.
type span struct {
	rows     string // what its row keys begin with, before the inverted time
	from, to time.Time
	after    *position
}

// newestFirst gives at most limit rows of the span that match. A cursor inside
// a day costs one query for the rest of that day; all other days are one
// query together.
func (s *Store) newestFirst(ctx context.Context, t *aztables.Client, in span, w where, limit int) ([]stored, error) {
	first, last := "00000000", "99999999"
	if !in.to.IsZero() {
		first = day(within(in.to))
	}
	if !in.from.IsZero() {
		last = day(within(in.from))
	}
	if in.rows != "" {
		w = w.under(in.rows)
	}
	days := where(nil).ge("PartitionKey", first)
	var out []stored
	if in.after != nil {
		today := day(in.after.time)
		if today > last {
			return nil, nil
		}
		if today >= first {
			rest := where(nil).eq("PartitionKey", today).gt("RowKey", in.rows+inverted(in.after.time)+"|"+in.after.name)
			rows, err := s.read(ctx, t, append(rest, w...), limit)
			if err != nil || len(rows) == limit {
				return rows, err
			}
			out, days = rows, where(nil).gt("PartitionKey", today)
		}
	}
	rows, err := s.read(ctx, t, append(days.le("PartitionKey", last), w...), limit-len(out))
	return append(out, rows...), err
}

// read is query with a bound on what one page of a list may cost.
func (s *Store) read(ctx context.Context, t *aztables.Client, w where, limit int) ([]stored, error) {
	rows, done, err := s.query(ctx, t, w, limit, maxReads)
	if err == nil && !done && len(rows) < limit {
		err = &jit.Error{Code: CodeRangeTooWide, Target: "$filter", Message: "too much lies between the items that match; give a shorter time"}
	}
	return rows, err
}
