package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// What a verification holds at most.
const (
	heldPlaces  = 250_000 // hashes of 32 bytes; about as many names of 16
	keptEntries = 1000
)

// places is the hashes that entries claim for a run of places of a chain.
type places struct {
	base   int // the places before it are as they should be
	before [sha256.Size]byte
	held   []place
}

// place is one place. The zero value is empty.
type place struct {
	hash     [sha256.Size]byte
	taken    bool
	doubtful bool // two claim it, or what stands there does not follow from what is before it
}

// claim notes the hash that an entry names as its own.
func (p *places) claim(f found) {
	i := f.Seq - p.base - 1
	if i < 0 || i >= heldPlaces {
		return
	}
	for len(p.held) <= i {
		p.held = append(p.held, place{})
	}
	at := &p.held[i]
	hash, err := hex.DecodeString(f.Hash)
	at.doubtful = at.taken || f.broken != "" || err != nil || len(hash) != sha256.Size || hex.EncodeToString(hash) != f.Hash
	at.taken = true
	copy(at.hash[:], hash)
}

// link holds an entry against the hash that is claimed for the place before it.
func (p *places) link(f found) {
	i := f.Seq - p.base - 1
	if i < 0 || i >= len(p.held) || p.held[i].doubtful {
		return
	}
	before := p.before
	if i > 0 {
		before = p.held[i-1].hash
	}
	p.held[i].doubtful = [sha256.Size]byte(link(before[:], f.Seq, f.canonical())) != p.held[i].hash
}

// head holds a head against the hash of the place that it names.
func (p *places) head(h foundHead) {
	if i := h.Seq - p.base - 1; i >= 0 && i < len(p.held) {
		at := &p.held[i]
		at.doubtful = at.doubtful || hex.EncodeToString(at.hash[:]) != h.Hash
	}
}

// next returns the first place that is empty or doubtful. Where there is none, more is true, and the places after those that were held are
// held from now on.
func (p *places) next() (seq int, more bool) {
	for i, at := range p.held {
		if !at.taken || at.doubtful {
			return p.base + i + 1, false
		}
		p.before = at.hash
	}
	p.base += len(p.held)
	more = len(p.held) == heldPlaces
	p.held = p.held[:0]
	return p.base + 1, more
}

// marks is the marks of a chain for which no entry was seen yet. Where there are too many, a part of them is looked at at a time.
type marks struct {
	chain chainID
	parts int
	part  int
	open  map[[16]byte]struct{}
}

func newMarks(c chainID, expected int) marks {
	return marks{chain: c, parts: min(1+expected/heldPlaces, 256), open: map[[16]byte]struct{}{}}
}

// nameKey stands for a name, whatever it is made of.
func nameKey(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}

// of returns the name of a mark and the id that it holds, and whether it is the chain's or nobody's.
func (m *marks) of(r entity.Stored) (name, id string, ours bool) {
	var d markDoc
	err := json.Unmarshal([]byte(r.Text), &d)
	return strings.TrimPrefix(r.Key, markRows), d.ID, err == nil && d.Subscription == m.chain.subscription && time.Time(d.At).IsZero() || err != nil && m.chain.subscription == ""
}

// mark takes a mark of the day.
func (m *marks) mark(r entity.Stored) {
	name, _, ours := m.of(r)
	if key := nameKey(name); ours && int(key[0])%m.parts == m.part && len(m.open) < 2*heldPlaces {
		m.open[key] = struct{}{}
	}
}

// entry takes an entry of the chain. A row that is another's, or nobody's, does not make a mark of this chain true.
func (m *marks) entry(r entity.Stored) {
	_, name, _ := strings.Cut(strings.TrimPrefix(r.Key, entryRows), "|")
	delete(m.open, nameKey(name))
}

// suppressed finds a mark of the chain without its entry, the first by name in its part. The first part has been looked at.
func (m *marks) suppressed(all, entries func(func(entity.Stored)) error) (*store.BrokenEntry, error) {
	for {
		if len(m.open) > 0 {
			return m.first(all)
		}
		if m.part++; m.part == m.parts {
			return nil, nil
		}
		if err := all(m.mark); err != nil {
			return nil, err
		}
		if err := entries(m.entry); err != nil {
			return nil, err
		}
	}
}

// first finds, among the marks that are left, the one whose name comes first.
func (m *marks) first(all func(func(entity.Stored)) error) (*store.BrokenEntry, error) {
	var out *store.BrokenEntry
	err := all(func(r entity.Stored) {
		name, id, ours := m.of(r)
		if _, left := m.open[nameKey(name)]; ours && left && out == nil { // they are listed by name
			out = &store.BrokenEntry{Break: store.BreakInserted, ID: id, Message: "the mark " + markRows + name + " says of an entry that it was appended, which would keep it from being appended"}
		}
	})
	return out, err
}
