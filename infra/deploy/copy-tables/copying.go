package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/store"
)

// copying is one copy of an installation's tables.
type copying struct {
	from, to *aztables.ServiceClient
	source   string // names what is copied, so that another copy does not go on with this one
	prefix   string
	log      store.Verifier // of the destination
	progress io.Writer
	now      func() time.Time
	marked   func() // called whenever it is noted how far the copy came; nil for nothing
}

// tables are in the order in which they are copied: a window that closes meanwhile goes from the first to the second, and is then in both
// rather than in none.
func (c *copying) tables() []string {
	return []string{c.prefix + "State", c.prefix + "History", c.prefix + "Activity"}
}

// mark says how far a copy came. It is the one entity of the table PREFIXCopy.
type mark struct {
	PartitionKey, RowKey string
	Source               string
	Begun                string
	Table                string // that is being copied; "" once all are
	After                string // the last row copied: a position as JSON
	Rows                 int    // of this table
}

const markKey = "copy"

func (c *copying) marks() *aztables.Client { return c.to.NewClient(c.prefix + "Copy") }

// errSourceChanged says that source and destination are not the same in the end.
var errSourceChanged = errors.New("source and destination differ: an app wrote to one of them meanwhile, most likely. Stop it, delete the tables of the destination, and begin again")

// run copies, compares and verifies.
func (c *copying) run(ctx context.Context) error {
	m, err := c.begin(ctx)
	if err != nil {
		return err
	}
	for _, name := range c.tables() {
		if m.Table != name {
			continue // it is copied
		}
		if m, err = c.copy(ctx, m); err != nil {
			return fmt.Errorf("copy %s: %w; the same command goes on where this one ended", name, err)
		}
	}
	chains, err := c.compare(ctx)
	if err != nil {
		return err
	}
	broken, err := c.verify(ctx, chains)
	if err != nil {
		return err
	}
	if _, err := c.marks().Delete(ctx, nil); err != nil {
		return fmt.Errorf("the copy is whole, and %sCopy could not be deleted: %w", c.prefix, err)
	}
	if len(broken) > 0 {
		return fmt.Errorf("the copy is what the source is, and there the activity log is not as it was written: %s", strings.Join(broken, "; "))
	}
	fmt.Fprintf(c.progress, "done: the tables are the same, and all %d chains of the activity log are whole\n", len(chains))
	return nil
}

// begin finds out where to go on, or that nothing was begun and nothing stands in the way.
func (c *copying) begin(ctx context.Context) (mark, error) {
	for _, name := range c.tables() {
		exists, _, err := holds(ctx, c.from.NewClient(name))
		if err != nil {
			return mark{}, fmt.Errorf("look at %s of the source: %w", name, err)
		}
		if !exists {
			return mark{}, fmt.Errorf("the source has no table %s; nothing was done", name)
		}
	}
	answer, err := c.marks().GetEntity(ctx, markKey, markKey, nil)
	if err == nil {
		var m mark
		if err := json.Unmarshal(answer.Value, &m); err != nil {
			return m, fmt.Errorf("read how far the copy came: %w", err)
		}
		if m.Source != c.source {
			return m, fmt.Errorf("a copy of %s was begun there; nothing was done", m.Source)
		}
		fmt.Fprintf(c.progress, "going on with the copy that was begun at %s\n", m.Begun)
		return m, nil
	}
	if !missing(err) {
		return mark{}, fmt.Errorf("look for a copy that was begun: %w", err)
	}
	for _, name := range c.tables() {
		_, rows, err := holds(ctx, c.to.NewClient(name))
		if err != nil {
			return mark{}, fmt.Errorf("look at %s of the destination: %w", name, err)
		}
		if rows {
			return mark{}, fmt.Errorf("the destination holds rows in %s, which a copy would mix with others; give an account without them. Nothing was done", name)
		}
	}
	m := mark{PartitionKey: markKey, RowKey: markKey, Source: c.source, Begun: c.now().UTC().Format(time.RFC3339), Table: c.tables()[0]}
	if err := create(ctx, c.to, c.prefix+"Copy"); err != nil {
		return m, fmt.Errorf("create %sCopy: %w", c.prefix, err)
	}
	return m, c.note(ctx, m)
}

// note stores how far the copy came.
func (c *copying) note(ctx context.Context, m mark) error {
	text, err := json.Marshal(m)
	if err == nil {
		_, err = c.marks().UpsertEntity(ctx, text, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
	}
	if err != nil {
		return fmt.Errorf("note how far the copy came: %w", err)
	}
	if c.marked != nil {
		c.marked()
	}
	return nil
}

// copy copies the table of the mark from where it came to, and gives the mark of the next one.
func (c *copying) copy(ctx context.Context, m mark) (mark, error) {
	name := m.Table
	var after position
	if m.After != "" {
		if err := json.Unmarshal([]byte(m.After), &after); err != nil {
			return m, fmt.Errorf("read how far the copy came: %w", err)
		}
	}
	into := c.to.NewClient(name)
	if err := create(ctx, c.to, name); err != nil {
		return m, err
	}
	for rows, err := range pages(ctx, c.from.NewClient(name), after) {
		if err != nil {
			return m, err
		}
		if len(rows) == 0 {
			continue
		}
		if err := put(ctx, into, rows); err != nil {
			return m, err
		}
		text, err := json.Marshal(rows[len(rows)-1].at())
		if err != nil {
			return m, err
		}
		m.After, m.Rows = string(text), m.Rows+len(rows)
		if err := c.note(ctx, m); err != nil {
			return m, err
		}
	}
	fmt.Fprintf(c.progress, "copied %s: %d rows\n", name, m.Rows)
	m.Table, m.After, m.Rows = "", "", 0
	tables := c.tables()
	for i, t := range tables[:len(tables)-1] {
		if t == name {
			m.Table = tables[i+1]
		}
	}
	return m, c.note(ctx, m)
}

// chain is one chain of the activity log.
type chain struct {
	Subscription string
	Date         string
}

// compare reads every row of both accounts side by side. It gives the chains whose heads stand there.
func (c *copying) compare(ctx context.Context) ([]chain, error) {
	var chains []chain
	for _, name := range c.tables() {
		n, err := c.compareTable(ctx, name, func(r row) {
			if head := (chain{}); strings.HasSuffix(name, "Activity") && strings.HasPrefix(r.key, "head|") && json.Unmarshal([]byte(r.doc), &head) == nil {
				chains = append(chains, head)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", name, err)
		}
		fmt.Fprintf(c.progress, "compared %s: %d rows are the same\n", name, n)
	}
	return chains, nil
}

// compareTable gives how many rows a table holds, and shows each, once it is found to be the same in both accounts.
func (c *copying) compareTable(ctx context.Context, name string, show func(row)) (int, error) {
	copied, stop := iter.Pull2(each(ctx, c.to.NewClient(name)))
	defer stop()
	n := 0
	for ours, err := range each(ctx, c.from.NewClient(name)) {
		if err != nil {
			return n, err
		}
		theirs, err, more := copied()
		if err != nil {
			return n, err
		}
		if !more || theirs.at() != ours.at() || theirs.digest() != ours.digest() {
			return n, fmt.Errorf("at row %d (%s, %s): %w", n+1, ours.partition, ours.key, errSourceChanged)
		}
		show(ours)
		n++
	}
	theirs, err, more := copied()
	if err == nil && more {
		err = fmt.Errorf("row %d (%s, %s) is not in the source: %w", n+1, theirs.partition, theirs.key, errSourceChanged)
	}
	return n, err
}

// verify walks the chains at the destination, and tells of those that are broken.
func (c *copying) verify(ctx context.Context, chains []chain) ([]string, error) {
	var broken []string
	for _, of := range chains {
		day, err := time.Parse(time.DateOnly, of.Date)
		if err != nil {
			broken = append(broken, fmt.Sprintf("a head of %.60q names no day", of.Subscription))
			continue
		}
		result, err := c.log.Verify(ctx, of.Subscription, day)
		if err != nil {
			return nil, fmt.Errorf("verify the activity log of %s: %w", of.Date, err)
		}
		if b := result.FirstBroken; b != nil {
			broken = append(broken, fmt.Sprintf("%s, subscription %q, entry %d: %s, %s", of.Date, of.Subscription, b.Seq, b.Break, b.Message))
		}
	}
	return broken, nil
}
