package bussim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"portcullis/local/bussim/amqp"
)

const (
	databaseName  = "bus.db"
	recordVersion = uint32(1)
)

// store keeps messages and duplicate windows in a bbolt file. Nothing is
// synced: the file survives the death of the process, not of the machine. A
// store without a database keeps nothing.
//
// Each entity has two buckets, "m/<name>" from sequence number to record
// (whose bucket sequence is the last sequence number given) and "s/<name>"
// from message id to the end of its duplicate window.
type store struct{ db *bolt.DB }

// changes are what one transaction does to one entity.
type changes struct {
	entity *entity
	put    []*message
	drop   []int64
	seen   []seenID
	unseen []string
}

type seenID struct {
	id    string
	until time.Time
}

func openStore(dir string) (*store, error) {
	if dir == "" {
		return &store{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	db, err := bolt.Open(filepath.Join(dir, databaseName), 0o600,
		&bolt.Options{NoSync: true, NoGrowSync: true, Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", databaseName, err)
	}
	return &store{db}, nil
}

func (s *store) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

func (s *store) apply(all ...changes) error {
	if s.db == nil {
		return nil
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, ch := range all {
			if err := ch.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (ch changes) write(tx *bolt.Tx) error {
	messages, seen, err := buckets(tx, ch.entity)
	if err != nil {
		return err
	}
	errs := []error{messages.SetSequence(uint64(ch.entity.seq))}
	for _, n := range ch.drop {
		errs = append(errs, messages.Delete(key(n)))
	}
	for _, m := range ch.put {
		errs = append(errs, messages.Put(key(m.seq), m.record()))
	}
	for _, id := range ch.unseen {
		errs = append(errs, seen.Delete([]byte("i"+id)))
	}
	for _, s := range ch.seen {
		errs = append(errs, seen.Put([]byte("i"+s.id), key(s.until.UnixNano())))
	}
	return errors.Join(errs...)
}

func buckets(tx *bolt.Tx, e *entity) (messages, seen *bolt.Bucket, err error) {
	name := strings.ToLower(e.name)
	if messages, err = tx.CreateBucketIfNotExists([]byte("m/" + name)); err != nil {
		return nil, nil, err
	}
	seen, err = tx.CreateBucketIfNotExists([]byte("s/" + name))
	return messages, seen, err
}

func key(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// load fills e with what the database holds of it.
func (s *store) load(e *entity) error {
	if s.db == nil {
		return nil
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		messages, seen, err := buckets(tx, e)
		if err != nil {
			return err
		}
		e.seq = int64(messages.Sequence())
		err = messages.ForEach(func(k, v []byte) error {
			m, err := restore(v)
			if err != nil || len(k) != 8 {
				return fmt.Errorf("record %x: %w", k, err)
			}
			m.home, m.seq = e, int64(binary.BigEndian.Uint64(k))
			e.place(m)
			return nil
		})
		if err != nil {
			return err
		}
		err = seen.ForEach(func(k, v []byte) error {
			if len(k) < 1 || len(v) != 8 {
				return fmt.Errorf("duplicate window record %q is damaged", k)
			}
			e.seen[string(k[1:])] = time.Unix(0, int64(binary.BigEndian.Uint64(v))).UTC()
			e.order = append(e.order, string(k[1:]))
			return nil
		})
		sort.SliceStable(e.order, func(i, j int) bool { return e.seen[e.order[i]].Before(e.seen[e.order[j]]) })
		return err
	})
}

// record encodes all of m but its lock, its entity and its sequence number.
func (m *message) record() []byte {
	return amqp.Append(nil, amqp.List{recordVersion, m.origin, int32(m.state), m.count,
		nanos(m.enqueued), nanos(m.scheduled), nanos(m.expires), int64(m.ttl), m.source,
		m.id, m.header, m.annotations, m.properties, m.application, m.body})
}

// restore is the inverse of record.
func restore(b []byte) (*message, error) {
	v, _, err := amqp.Decode(append([]byte(nil), b...)) // bbolt's bytes end with the transaction
	if err != nil {
		return nil, err
	}
	f, ok := v.(amqp.List)
	if !ok || len(f) != 15 || f[0] != recordVersion {
		return nil, errors.New("the record has another format version")
	}
	m := &message{dueIndex: -1, readyIndex: -1}
	m.origin, _ = f[1].(int64)
	state, _ := f[2].(int32)
	m.state = State(state)
	m.count, _ = f[3].(uint32)
	m.enqueued, m.scheduled, m.expires = instant(f[4]), instant(f[5]), instant(f[6])
	ttl, _ := f[7].(int64)
	m.ttl = time.Duration(ttl)
	m.source, _ = f[8].(string)
	m.id, _ = f[9].(string)
	m.header, _ = f[10].(amqp.List)
	m.annotations, _ = f[11].(amqp.Map)
	m.properties, _ = f[12].([]byte)
	m.application, _ = f[13].([]byte)
	m.body, _ = f[14].([]byte)
	return m, nil
}

// nanos and instant keep the zero time apart from the epoch. Senders may name
// any time; one that does not fit is stored as the nearest that does.
func nanos(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	const limit, second = 1<<63 - 1, 1_000_000_000
	switch {
	case t.Unix() >= limit/second:
		return int64(limit)
	case t.Unix() <= -limit/second:
		return int64(-limit)
	}
	return t.UnixNano()
}

func instant(v any) time.Time {
	n, ok := v.(int64)
	if !ok {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
