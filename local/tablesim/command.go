package tablesim

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// command is one request, or one operation of a transaction, understood but
// not yet carried out.
type command struct {
	op      Operation
	table   string
	pk, rk  string
	ifMatch string
	change  *entity
	// quiet asks for no body after an insert (Prefer: return-no-content).
	quiet bool
	level metadata
	base  string
	query url.Values
	batch []*command
	// malformed is why an operation of a transaction is refused; it counts
	// when its turn comes.
	malformed error
}

// parseEntity reads a request on /table, /table() or /table(keys).
func (c *command) parseEntity(method, path string, header http.Header, body []byte) error {
	name, rest, keyed := strings.Cut(path, "(")
	if err := checkTableName(name); err != nil {
		return err
	}
	c.table = name
	c.quiet = strings.EqualFold(header.Get("Prefer"), "return-no-content")
	if !keyed || rest == ")" {
		switch method {
		case http.MethodGet:
			c.op = QueryEntities
			return nil
		case http.MethodPost:
			c.op = InsertEntity
			return c.parseInsert(body)
		}
		return refuse(codeMethodNotAllowed)
	}
	var ok bool
	if c.pk, c.rk, ok = parseKeys(rest); !ok {
		return refuse(codeInvalidInput)
	}
	if strings.Contains(c.pk+c.rk, "/") {
		// So it answers for keys in URLs: Azure/azure-cosmos-table-dotnet#64.
		return invalid("Bad Request - Error in query syntax.")
	}
	if err := checkKeys(c.pk, c.rk); err != nil {
		return err
	}
	c.ifMatch = header.Get("If-Match")
	return c.parseKeyed(method, body)
}

func (c *command) parseKeyed(method string, body []byte) error {
	if c.ifMatch != "" && c.ifMatch != "*" && !strings.HasPrefix(c.ifMatch, `W/"`) {
		return invalid("The etag value '" + c.ifMatch + "' specified in one of the request headers is not valid. Please make sure only one etag value is specified and is valid.")
	}
	switch method {
	case http.MethodGet:
		c.op = GetEntity
		return nil
	case http.MethodDelete:
		c.op = DeleteEntity
		if c.ifMatch == "" {
			return refuse(codeMissingHeader)
		}
		return nil
	case http.MethodPut:
		c.op = ReplaceEntity
		if c.ifMatch == "" {
			c.op = InsertOrReplaceEntity
		}
	case http.MethodPatch, "MERGE":
		c.op = MergeEntity
		if c.ifMatch == "" {
			c.op = InsertOrMergeEntity
		}
	default:
		return refuse(codeMethodNotAllowed)
	}
	d, err := decodeEntity(body)
	if err != nil {
		return err
	}
	if d.hasPK && d.entity.pk != c.pk || d.hasRK && d.entity.rk != c.rk {
		return invalid("The keys in the body differ from the keys in the URL.")
	}
	d.entity.pk, d.entity.rk = c.pk, c.rk
	c.change = &d.entity
	return d.entity.check()
}

func (c *command) parseInsert(body []byte) error {
	d, err := decodeEntity(body)
	if err != nil {
		return err
	}
	if !d.hasPK || !d.hasRK {
		return refuse(codePropertiesNeedValue)
	}
	c.pk, c.rk, c.change = d.entity.pk, d.entity.rk, &d.entity
	return d.entity.check()
}

// parseKeys reads PartitionKey='..',RowKey='..') with doubled quotes.
func parseKeys(text string) (pk, rk string, ok bool) {
	text, ok = strings.CutSuffix(text, ")")
	if !ok {
		return "", "", false
	}
	if pk, text, ok = parseKey(text, "PartitionKey='"); !ok {
		return "", "", false
	}
	if text, ok = strings.CutPrefix(text, ","); !ok {
		return "", "", false
	}
	rk, text, ok = parseKey(strings.TrimPrefix(text, " "), "RowKey='")
	return pk, rk, ok && text == ""
}

func parseKey(text, prefix string) (key, rest string, ok bool) {
	if !strings.HasPrefix(text, prefix) {
		return "", "", false
	}
	l := lexer{text: text, at: len(prefix) - 1}
	key, err := l.quoted()
	return key, text[l.at:], err == nil
}

// apply carries out a write and returns what is then stored, nil after a delete.
func (c *command) apply(t transaction, now time.Time) (*entity, error) {
	rows, err := t.rows(c.table)
	if err != nil {
		return nil, err
	}
	old, err := rows.get(c.pk, c.rk)
	if err != nil {
		return nil, err
	}
	if c.op == InsertEntity && old != nil {
		return nil, refuse(codeEntityExists)
	}
	if c.ifMatch != "" {
		if old == nil {
			return nil, refuse(codeResourceNotFound)
		}
		if c.ifMatch != "*" && c.ifMatch != etagOf(old.stamp) {
			return nil, refuse(codeCondition)
		}
	}
	if c.op == DeleteEntity {
		return nil, rows.delete(c.pk, c.rk)
	}
	stored := *c.change
	if old != nil && (c.op == MergeEntity || c.op == InsertOrMergeEntity) {
		stored = *old.merge(c.change)
		if err := stored.check(); err != nil {
			return nil, err
		}
	}
	if stored.stamp, err = t.stamp(now); err != nil {
		return nil, err
	}
	return &stored, rows.put(&stored)
}

// reply is the answer to a write that left stored behind.
func (c *command) reply(stored *entity, account string) *reply {
	r := newReply(http.StatusNoContent)
	if stored == nil {
		return r
	}
	r.header.Set("ETag", etagOf(stored.stamp))
	if c.op != InsertEntity {
		return r
	}
	w := writer{level: c.level, base: c.base, account: account, table: c.table}
	link := c.base + "/" + w.editLink(stored)
	r.header.Set("Location", link)
	if c.quiet {
		r.header.Set("DataServiceId", link)
		r.header.Set("Preference-Applied", "return-no-content")
		return r
	}
	r.status = http.StatusCreated
	return r.content(c.level.contentType(), w.entity(stored, true))
}
