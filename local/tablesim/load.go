package tablesim

import (
	"bytes"
	"fmt"
	"slices"
)

// Load inserts entities, spelled as in the body of an insert, all or none and without a request: no knob holds
// it up, it is no operation and counts as nothing read or written. It is for filling an account with what would
// take hours over HTTP. What the service would refuse, it refuses.
func (s *Server) Load(table string, bodies [][]byte) error {
	type keyed struct {
		key    []byte
		entity *entity
	}
	all := make([]keyed, 0, len(bodies))
	for _, body := range bodies {
		c := command{}
		if err := c.parseInsert(body); err != nil {
			return fmt.Errorf("load table %s: %w", table, err)
		}
		all = append(all, keyed{rowKey(c.pk, c.rk), c.change})
	}
	slices.SortFunc(all, func(a, b keyed) int { return bytes.Compare(a.key, b.key) }) // neighbours share a page of the file
	return s.store.update(func(t transaction) error {
		rows, err := t.rows(table)
		if err != nil {
			return fmt.Errorf("load table %s: %w", table, err)
		}
		for _, k := range all {
			if rows.bucket.Get(k.key) != nil {
				return fmt.Errorf("load table %s: %q %q: %w", table, k.entity.pk, k.entity.rk, refuse(codeEntityExists))
			}
			if k.entity.stamp, err = t.stamp(s.config.Now()); err != nil {
				return err
			}
			if err := rows.bucket.Put(k.key, encodeRow(k.entity)); err != nil {
				return err
			}
		}
		return nil
	})
}
