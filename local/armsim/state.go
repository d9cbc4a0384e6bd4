package armsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// resource is a stored document. Doc is never changed in place: an edit replaces it with a copy, so that operations and
// the effective state can hold on to what they saw.
type resource struct {
	ID        string         `json:"id"`
	Type      string         `json:"type"`
	Doc       map[string]any `json:"doc"` // what was written, less the read-only properties
	ETag      string         `json:"etag"`
	State     string         `json:"state"` // provisioningState
	GUID      string         `json:"guid"`
	Effective map[string]any `json:"effective,omitempty"` // the Doc of the last write that succeeded
}

const (
	resourceBucket  = "resources"
	operationBucket = "operations"
)

func newETag() string { return `W/"` + uuid.NewString() + `"` }

// load reads the state file, if there is a folder for one.
func (s *Server) load() error {
	if s.cfg.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	// NoSync: a kill of the process loses nothing because the pages are with the kernel; only a crash of the machine
	// can, and this is a development tool.
	db, err := bbolt.Open(filepath.Join(s.cfg.Dir, "arm.db"), 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true})
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if err := each(tx, resourceBucket, func(k string, r *resource) { s.resources[k] = r }); err != nil {
			return err
		}
		return each(tx, operationBucket, func(k string, o *operation) { s.ops[k] = o })
	})
	if err != nil {
		return fmt.Errorf("read state: %w", joinClose(err, db))
	}
	s.db = db
	s.restorePending()
	return nil
}

func joinClose(err error, db *bbolt.DB) error {
	if cerr := db.Close(); cerr != nil {
		return fmt.Errorf("%w; close: %w", err, cerr)
	}
	return err
}

func each[T any](tx *bbolt.Tx, bucket string, add func(key string, value *T)) error {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error {
		value := new(T)
		if err := decode(v, value); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		add(string(k), value)
		return nil
	})
}

// save writes what changed since the last save that succeeded, in one transaction: what could not be written, such as on a full disk, goes
// with the next change.
func (s *Server) save() error {
	if s.db != nil && len(s.dirty)+len(s.dirtyOps) > 0 {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			if err := put(tx, resourceBucket, s.dirty, s.resources); err != nil {
				return err
			}
			return put(tx, operationBucket, s.dirtyOps, s.ops)
		})
		if err != nil {
			return err
		}
	}
	clear(s.dirty)
	clear(s.dirtyOps)
	return nil
}

func put[T any](tx *bbolt.Tx, bucket string, keys map[string]bool, values map[string]*T) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	for k := range keys {
		v, ok := values[k]
		if !ok {
			if err := b.Delete([]byte(k)); err != nil {
				return err
			}
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(k), text); err != nil {
			return err
		}
	}
	return nil
}

// set stores r and marks what depends on it as stale.
func (s *Server) set(r *resource) {
	k := key(r.ID)
	s.resources[k] = r
	s.touched(k, r.Type)
	if g := groupID(r.ID); g != "" && s.resources[key(g)] == nil && !strings.EqualFold(r.Type, groupType) {
		s.set(&resource{ID: g, Type: groupType, Doc: map[string]any{"location": DefaultLocation}, State: succeeded})
	}
}

func (s *Server) remove(k string) {
	if r, ok := s.resources[k]; ok {
		delete(s.resources, k)
		delete(s.shown, k)
		s.touched(k, r.Type)
	}
}

func (s *Server) touched(k, typ string) {
	s.dirty[k] = true
	if typ != nsgType && typ != firewallType {
		s.refs = nil
		clear(s.shown)
	}
}

// location of the resource, or the default region.
func (r *resource) location() string {
	if r != nil {
		if l, ok := r.Doc["location"].(string); ok && l != "" {
			return strings.ToLower(strings.ReplaceAll(l, " ", ""))
		}
	}
	return DefaultLocation
}

// decode reads JSON without turning numbers into floats, so that unknown properties survive as they came.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more than one JSON value")
	}
	return nil
}

// clone copies a decoded JSON value.
func clone[T any](v T) T {
	return cloneAny(v).(T)
}

func cloneAny(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = cloneAny(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = cloneAny(e)
		}
		return l
	}
	return v
}
