package tablesim

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

func (s *Server) writer(c *command) writer {
	w := writer{level: c.level, base: c.base, account: s.config.Account, table: c.table}
	if list := c.query.Get("$select"); list != "" && list != "*" {
		w.only = map[string]bool{}
		for name := range strings.SplitSeq(list, ",") {
			w.only[strings.TrimSpace(name)] = true
		}
	}
	return w
}

func (s *Server) getEntity(c *command) (*reply, error) {
	var e *entity
	err := s.store.view(func(t transaction) error {
		rows, err := t.rows(c.table)
		if err == nil {
			e, err = rows.get(c.pk, c.rk)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, refuse(codeResourceNotFound)
	}
	s.record.read(1, 0)
	r := newReply(http.StatusOK)
	r.header.Set("ETag", etagOf(e.stamp))
	return r.content(c.level.contentType(), s.writer(c).entity(e, true)), nil
}

// queryEntities answers one page. A page ends when it is full; whether the
// next one has anything to match is found out by asking for it, so that a last
// page can be empty, as with the service.
func (s *Server) queryEntities(c *command) (*reply, error) {
	f, err := parseFilter(c.query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	limit, err := s.limit(c)
	if err != nil {
		return nil, err
	}
	in := f.keys().rows()
	if c.query.Has("NextPartitionKey") || c.query.Has("NextRowKey") {
		start, err := continuation(c)
		if err != nil {
			return nil, err
		}
		in = in.intersect(span{lo: start})
	}
	if s.faults.takeEmptyPage() {
		limit = 0
	}
	w := s.writer(c)
	var items [][]byte
	var next []byte
	visited := 0
	err = s.store.view(func(t transaction) error {
		rows, err := t.rows(c.table)
		if err != nil {
			return err
		}
		return rows.scan(in, func(key, row []byte) (bool, error) {
			if len(items) == limit {
				next = bytes.Clone(key)
				return false, nil
			}
			visited++
			e, text, err := s.encoded.of(w, key, row)
			if err == nil && f.match(e) {
				items = append(items, text)
			}
			return true, err
		})
	})
	if err != nil {
		return nil, err
	}
	s.record.read(len(items), visited)
	r := newReply(http.StatusOK)
	if next != nil {
		pk, rk := splitKey(next)
		r.header.Set("X-Ms-Continuation-Nextpartitionkey", continuationToken(pk))
		r.header.Set("X-Ms-Continuation-Nextrowkey", continuationToken(rk))
	}
	return r.content(c.level.contentType(), w.list(items)), nil
}

// tokenText is the base64 of the service's tokens, padded with dashes as in
// 1!12!Q2FiUXVlcnk- (seen in microsoft/AzureStorageExplorer#5434; the last two
// letters of the alphabet are a guess).
func tokenText() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*_").WithPadding('-')
}

// continuationToken looks like the service's: version, length, opaque text.
func continuationToken(key string) string {
	text := tokenText().EncodeToString([]byte(key))
	return "1!" + strconv.Itoa(len(text)) + "!" + text
}

// continuation is the row key at which the next page begins.
func continuation(c *command) ([]byte, error) {
	var keys [2]string
	for i, name := range []string{"NextPartitionKey", "NextRowKey"} {
		parts := strings.SplitN(c.query.Get(name), "!", 3)
		if len(parts) != 3 || parts[0] != "1" {
			return nil, invalid("The continuation token is not valid.")
		}
		key, err := tokenText().DecodeString(parts[2])
		if err != nil {
			return nil, invalid("The continuation token is not valid.")
		}
		keys[i] = string(key)
	}
	return rowKey(keys[0], keys[1]), nil
}
