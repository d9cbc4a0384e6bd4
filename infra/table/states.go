package table

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/infra/table/entity"
)

// Order is the digest by which the rows of a target's parts are in order.
func (s *Store) Order(key string) string { return entity.Digest(key) }

// mostInVain is how many rows of other targets are read, on average, for each one that is wanted: beyond that a query of its own is cheaper.
const mostInVain = 100

// States reads the rows of targets in their order, a page at a time. Each query begins at the first target that is left, so that it serves at least
// one: where the targets are neighbours it takes little more than their pages. Where too many others stand between them, the rest are read one by
// one, and so is one whose rows fill a page. The rows of one target come from one query, as in State: two pages are never put together.
func (s *Store) States(ctx context.Context, targets []jit.ID) ([]roster.State, error) {
	found := make([]roster.State, len(targets))
	left := make([]int, len(targets))
	for i := range left {
		left[i] = i
	}
	slices.SortFunc(left, func(a, b int) int { return strings.Compare(partRows(targets[a]), partRows(targets[b])) })
	one := func(_, i int) (err error) { found[i], err = s.State(ctx, targets[i]); return err }
	for len(left) > 1 && s.spread.Between(partRows(targets[left[0]]), afterParts(targets[left[len(left)-1]])) <= mostInVain*len(left) {
		rows, done, err := s.state.Query(ctx, entity.In(live).Ge("RowKey", partRows(targets[left[0]])).Lt("RowKey", afterParts(targets[left[len(left)-1]])), min(1000, mostInVain*len(left)), 1)
		if err != nil {
			return nil, fmt.Errorf("state of %d targets: %w", len(targets), err)
		}
		s.spread.Seen(rows)
		served := 0
		for ; served < len(left) && (done || len(rows) > 0 && rows[len(rows)-1].Key >= afterParts(targets[left[served]])); served++ {
			if err := s.stated(ctx, targets[left[served]], within(rows, targets[left[served]]), &found[left[served]]); err != nil {
				return nil, err
			}
		}
		if served == 0 { // it fills a page, or the page was empty
			if err := one(0, left[0]); err != nil {
				return nil, err
			}
			served = 1
		}
		left = left[served:]
	}
	return found, parallel.Each(left, one)
}

// afterParts is where the rows of a target's parts end.
func afterParts(target jit.ID) string { return strings.TrimSuffix(partRows(target), "|") + "}" }

// within gives the rows of a target's parts among rows in their order.
func within(rows []entity.Stored, target jit.ID) []entity.Stored {
	byKey := func(r entity.Stored, key string) int { return strings.Compare(r.Key, key) }
	from, _ := slices.BinarySearchFunc(rows, partRows(target), byKey)
	to, _ := slices.BinarySearchFunc(rows, afterParts(target), byKey)
	return rows[from:to]
}
