package tablesim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// store keeps tables in a bbolt file: bucket "names" holds lower-case table
// name -> name as created, bucket "clock" the last stamp, and bucket
// "t:"+lower-case name the rows under rowKey. Writes are not synced: they
// survive the end of the process, not that of the machine.
type store struct {
	db        *bolt.DB
	temporary string
}

func openStore(dir string) (*store, error) {
	s := &store{}
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "tablesim-"); err != nil {
			return nil, err
		}
		s.temporary = dir
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "tables.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:        time.Second, // a second process on the same folder is a mistake
		NoSync:         true,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
	})
	if err == nil {
		s.db = db
		err = db.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists([]byte("names"))
			_, err2 := tx.CreateBucketIfNotExists([]byte("clock"))
			return errors.Join(err, err2)
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.close())
	}
	return s, nil
}

func (s *store) close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.temporary != "" {
		err = errors.Join(err, os.RemoveAll(s.temporary))
	}
	return err
}

// update runs do in a transaction that is undone if do returns an error.
func (s *store) update(do func(transaction) error) error {
	return s.db.Update(func(tx *bolt.Tx) error { return do(transaction{tx}) })
}

func (s *store) view(do func(transaction) error) error {
	return s.db.View(func(tx *bolt.Tx) error { return do(transaction{tx}) })
}

type transaction struct{ tx *bolt.Tx }

func (t transaction) names() *bolt.Bucket { return t.tx.Bucket([]byte("names")) }

func rowsBucket(table string) []byte { return []byte("t:" + strings.ToLower(table)) }

func (t transaction) createTable(name string) error {
	_, err := t.tx.CreateBucket(rowsBucket(name))
	if errors.Is(err, bolterrors.ErrBucketExists) {
		return refuse(codeTableExists)
	}
	if err != nil {
		return err
	}
	return t.names().Put([]byte(strings.ToLower(name)), []byte(name))
}

func (t transaction) deleteTable(name string) error {
	err := t.tx.DeleteBucket(rowsBucket(name))
	if errors.Is(err, bolterrors.ErrBucketNotFound) {
		return refuse(codeResourceNotFound)
	}
	if err != nil {
		return err
	}
	return t.names().Delete([]byte(strings.ToLower(name)))
}

// tables visits the names in order, from the lower-case name from, while
// visit returns true.
func (t transaction) tables(from string, visit func(name string) bool) {
	c := t.names().Cursor()
	for k, v := c.Seek([]byte(from)); k != nil; k, v = c.Next() {
		if !visit(string(v)) {
			return
		}
	}
}

func (t transaction) rows(name string) (rows, error) {
	b := t.tx.Bucket(rowsBucket(name))
	if b == nil {
		return rows{}, refuse(codeTableNotFound)
	}
	return rows{b}, nil
}

// stamp returns the time of a write in ticks, later than that of any write before.
func (t transaction) stamp(now time.Time) (int64, error) {
	clock := t.tx.Bucket([]byte("clock"))
	n := ticks(now)
	if b := clock.Get([]byte("last")); len(b) == 8 {
		n = max(n, int64(binary.BigEndian.Uint64(b))+1)
	}
	return n, clock.Put([]byte("last"), binary.BigEndian.AppendUint64(nil, uint64(n)))
}

type rows struct{ bucket *bolt.Bucket }

// get returns nil for a row that is not there.
func (r rows) get(pk, rk string) (*entity, error) {
	key := rowKey(pk, rk)
	b := r.bucket.Get(key)
	if b == nil {
		return nil, nil
	}
	return decodeRow(key, b)
}

func (r rows) put(e *entity) error {
	return r.bucket.Put(rowKey(e.pk, e.rk), encodeRow(e))
}

func (r rows) delete(pk, rk string) error { return r.bucket.Delete(rowKey(pk, rk)) }

// scan visits the stored rows of a range in order, while visit returns true.
func (r rows) scan(in span, visit func(key, row []byte) (bool, error)) error {
	c := r.bucket.Cursor()
	for k, v := c.Seek(in.lo); k != nil && (in.hi == nil || bytes.Compare(k, in.hi) < 0); k, v = c.Next() {
		if more, err := visit(k, v); err != nil || !more {
			return err
		}
	}
	return nil
}

func encodeRow(e *entity) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(e.stamp))
	for _, p := range e.props {
		b = appendString(b, p.name)
		b = append(b, byte(p.value.kind))
		switch p.value.kind {
		case kindString, kindGUID, kindBinary:
			b = appendString(b, p.value.s)
		case kindDouble:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(p.value.f))
		default:
			b = binary.AppendVarint(b, p.value.n)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func decodeRow(key, b []byte) (*entity, error) {
	r := &reader{b: b}
	e := &entity{stamp: int64(r.word())}
	e.pk, e.rk = splitKey(key)
	for len(r.b) > 0 && !r.bad {
		p := property{name: r.text(), value: value{kind: kind(r.byte())}}
		switch p.value.kind {
		case kindString, kindGUID, kindBinary:
			p.value.s = r.text()
		case kindDouble:
			p.value.f = math.Float64frombits(r.word())
		default:
			p.value.n = r.varint()
		}
		e.props = append(e.props, p)
	}
	if r.bad {
		return nil, fmt.Errorf("row %q %q is damaged", e.pk, e.rk)
	}
	return e, nil
}

// reader takes a stored row apart; bad is set when it ends too early.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, 8)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) word() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) byte() byte   { return r.take(1)[0] }

func (r *reader) text() string {
	n, used := binary.Uvarint(r.b)
	if used <= 0 || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	r.take(used)
	return string(r.take(int(n)))
}

func (r *reader) varint() int64 {
	n, used := binary.Varint(r.b)
	if used <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.take(used)
	return n
}
