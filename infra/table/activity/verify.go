package activity

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
// Heads that were stated are compared with the hashes on the way: who puts back older rows, or makes all later hashes
// anew, leaves a chain that is whole.
func (l *Log) Verify(ctx context.Context, subscription string, on time.Time, stated ...store.Head) (store.VerifyResult, error) {
	c := chainAt(subscription, on)
	doing := "verify the activity log of " + c.date
	first, err := l.readHead(ctx, c)
	if err != nil {
		return store.VerifyResult{}, fmt.Errorf("%s: %w", doing, err)
	}
	v := newVerification(c, first)
	v.stated = stated
	if err := l.scan(ctx, entity.In(c.partition).Under(markRows), v.mark); err != nil {
		return store.VerifyResult{}, fmt.Errorf("%s: %w", doing, err)
	}
	if err := l.scan(ctx, entity.In(c.partition).Under(entryRows), v.add); err != nil {
		return store.VerifyResult{}, fmt.Errorf("%s: %w", doing, err)
	}
	if v.last, err = l.readHead(ctx, c); err != nil {
		return store.VerifyResult{}, fmt.Errorf("%s: %w", doing, err)
	}
	return v.result(), nil
}

// scan shows every row of a filter, a page at a time: a day's rows at once would be too many.
func (l *Log) scan(ctx context.Context, w entity.Where, show func(entity.Stored)) error {
	filter := w.String()
	for pager := l.table.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter}); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return entity.Translate(err)
		}
		for _, data := range page.Entities {
			r, err := entity.DecodeRow(data)
			if err != nil {
				return err
			}
			show(r)
		}
	}
	return nil
}

// foundHead is a head as it was read.
type foundHead struct {
	headDoc
	exists bool
	bad    string // why it is not what the app would write
}

func (l *Log) readHead(ctx context.Context, c chainID) (foundHead, error) {
	r, _, err := l.table.Get(ctx, c.partition, c.headKey())
	if errors.Is(err, store.ErrNotFound) {
		return foundHead{}, nil
	}
	if err != nil {
		return foundHead{}, err
	}
	return headOf(c, r), nil
}

// headOf reads the row of a chain's head.
func headOf(c chainID, r entity.Stored) foundHead {
	h := foundHead{exists: true}
	if err := json.Unmarshal([]byte(r.Text), &h.headDoc); err != nil {
		h.bad = "it cannot be read"
		return h
	}
	hash, err := hex.DecodeString(h.Hash)
	if want := c.head(h.Seq, hash); err != nil || want != h.headDoc || h.Seq < 1 || !r.Is(entity.Row{Partition: c.partition, Key: c.headKey(), Doc: want}) {
		h.bad = "it is not as the app writes it"
	}
	return h
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
	placed      map[int][]found   // by Seq
	most        int               // the last Seq
	strange     []found           // rows without a place in a chain
	names       map[string]bool   // of every entry of the day
	marks       map[string]string // ids of the chain's marks, by name
	entries     int
	stated      []store.Head
	rewound     []store.Head // of stated, those whose place the chain comes to with another hash
	length      int          // how far the walk came
}

func newVerification(c chainID, first foundHead) *verification {
	return &verification{chain: c, first: first, names: map[string]bool{}, placed: map[int][]found{}, marks: map[string]string{}}
}

// add takes a row of the day, if it is the chain's.
func (v *verification) add(r entity.Stored) {
	_, name, _ := strings.Cut(strings.TrimPrefix(r.Key, entryRows), "|")
	v.names[name] = true
	f := found{key: r.Key}
	var column string
	listed := json.Unmarshal(r.Properties["Subscription"], &column) == nil && column == entity.ColumnText(v.chain.subscription)
	e, err := store.Entry{}, json.Unmarshal([]byte(r.Text), &f.entryDoc)
	if err == nil {
		e, err = f.entry()
	}
	ours := err == nil && subscriptionOf(e) == v.chain.subscription
	switch {
	case err != nil && (listed || v.chain.subscription == "" && !jit.ValidGUID(column)):
		f.broken, f.why = store.BreakChanged, "the entry cannot be read"
	case err == nil && listed && !ours:
		f.broken, f.why = store.BreakInserted, "the entry is listed with another subscription's"
	case !ours:
		return
	case f.Format != chainFormat || f.Seq < 1:
		f.broken, f.why = store.BreakInserted, "the entry has no place in the chain"
	default:
		f.broken, f.why = f.form(r)
	}
	v.entries++
	if f.Seq < 1 || err != nil || !ours {
		v.strange = append(v.strange, f)
		return
	}
	v.placed[f.Seq] = append(v.placed[f.Seq], f)
	v.most = max(v.most, f.Seq)
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
func (v *verification) result() store.VerifyResult {
	out := store.VerifyResult{Entries: v.entries}
	out.Head, out.FirstBroken = v.walk()
	if out.FirstBroken == nil {
		out.FirstBroken = v.heads()
	}
	if out.FirstBroken == nil && len(v.strange) > 0 {
		out.FirstBroken = v.strange[0].at(0)
	}
	if out.FirstBroken == nil {
		out.FirstBroken = v.suppressed()
	}
	if out.FirstBroken == nil {
		out.FirstBroken = v.unlikeStated()
	}
	return out
}

// compare holds the hash at a place to what was stated of it.
func (v *verification) compare(seq int, hash []byte) {
	v.length = seq
	for _, s := range v.stated {
		if s.Entries == seq && !strings.EqualFold(s.Hash, hex.EncodeToString(hash)) {
			v.rewound = append(v.rewound, s)
		}
	}
}

// unlikeStated gives the first statement that a chain which is whole does not bear out.
func (v *verification) unlikeStated() *store.BrokenEntry {
	for _, s := range v.stated {
		if s.Entries > v.length {
			v.rewound = append(v.rewound, s)
		}
	}
	if len(v.rewound) == 0 {
		return nil
	}
	first := slices.MinFunc(v.rewound, func(a, b store.Head) int { return cmp.Compare(a.Entries, b.Entries) })
	why := "another entry stands here than when this head was stated"
	if first.Entries > v.length {
		why = fmt.Sprintf("the chain ends after %d entries", v.length)
	}
	return &store.BrokenEntry{Seq: first.Entries, Break: store.BreakRewound, Message: why + ": the rows of this chain were put back to an older state, or written anew"}
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

// walk gives the hash of the last entry, and the first break among the entries.
func (v *verification) walk() (string, *store.BrokenEntry) {
	hash := v.chain.genesis()
	for seq := 1; ; seq++ {
		standing := v.placed[seq]
		if len(standing) == 0 {
			return v.end(seq, hash)
		}
		i, next := v.fitting(seq, hash)
		if i < 0 {
			return hex.EncodeToString(hash), v.wrong(standing[0], seq, hash)
		}
		for j, f := range standing {
			if j != i {
				f.broken, f.why = store.BreakInserted, "two entries claim the same place, and this one is not the one that the chain goes on from"
				return hex.EncodeToString(hash), f.at(seq)
			}
		}
		hash = next
		v.compare(seq, hash)
		for _, h := range []foundHead{v.first, v.last} {
			if h.exists && h.bad == "" && h.Seq == seq && h.Hash != hex.EncodeToString(hash) {
				f := standing[i]
				f.broken, f.why = store.BreakChanged, "the head of the chain names another hash for this entry"
				return hex.EncodeToString(hash), f.at(seq)
			}
		}
	}
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
func (v *verification) wrong(f found, seq int, before []byte) *store.BrokenEntry {
	if f.broken != "" {
		return f.at(seq)
	}
	f.broken, f.why = store.BreakChanged, "the entry is not what was appended here"
	for _, others := range v.placed {
		for _, o := range others {
			if o.Seq != seq && o.Hash == hex.EncodeToString(link(before, seq, o.canonical())) {
				f.broken, f.why = store.BreakReordered, "the entry that was appended here, "+o.ID+", stands at another place"
			}
		}
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
	for n := max(seq, v.last.Seq+1); n <= v.most && v.last.exists && v.last.bad == ""; n++ {
		for _, f := range v.placed[n] {
			f.broken, f.why = store.BreakInserted, "the head of the chain does not come to this entry"
			return text, f.at(n)
		}
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
	case v.last.exists && v.most > v.last.Seq:
		f := v.placed[v.most][0]
		f.broken, f.why = store.BreakInserted, "the head of the chain does not come to this entry"
		return f.at(v.most)
	}
	return nil
}

// mark takes a mark of the day, if it is the chain's or nobody's.
func (v *verification) mark(r entity.Stored) {
	var d markDoc
	err := json.Unmarshal([]byte(r.Text), &d)
	if err == nil && d.Subscription == v.chain.subscription || err != nil && v.chain.subscription == "" {
		v.marks[strings.TrimPrefix(r.Key, markRows)] = d.ID
	}
}

// suppressed finds a mark of the chain without its entry, the first by name.
func (v *verification) suppressed() *store.BrokenEntry {
	for _, name := range slices.Sorted(maps.Keys(v.marks)) {
		if !v.names[name] {
			return &store.BrokenEntry{Break: store.BreakInserted, ID: v.marks[name], Message: "the mark " + markRows + name + " says of an entry that it was appended, which would keep it from being appended"}
		}
	}
	return nil
}
