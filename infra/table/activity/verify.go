package activity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// Verify reads the head, the whole day's marks and entries, and the head once more. Up to
// the first head every entry must be there; later ones, which were appended meanwhile, are checked as
// far as they were listed.
//
// It finds a change of any byte of an entry or a head: a row must be exactly what the
// app would write of what it says, and what it says must be what was hashed. Of marks it finds
// those without an entry, by which an event could be kept from being appended.
//
// What it holds does not grow with the log: at most [heldPlaces] hashes and names of 16 bytes, and [keptEntries] entries. A day of
// more entries than it keeps is read twice, a longer chain once more for each further [heldPlaces], and a broken one once more.
//
// Heads that were stated are compared with the hashes on the way: who puts back older rows, or makes all later hashes
// anew, leaves a chain that is whole.
func (l *Log) Verify(ctx context.Context, subscription string, on time.Time, stated ...store.Head) (store.VerifyResult, error) {
	c := chainAt(subscription, on)
	out, err := l.verify(ctx, c, stated)
	if err != nil {
		return store.VerifyResult{}, fmt.Errorf("verify the activity log of %s: %w", c.date, err)
	}
	return out, nil
}

func (l *Log) verify(ctx context.Context, c chainID, stated []store.Head) (store.VerifyResult, error) {
	first, err := l.readHead(ctx, c)
	if err != nil {
		return store.VerifyResult{}, err
	}
	v := newVerification(c, first)
	v.stated = stated
	v.rows = func(show func(entity.Stored)) error {
		return l.scan(ctx, entity.In(c.partition).Under(entryRows), show)
	}
	marks := func(show func(entity.Stored)) error { return l.scan(ctx, entity.In(c.partition).Under(markRows), show) }
	if err := marks(v.marks.mark); err != nil {
		return store.VerifyResult{}, err
	}
	if err := v.rows(v.add); err != nil {
		return store.VerifyResult{}, err
	}
	if v.last, err = l.readHead(ctx, c); err != nil {
		return store.VerifyResult{}, err
	}
	out, err := v.result()
	if err != nil || out.FirstBroken != nil {
		return out, err
	}
	out.FirstBroken, err = v.marks.suppressed(marks, v.own)
	if err == nil && out.FirstBroken == nil {
		out.FirstBroken = v.unlikeStated()
	}
	return out, err
}

// scan shows every row of a filter, a page at a time: a day's rows at once would be too many.
func (l *Log) scan(ctx context.Context, w entity.Where, show func(entity.Stored)) error {
	filter := w.String()
	for pager := l.table.Pages(&aztables.ListEntitiesOptions{Filter: &filter}); pager.More(); {
		page, err := pager.Next(ctx)
		if err != nil {
			return err
		}
		for _, r := range page {
			show(r)
		}
	}
	return nil
}

// found is an entry as it was read, and what of its row is wrong.
type found struct {
	entryDoc
	key    string
	broken store.Break
	why    string
}

// verification looks through one chain.
type verification struct {
	chain       chainID
	first, last foundHead
	rows        func(show func(entity.Stored)) error // gives every entry of the day
	entries     int
	stated      []store.Head
	rewound     *store.Head // of stated, the first at whose place another hash stands
	length      int         // how many entries follow from each other
	most        int         // the last Seq
	strange     *found      // the first row without a place in a chain
	marks       marks

	places places
	kept   []found // all entries of the chain, as long as they are few
	many   bool    // they are not

	// What stands about the first place that is not as it should be.
	placed map[int][]found
	moved  *found // the entry that belongs at that place and stands at another
	beyond *found // the first entry to which the last head does not come
}

func newVerification(c chainID, first foundHead) *verification {
	v := &verification{chain: c, first: first, placed: map[int][]found{}}
	v.places.before = [sha256.Size]byte(c.genesis())
	expected := 0
	if first.exists && first.bad == "" {
		expected = first.Seq
	}
	v.marks = newMarks(c, expected)
	return v
}

// add takes a row of the day.
func (v *verification) add(r entity.Stored) {
	f, ours, placed := v.read(r)
	if !ours {
		return
	}
	v.marks.entry(r)
	v.entries++
	if !placed {
		if v.strange == nil {
			v.strange = &f
		}
		return
	}
	v.most = max(v.most, f.Seq)
	v.places.claim(f)
	v.compare(f)
	if v.many = v.many || len(v.kept) == keptEntries; v.many {
		v.kept = nil
		return
	}
	v.kept = append(v.kept, f)
}

// each gives the entries of the chain that have a place, from memory where they are kept.
func (v *verification) each(show func(found)) error {
	for _, f := range v.kept {
		show(f)
	}
	if !v.many {
		return nil
	}
	return v.rows(func(r entity.Stored) {
		if f, ours, placed := v.read(r); ours && placed {
			show(f)
		}
	})
}

// own gives the rows of the day's entries that are the chain's.
func (v *verification) own(show func(entity.Stored)) error {
	return v.rows(func(r entity.Stored) {
		if _, ours, _ := v.read(r); ours {
			show(r)
		}
	})
}

// read reads a row of the day, and tells whether it is the chain's, and whether it claims a place there.
func (v *verification) read(r entity.Stored) (f found, ours, placed bool) {
	f.key = r.Key
	var column string
	listed := json.Unmarshal(r.Properties()["Subscription"], &column) == nil && column == entity.ColumnText(v.chain.subscription)
	e, err := store.Entry{}, json.Unmarshal([]byte(r.Text), &f.entryDoc)
	if err == nil {
		e, err = f.entry()
	}
	own := err == nil && subscriptionOf(e) == v.chain.subscription
	switch {
	case err != nil && (listed || v.chain.subscription == "" && !jit.ValidGUID(column)):
		f.broken, f.why = store.BreakChanged, "the entry cannot be read"
	case err == nil && listed && !own:
		f.broken, f.why = store.BreakInserted, "the entry is listed with another subscription's"
	case !own:
		return f, false, false
	case f.Format != chainFormat || f.Seq < 1:
		f.broken, f.why = store.BreakInserted, "the entry has no place in the chain"
	default:
		f.broken, f.why = f.form(r)
	}
	return f, true, f.Seq >= 1 && err == nil && own
}

// form compares a row with what the app would write.
func (f found) form(r entity.Stored) (store.Break, string) {
	want, err := f.row()
	switch {
	case err != nil:
		return store.BreakChanged, "the entry is not as the app writes it"
	case want.Partition != r.Partition || want.Key != r.Key:
		return store.BreakReordered, "the entry stands where another's time would put it"
	case f.V != entity.Version || !r.Is(want):
		return store.BreakChanged, "the entry's row is not as the app writes it"
	}
	return "", ""
}

// result walks along the chain to the first break.
func (v *verification) result() (store.VerifyResult, error) {
	out := store.VerifyResult{Entries: v.entries}
	seq, err := v.sound()
	if err != nil {
		return out, err
	}
	v.length = seq - 1
	if seq <= v.most || v.most > v.last.Seq {
		if err := v.lookAt(seq); err != nil {
			return out, err
		}
	}
	out.Head, out.FirstBroken = v.walk(seq)
	if out.FirstBroken == nil {
		out.FirstBroken = v.heads()
	}
	if out.FirstBroken == nil && v.strange != nil {
		out.FirstBroken = v.strange.at(0)
	}
	return out, nil
}

// sound returns the first place that is not what one entry that follows from the one before it fills; places.before is then the hash
// before it.
func (v *verification) sound() (int, error) {
	for {
		if err := v.each(v.places.link); err != nil {
			return 0, err
		}
		for _, h := range []foundHead{v.first, v.last} {
			if h.exists && h.bad == "" {
				v.places.head(h)
			}
		}
		if seq, more := v.places.next(); !more || seq > v.most {
			return seq, nil
		}
		if err := v.each(v.places.claim); err != nil {
			return 0, err
		}
	}
}

// lookAt collects what stands at a place that is not as it should be, and what bears on it.
func (v *verification) lookAt(seq int) error {
	before := v.places.before[:]
	return v.each(func(f found) {
		if (f.Seq == seq || f.Seq == seq+1) && len(v.placed[f.Seq]) < keptEntries {
			v.placed[f.Seq] = append(v.placed[f.Seq], f)
		}
		if f.Seq != seq && v.moved == nil && f.Hash == hex.EncodeToString(link(before, seq, f.canonical())) {
			v.moved = &f
		}
		if f.Seq > v.last.Seq && (v.beyond == nil || f.Seq < v.beyond.Seq) {
			v.beyond = &f
		}
	})
}

func (f found) at(seq int) *store.BrokenEntry {
	return &store.BrokenEntry{Seq: seq, Break: f.broken, ID: f.ID, Time: time.Time(f.Time), Message: f.why + " (row " + f.key + ")"}
}

// bound gives how far every entry must be there: to the first head, or, where no head
// can be believed, to the last entry.
func (v *verification) bound() int {
	if v.first.exists && v.first.bad == "" {
		return v.first.Seq
	}
	if v.last.exists && v.last.bad == "" {
		return 0 // the chain began while it was read
	}
	return v.most
}

// walk judges the first place that is not as it should be, or the one after the last. It gives the hash before it, or of it where it fits.
func (v *verification) walk(seq int) (string, *store.BrokenEntry) {
	hash := v.places.before[:]
	standing := v.placed[seq]
	if len(standing) == 0 {
		return v.end(seq, hash)
	}
	i, next := v.fitting(seq, hash)
	if i < 0 {
		return hex.EncodeToString(hash), v.wrong(standing[0], seq)
	}
	for j, f := range standing {
		if j != i {
			f.broken, f.why = store.BreakInserted, "two entries claim the same place, and this one is not the one that the chain goes on from"
			return hex.EncodeToString(hash), f.at(seq)
		}
	}
	f := standing[i]
	for _, h := range []foundHead{v.first, v.last} {
		if h.exists && h.bad == "" && h.Seq == seq && h.Hash != f.Hash {
			f.broken, f.why = store.BreakChanged, "the head of the chain names another hash for this entry"
			return hex.EncodeToString(next), f.at(seq)
		}
	}
	if seq <= v.bound() {
		f.broken, f.why = store.BreakChanged, "the entry, or the one before it, was changed while it was looked at"
		return hex.EncodeToString(next), f.at(seq)
	}
	return hex.EncodeToString(hash), nil // appended while the day was read
}

// fitting gives which of the entries that stand at a place belongs there after the hash,
// and its own hash; -1 for none. Where two do, it is the one that the chain goes on from.
func (v *verification) fitting(seq int, before []byte) (int, []byte) {
	which, hash := -1, []byte(nil)
	for i, f := range v.placed[seq] {
		own := link(before, seq, f.canonical())
		if f.broken != "" || f.Hash != hex.EncodeToString(own) {
			continue
		}
		goesOn := slices.ContainsFunc(v.placed[seq+1], func(n found) bool {
			return n.Hash == hex.EncodeToString(link(own, seq+1, n.canonical()))
		})
		if which < 0 || goesOn || v.last.Seq == seq && v.last.Hash == f.Hash {
			which, hash = i, own
		}
	}
	return which, hash
}

// wrong says what is wrong with an entry that does not belong where it stands.
func (v *verification) wrong(f found, seq int) *store.BrokenEntry {
	if f.broken != "" {
		return f.at(seq)
	}
	f.broken, f.why = store.BreakChanged, "the entry is not what was appended here"
	if v.moved != nil {
		f.broken, f.why = store.BreakReordered, "the entry that was appended here, "+v.moved.ID+", stands at another place"
	}
	return f.at(seq)
}

// end judges the first place at which no entry stands.
func (v *verification) end(seq int, hash []byte) (string, *store.BrokenEntry) {
	text := hex.EncodeToString(hash)
	if seq == 1 {
		text = ""
	}
	switch bound := v.bound(); {
	case seq <= bound && v.most > seq:
		return text, &store.BrokenEntry{Seq: seq, Break: store.BreakRemoved, Message: "the entry that was appended here is gone"}
	case seq <= bound:
		return text, &store.BrokenEntry{Seq: seq, Break: store.BreakTruncated, Message: fmt.Sprintf("the head of the chain names %d entries; from this one on they are gone", bound)}
	}
	if v.last.exists && v.last.bad == "" && v.beyond != nil {
		f := *v.beyond
		f.broken, f.why = store.BreakInserted, "the head of the chain does not come to this entry"
		return text, f.at(f.Seq)
	}
	return text, nil
}

// heads judges the heads where every entry is right.
func (v *verification) heads() *store.BrokenEntry {
	switch {
	case v.first.bad != "" || v.last.bad != "":
		return &store.BrokenEntry{Seq: v.most, Break: store.BreakChanged, Message: "the head of the chain was changed: " + cmp.Or(v.first.bad, v.last.bad)}
	case !v.last.exists && (v.most > 0 || v.first.exists):
		return &store.BrokenEntry{Seq: v.most, Break: store.BreakHeadMissing, Message: "the head of the chain is gone: whether entries after this one are gone too cannot be told"}
	}
	return nil
}
