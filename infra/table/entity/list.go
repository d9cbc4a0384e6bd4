package entity

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
)

// The refusals of a list.
const (
	CodeInvalidCursor jit.Code = "InvalidSkipToken" // a cursor that no list has given
	CodeRangeTooWide  jit.Code = "RangeTooWide"     // a filter that matches too little of too much
)

const (
	MaxPage  = 1000 // items in one page
	maxReads = 1000 // pages of the service that one page may cost
)

func Bounded(limit int) int { return max(1, min(limit, MaxPage)) }

// Position is the place of an item in a list that is sorted newest first, then
// by name: the text that its row key ends with.
type Position struct {
	Time time.Time
	Name string
}

func (p Position) compare(o Position) int {
	return cmp.Or(o.Time.Compare(p.Time), cmp.Compare(p.Name, o.Name))
}

// cursor names the position after which the next page begins. It holds no
// filter: items that change their table between two pages keep their position.
func (p Position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte("1 " + strconv.FormatInt(p.Time.UnixNano(), 10) + " " + p.Name))
}

func ParseCursor(cursor string) (*Position, error) {
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
	if len(part) != 3 || part[0] != "1" || part[2] == "" || ValidKey(part[2]) != nil {
		return nil, bad
	}
	nano, err := strconv.ParseInt(part[1], 10, 64)
	if err != nil || nano < 0 {
		return nil, bad
	}
	return &Position{Time: time.Unix(0, nano).UTC(), Name: part[2]}, nil
}

// Page collects items of several sorted lists, each item once.
type Page[T any] struct {
	Limit int
	items []placed[T]
	seen  map[Position]bool
}

type placed[T any] struct {
	at   Position
	item T
}

func (p *Page[T]) Add(at Position, item T) {
	at.Time = at.Time.UTC()
	if p.seen == nil {
		p.seen = map[Position]bool{}
	}
	if !p.seen[at] {
		p.seen[at] = true
		p.items = append(p.items, placed[T]{at, item})
	}
}

// Cut gives the first items and the cursor for what follows them, "" for nothing.
func (p *Page[T]) Cut() ([]T, string) {
	slices.SortFunc(p.items, func(a, b placed[T]) int { return a.at.compare(b.at) })
	next := ""
	if len(p.items) > p.Limit {
		p.items = p.items[:p.Limit]
		next = p.items[p.Limit-1].at.cursor()
	}
	var out []T
	for _, i := range p.items {
		out = append(out, i.item)
	}
	return out, next
}

// Span is the part of a table of days that a list looks at.
type Span struct {
	Rows     string // what its row keys begin with, before the inverted time
	From, To time.Time
	After    *Position
}

// NewestFirst gives at most limit rows of the span that match. A cursor inside
// a day costs one query for the rest of that day; all other days are one
// query together.
func (t Table) NewestFirst(ctx context.Context, in Span, w Where, limit int) ([]Stored, error) {
	first, last := "00000000", "99999999"
	if !in.To.IsZero() {
		first = Day(Within(in.To))
	}
	if !in.From.IsZero() {
		last = Day(Within(in.From))
	}
	if in.Rows != "" {
		w = w.Under(in.Rows)
	}
	days := Where(nil).Ge("PartitionKey", first)
	var out []Stored
	if in.After != nil {
		today := Day(in.After.Time)
		if today > last {
			return nil, nil
		}
		if today >= first {
			rest := Where(nil).eq("PartitionKey", today).Gt("RowKey", in.Rows+Inverted(in.After.Time)+"|"+in.After.Name)
			rows, err := t.Read(ctx, append(rest, w...), limit)
			if err != nil || len(rows) == limit {
				return rows, err
			}
			out, days = rows, Where(nil).Gt("PartitionKey", today)
		}
	}
	rows, err := t.Read(ctx, append(days.le("PartitionKey", last), w...), limit-len(out))
	return append(out, rows...), err
}

// Read is query with a bound on what one page of a list may cost.
func (t Table) Read(ctx context.Context, w Where, limit int) ([]Stored, error) {
	rows, done, err := t.Query(ctx, w, limit, maxReads)
	if err == nil && !done && len(rows) < limit {
		err = &jit.Error{Code: CodeRangeTooWide, Target: "$filter", Message: "too much lies between the items that match; give a shorter time"}
	}
	return rows, err
}
