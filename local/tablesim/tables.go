package tablesim

import (
	"net/http"
	"strconv"
	"strings"
)

// parseTables reads a request on /Tables or /Tables('name').
func (c *command) parseTables(r *http.Request, path string, body []byte) error {
	c.quiet = strings.EqualFold(r.Header.Get("Prefer"), "return-no-content")
	if name, ok := strings.CutPrefix(path, "Tables('"); ok {
		if c.table, ok = strings.CutSuffix(name, "')"); !ok {
			return refuse(codeInvalidInput)
		}
		if r.Method != http.MethodDelete {
			return refuse(codeMethodNotAllowed)
		}
		c.op = DeleteTable
		return checkTableName(c.table)
	}
	if path != "Tables" && path != "Tables()" {
		return refuse(codeInvalidInput)
	}
	switch r.Method {
	case http.MethodGet:
		c.op = ListTables
		return nil
	case http.MethodPost:
		c.op = CreateTable
		members, err := decodeObject(body)
		if err != nil {
			return err
		}
		for _, m := range members {
			if name, ok := m.token.(string); ok && m.name == "TableName" {
				c.table = name
			}
		}
		return checkTableName(c.table)
	}
	return refuse(codeMethodNotAllowed)
}

func (s *Server) executeTables(c *command) (*reply, error) {
	switch c.op {
	case CreateTable:
		if err := s.store.update(func(t transaction) error { return t.createTable(c.table) }); err != nil {
			return nil, err
		}
		return c.tableCreated(), nil
	case DeleteTable:
		err := s.store.update(func(t transaction) error { return t.deleteTable(c.table) })
		return newReply(http.StatusNoContent), err
	}
	return s.listTables(c)
}

func (c *command) tableCreated() *reply {
	link := c.base + "/Tables('" + c.table + "')"
	r := newReply(http.StatusCreated)
	r.header.Set("Location", link)
	if c.quiet {
		r.status = http.StatusNoContent
		r.header.Set("DataServiceId", link)
		r.header.Set("Preference-Applied", "return-no-content")
		return r
	}
	o := newObject()
	if c.level != metadataNone {
		o.text("odata.metadata", c.base+"/$metadata#Tables/@Element")
	}
	o.text("TableName", c.table)
	return r.content(c.level.contentType(), o.bytes())
}

func (s *Server) listTables(c *command) (*reply, error) {
	f, err := parseFilter(c.query.Get("$filter"))
	if err != nil {
		return nil, err
	}
	limit, err := s.limit(c)
	if err != nil {
		return nil, err
	}
	var items [][]byte
	next := ""
	err = s.store.view(func(t transaction) error {
		t.tables(strings.ToLower(c.query.Get("NextTableName")), func(name string) bool {
			if len(items) == limit {
				next = name
				return false
			}
			row := entity{props: []property{{"TableName", value{kind: kindString, s: name}}}}
			if f.match(&row) {
				o := newObject()
				o.text("TableName", name)
				items = append(items, o.bytes())
			}
			return true
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := newReply(http.StatusOK)
	if next != "" {
		r.header.Set("X-Ms-Continuation-Nexttablename", next)
	}
	w := writer{level: c.level, base: c.base, table: "Tables"}
	return r.content(c.level.contentType(), w.list(items)), nil
}

// limit is the number of items a page may hold.
func (s *Server) limit(c *command) (int, error) {
	limit := s.faults.pageLimit()
	if !c.query.Has("$top") {
		return limit, nil
	}
	top, err := strconv.Atoi(c.query.Get("$top"))
	if err != nil || top < 1 {
		return 0, refuse(codeInvalidInput)
	}
	return min(top, limit), nil
}
