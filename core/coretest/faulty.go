package coretest

import (
	"context"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// Faulty is a store whose every call can fail before or after it takes effect, as Fault says. Nil means no faults.
type Faulty struct {
	Store
	Fault func(context.Context, Step) error
}

// step runs one call with Fault before and after it.
func step[T any](ctx context.Context, f *Faulty, op, of string, call func() (T, error)) (T, error) {
	var zero T
	if f.Fault == nil {
		return call()
	}
	if err := f.Fault(ctx, Step{Op: op, Of: of}); err != nil {
		return zero, err
	}
	out, err := call()
	if err != nil {
		return out, err
	}
	if err := f.Fault(ctx, Step{Op: op, Of: of, After: true}); err != nil {
		return zero, err
	}
	return out, nil
}

// done adapts a call without a result.
func done(err error) (struct{}, error) { return struct{}{}, err }

// Policy implements [store.Policies].
func (f *Faulty) Policy(ctx context.Context, vm jit.ID) (store.PolicyRecord, error) {
	return step(ctx, f, "Policy", vm.Key(), func() (store.PolicyRecord, error) { return f.Store.Policy(ctx, vm) })
}

// EachPolicy implements [store.Policies].
func (f *Faulty) EachPolicy(ctx context.Context, each func(store.PolicyRecord) error) error {
	_, err := step(ctx, f, "EachPolicy", "", func() (struct{}, error) { return done(f.Store.EachPolicy(ctx, each)) })
	return err
}

// EachListed implements [store.Policies].
func (f *Faulty) EachListed(ctx context.Context, filter store.PolicyFilter, after store.PolicyName, head func(store.NamedRecord) error, give func(store.PolicyRecord) error) error {
	_, err := step(ctx, f, "EachListed", "", func() (struct{}, error) { return done(f.Store.EachListed(ctx, filter, after, head, give)) })
	return err
}

// PutNamed implements [store.Policies].
func (f *Faulty) PutNamed(ctx context.Context, n store.NamedRecord) (store.NamedRecord, error) {
	return step(ctx, f, "PutNamed", n.Name.Key(), func() (store.NamedRecord, error) { return f.Store.PutNamed(ctx, n) })
}

// DropNamed implements [store.Policies].
func (f *Faulty) DropNamed(ctx context.Context, n store.NamedRecord) error {
	_, err := step(ctx, f, "DropNamed", n.Name.Key(), func() (struct{}, error) { return done(f.Store.DropNamed(ctx, n)) })
	return err
}

// PutListed implements [store.Policies].
func (f *Faulty) PutListed(ctx context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, store.PolicyRecord, error) {
	head, err := step(ctx, f, "PutListed", p.Policy.VM.Key(), func() (head store.NamedRecord, err error) {
		head, p, err = f.Store.PutListed(ctx, n, p)
		return head, err
	})
	return head, p, err
}

// DropListed implements [store.Policies].
func (f *Faulty) DropListed(ctx context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, error) {
	return step(ctx, f, "DropListed", p.Policy.VM.Key(), func() (store.NamedRecord, error) { return f.Store.DropListed(ctx, n, p) })
}

// PutPolicy implements [store.Policies].
func (f *Faulty) PutPolicy(ctx context.Context, p store.PolicyRecord) (store.PolicyRecord, error) {
	return step(ctx, f, "PutPolicy", p.Policy.VM.Key(), func() (store.PolicyRecord, error) { return f.Store.PutPolicy(ctx, p) })
}

// DeletePolicy implements [store.Policies].
func (f *Faulty) DeletePolicy(ctx context.Context, p store.PolicyRecord) error {
	_, err := step(ctx, f, "DeletePolicy", p.Policy.VM.Key(), func() (struct{}, error) { return done(f.Store.DeletePolicy(ctx, p)) })
	return err
}

// InsertGrant implements [store.Grants].
func (f *Faulty) InsertGrant(ctx context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	return step(ctx, f, "InsertGrant", g.Grant.ID, func() (store.GrantRecord, error) { return f.Store.InsertGrant(ctx, g, keys, now) })
}

// UpdateGrants implements [store.Grants].
func (f *Faulty) UpdateGrants(ctx context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	of := ""
	if len(gs) > 0 {
		of = gs[len(gs)-1].Grant.ID
	}
	return step(ctx, f, "UpdateGrants", of, func() ([]store.GrantRecord, error) { return f.Store.UpdateGrants(ctx, gs...) })
}

// NoteConfirmed implements [store.Grants].
func (f *Faulty) NoteConfirmed(ctx context.Context, g store.GrantRecord) (store.GrantRecord, error) {
	return step(ctx, f, "NoteConfirmed", g.Grant.ID, func() (store.GrantRecord, error) { return f.Store.NoteConfirmed(ctx, g) })
}

// Grant implements [store.Grants].
func (f *Faulty) Grant(ctx context.Context, id string) (store.GrantRecord, error) {
	return step(ctx, f, "Grant", id, func() (store.GrantRecord, error) { return f.Store.Grant(ctx, id) })
}

// OpenGrants implements [store.Grants].
func (f *Faulty) OpenGrants(ctx context.Context) ([]store.GrantRecord, error) {
	return step(ctx, f, "OpenGrants", "", func() ([]store.GrantRecord, error) { return f.Store.OpenGrants(ctx) })
}

// FindKey implements [store.KeyStore].
func (f *Faulty) FindKey(ctx context.Context, requestor, value string, now time.Time) (store.Key, error) {
	return step(ctx, f, "FindKey", value, func() (store.Key, error) { return f.Store.FindKey(ctx, requestor, value, now) })
}

// DropKeys implements [store.KeyStore].
func (f *Faulty) DropKeys(ctx context.Context, expired time.Time, most int) (int, error) {
	return step(ctx, f, "DropKeys", "", func() (int, error) { return f.Store.DropKeys(ctx, expired, most) })
}

// State implements [store.Targets].
func (f *Faulty) State(ctx context.Context, target jit.ID) (roster.State, error) {
	return step(ctx, f, "State", target.Key(), func() (roster.State, error) { return f.Store.State(ctx, target) })
}

// States implements [store.Targets]. Each target is a call of State by itself, which the port allows.
func (f *Faulty) States(ctx context.Context, targets []jit.ID) ([]roster.State, error) {
	out := make([]roster.State, len(targets))
	err := parallel.Each(targets, func(i int, t jit.ID) (err error) {
		out[i], err = f.State(ctx, t)
		return err
	})
	return out, err
}

// Known implements [store.Targets].
func (f *Faulty) Known(ctx context.Context) ([]jit.ID, error) {
	return step(ctx, f, "Known", "", func() ([]jit.ID, error) { return f.Store.Known(ctx) })
}

// Forget implements [store.Targets].
func (f *Faulty) Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error {
	_, err := step(ctx, f, "Forget", target.Key(), func() (struct{}, error) { return done(f.Store.Forget(ctx, target, clear)) })
	return err
}

// Remember implements [store.Targets].
func (f *Faulty) Remember(ctx context.Context, target jit.ID) error {
	_, err := step(ctx, f, "Remember", target.Key(), func() (struct{}, error) { return done(f.Store.Remember(ctx, target)) })
	return err
}

// Confirm implements [store.Targets].
func (f *Faulty) Confirm(ctx context.Context, target jit.ID, was, denies []string) error {
	_, err := step(ctx, f, "Confirm", target.Key(), func() (struct{}, error) { return done(f.Store.Confirm(ctx, target, was, denies)) })
	return err
}

// Append implements [store.Activity].
func (f *Faulty) Append(ctx context.Context, entries ...store.Entry) error {
	_, err := step(ctx, f, "Append", "", func() (struct{}, error) { return done(f.Store.Append(ctx, entries...)) })
	return err
}

// PutSweep implements [store.Sweeps].
func (f *Faulty) PutSweep(ctx context.Context, r store.SweepRecord) error {
	_, err := step(ctx, f, "PutSweep", "", func() (struct{}, error) { return done(f.Store.PutSweep(ctx, r)) })
	return err
}

// PutLetters implements [store.Outbox].
func (f *Faulty) PutLetters(ctx context.Context, letters ...store.Letter) error {
	_, err := step(ctx, f, "PutLetters", "", func() (struct{}, error) { return done(f.Store.PutLetters(ctx, letters...)) })
	return err
}

// Letters implements [store.Outbox].
func (f *Faulty) Letters(ctx context.Context, channel, cursor string, limit int) (list []store.Letter, next string, err error) {
	_, err = step(ctx, f, "Letters", channel, func() (struct{}, error) {
		list, next, err = f.Store.Letters(ctx, channel, cursor, limit)
		return done(err)
	})
	return list, next, err
}

// PutOff implements [store.Outbox].
func (f *Faulty) PutOff(ctx context.Context, l store.Letter) (store.Letter, error) {
	return step(ctx, f, "PutOff", l.ID(), func() (store.Letter, error) { return f.Store.PutOff(ctx, l) })
}

// DropLetter implements [store.Outbox].
func (f *Faulty) DropLetter(ctx context.Context, l store.Letter) error {
	_, err := step(ctx, f, "DropLetter", l.ID(), func() (struct{}, error) { return done(f.Store.DropLetter(ctx, l)) })
	return err
}

// Heads implements [store.Heads].
func (f *Faulty) Heads(ctx context.Context, day time.Time) (out []store.ChainHead, more bool, err error) {
	out, err = step(ctx, f, "Heads", day.Format(time.DateOnly), func() (heads []store.ChainHead, err error) {
		heads, more, err = f.Store.Heads(ctx, day)
		return heads, err
	})
	return out, more, err
}

// Follow implements [store.Chained].
func (f *Faulty) Follow(ctx context.Context, subscription string, day time.Time, from store.Place, to, limit int) ([]store.Linked, error) {
	return step(ctx, f, "Follow", subscription, func() ([]store.Linked, error) { return f.Store.Follow(ctx, subscription, day, from, to, limit) })
}

// Stream implements [store.Streams].
func (f *Faulty) Stream(ctx context.Context) (store.StreamRecord, error) {
	return step(ctx, f, "Stream", "", func() (store.StreamRecord, error) { return f.Store.Stream(ctx) })
}

// PutStream implements [store.Streams].
func (f *Faulty) PutStream(ctx context.Context, r store.StreamRecord) (store.StreamRecord, error) {
	return step(ctx, f, "PutStream", "", func() (store.StreamRecord, error) { return f.Store.PutStream(ctx, r) })
}
