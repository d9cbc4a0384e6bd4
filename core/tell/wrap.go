package tell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Grants returns a store of grants in which every write tells what it changes. A nil Courier tells nothing, whatever a writer has to tell.
func (c *Courier) Grants(g store.Grants) store.Grants {
	if c == nil {
		return silent{g}
	}
	c.grants = &telling{g, c}
	return c.grants
}

// silent leaves out what writers tell by themselves: without a channel it is addressed to nobody, and no store takes it.
type silent struct{ store.Grants }

// InsertGrant implements [store.Grants].
func (s silent) InsertGrant(ctx context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	next := g
	next.Tell = nil
	stored, err := s.Grants.InsertGrant(ctx, next, keys, now)
	if err != nil {
		return g, err
	}
	return stored, nil
}

// UpdateGrants implements [store.Grants].
func (s silent) UpdateGrants(ctx context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	next := slices.Clone(gs)
	for i := range next {
		next[i].Tell = nil
	}
	return s.Grants.UpdateGrants(ctx, next...)
}

type telling struct {
	store.Grants
	c *Courier
}

// InsertGrant implements [store.Grants].
func (t *telling) InsertGrant(ctx context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	next, tells := t.c.due(g)
	stored, err := t.Grants.InsertGrant(ctx, next, keys, now)
	if err != nil {
		return g, err
	}
	t.c.kick(ctx, tells)
	return stored, nil
}

// UpdateGrants implements [store.Grants].
func (t *telling) UpdateGrants(ctx context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	next, tells := make([]store.GrantRecord, len(gs)), false
	for i, g := range gs {
		var one bool
		next[i], one = t.c.due(g)
		tells = tells || one
	}
	stored, err := t.Grants.UpdateGrants(ctx, next...)
	if err == nil {
		t.c.kick(ctx, tells)
	}
	return stored, err
}

// due returns a grant with the letters of its messages, one for each channel, and whether there are any.
func (c *Courier) due(g store.GrantRecord) (store.GrantRecord, bool) {
	next, messages := Due(g, c.now())
	next.Tell = c.letters(messages...)
	return next, len(next.Tell) > 0
}

func (c *Courier) letters(messages ...store.Message) []store.Letter {
	var out []store.Letter
	for _, m := range messages {
		for _, ch := range c.Channels {
			out = append(out, store.Letter{Message: m, Channel: ch.Name})
		}
	}
	return out
}

// Alarm returns an alarm that also reminds: the wake-up for an end brings another one, [Lead] before it, in the same call.
func (c *Courier) Alarm(a store.Alarm) store.Alarm {
	if c == nil {
		return a
	}
	return &reminding{a, c}
}

type reminding struct {
	store.Alarm
	c *Courier
}

// Schedule implements [store.Alarm].
func (r *reminding) Schedule(ctx context.Context, wakes ...store.Wake) error {
	all := wakes[:len(wakes):len(wakes)]
	for _, w := range wakes {
		if at := w.At.Add(-Lead); w.Attempt == 0 && !w.Remind && at.After(r.c.now()) { // later attempts are looks at what should be over
			all = append(all, store.Wake{Grant: w.Grant, Generation: w.Generation, At: at, Remind: true})
		}
	}
	return r.Alarm.Schedule(ctx, all...)
}

// Noting returns a log that also tells of repairs and of lock-downs, once the log has them. It is for what does either: neither has a grant in whose
// write a message could ride.
func (c *Courier) Noting(a store.Activity) store.Activity {
	if c == nil {
		return a
	}
	return &noting{a, c}
}

// noted returns what is told of an entry, and whether anything is.
func noted(e store.Entry) (store.Message, bool) {
	if e.Result != store.Succeeded {
		return store.Message{}, false
	}
	sum := sha256.Sum256([]byte(e.ID))
	m := store.Message{At: e.Time, Began: e.Time, Seq: 1, Text: e.Message}
	switch e.Operation {
	case store.OpRepair:
		m.Kind, m.Subject, m.Requestor = store.EventRepaired, "repair-"+hex.EncodeToString(sum[:16]), e.Requestor
	case store.OpLockdown:
		m.Kind, m.Subject, m.By, m.Reason = store.EventLockdown, "lockdown-"+hex.EncodeToString(sum[:16]), e.Requestor, e.Justification
	default:
		return m, false
	}
	return m, true
}

type noting struct {
	store.Activity
	c *Courier
}

// Append implements [store.Activity].
func (n *noting) Append(ctx context.Context, entries ...store.Entry) error {
	if err := n.Activity.Append(ctx, entries...); err != nil {
		return err
	}
	var letters []store.Letter
	for _, e := range entries {
		if m, tells := noted(e); tells {
			letters = append(letters, n.c.letters(m)...)
		}
	}
	if len(letters) == 0 {
		return nil
	}
	if err := n.c.Outbox.PutLetters(ctx, letters...); err != nil {
		return fmt.Errorf("tell of what the log has: %w", err)
	}
	n.c.kick(ctx, true)
	return nil
}

// Remind tells that windows of a grant are about to end. It does nothing for a grant that is unknown, or whose generation has changed, where nothing is
// about to end, and where people were reminded already. An error means that the wake-up should come again.
func (c *Courier) Remind(ctx context.Context, grant string, generation int) error {
	if c == nil {
		return nil
	}
	rec, err := c.grants.Grant(ctx, grant)
	if errors.Is(err, store.ErrNotFound) || err == nil && rec.Grant.Generation != generation {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read grant %s: %w", grant, err)
	}
	return c.remind(ctx, rec)
}

func (c *Courier) remind(ctx context.Context, rec store.GrantRecord) error {
	_, err := store.ChangeGrant(ctx, c.grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		next, near := reminded(g, c.now())
		return next, near, nil
	})
	if err != nil {
		return fmt.Errorf("remind of grant %s: %w", rec.Grant.ID, err)
	}
	return nil
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (c *Courier) now() time.Time { return jit.Instant(c.Now()) }
