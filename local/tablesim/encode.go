package tablesim

import (
	"bytes"
	"encoding/base64"
	"math"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// metadata is how much OData annotation an answer carries.
type metadata byte

const (
	metadataMinimal metadata = iota
	metadataNone
	metadataFull
)

// parseMetadata reads $format, or else the Accept header.
func parseMetadata(format, accept string) (metadata, error) {
	text := format
	if text == "" {
		text = accept
	}
	text = strings.ReplaceAll(strings.ToLower(text), " ", "")
	switch {
	case strings.Contains(text, "odata=nometadata"):
		return metadataNone, nil
	case strings.Contains(text, "odata=fullmetadata"):
		return metadataFull, nil
	case text == "", strings.Contains(text, "json"), strings.Contains(text, "*/*"):
		return metadataMinimal, nil
	}
	return 0, refuse(codeAtomNotSupported)
}

func (m metadata) contentType() string {
	level := "minimalmetadata"
	switch m {
	case metadataNone:
		level = "nometadata"
	case metadataFull:
		level = "fullmetadata"
	}
	return "application/json;odata=" + level + ";streaming=true;charset=utf-8"
}

// object writes a JSON object with its members in the order they are added.
type object struct{ b []byte }

func newObject() *object { return &object{b: []byte{'{'}} }

func (o *object) raw(name string, text []byte) {
	if len(o.b) > 1 {
		o.b = append(o.b, ',')
	}
	o.b = appendJSON(o.b, name)
	o.b = append(o.b, ':')
	o.b = append(o.b, text...)
}

func (o *object) text(name, s string) { o.raw(name, appendJSON(nil, s)) }

func (o *object) bytes() []byte { return append(o.b, '}') }

func appendJSON(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // what is no UTF-8 is replaced, as encoding/json has it
	return b
}

// writer turns entities of one table into JSON.
type writer struct {
	level   metadata
	base    string // https://host[/account]
	account string
	table   string
	only    map[string]bool // nil: every property
}

func (w writer) selected(name string) bool { return w.only == nil || w.only[name] }

func (w writer) editLink(e *entity) string {
	quote := func(s string) string { return url.PathEscape(strings.ReplaceAll(s, "'", "''")) }
	return w.table + "(PartitionKey='" + quote(e.pk) + "',RowKey='" + quote(e.rk) + "')"
}

// entity encodes e; single is for an answer that is this one entity.
func (w writer) entity(e *entity, single bool) []byte {
	o := newObject()
	if single && w.level != metadataNone {
		o.text("odata.metadata", w.base+"/$metadata#"+w.table+"/@Element")
	}
	if w.level == metadataFull {
		o.text("odata.type", w.account+"."+w.table)
		o.text("odata.id", w.base+"/"+w.editLink(e))
	}
	if w.level != metadataNone {
		o.text("odata.etag", etagOf(e.stamp))
	}
	if w.level == metadataFull {
		o.text("odata.editLink", w.editLink(e))
	}
	if w.selected("PartitionKey") {
		o.text("PartitionKey", e.pk)
	}
	if w.selected("RowKey") {
		o.text("RowKey", e.rk)
	}
	if w.selected("Timestamp") {
		if w.level == metadataFull {
			o.text("Timestamp@odata.type", "Edm.DateTime")
		}
		o.text("Timestamp", fromTicks(e.stamp).Format(stampLayout))
	}
	for _, p := range e.props {
		if !w.selected(p.name) {
			continue
		}
		if w.level != metadataNone && p.value.annotated() {
			o.text(p.name+"@odata.type", p.value.kind.edm())
		}
		o.raw(p.name, p.value.json())
	}
	return o.bytes()
}

// encoded remembers how rows were encoded last: a list reads the same rows again and again. The zero value is empty.
type encoded struct {
	mu   sync.Mutex
	rows map[string]encodedRow // by what they were encoded for, and their keys
}

type encodedRow struct {
	row    []byte
	entity *entity
	text   []byte
}

const mostEncoded = 1 << 14 // rows

// of decodes a row and encodes it for a list. What it returns is shared.
func (c *encoded) of(w writer, key, row []byte) (*entity, []byte, error) {
	at := string(rune(w.level)) + w.base + "\x00" + w.table + "\x00" + string(key)
	c.mu.Lock()
	known, found := c.rows[at]
	c.mu.Unlock()
	if found && w.only == nil && bytes.Equal(known.row, row) {
		return known.entity, known.text, nil
	}
	e, err := decodeRow(key, row)
	if err != nil {
		return nil, nil, err
	}
	text := w.entity(e, false)
	if w.only == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.rows == nil || len(c.rows) >= mostEncoded {
			c.rows = map[string]encodedRow{}
		}
		c.rows[at] = encodedRow{bytes.Clone(row), e, text}
	}
	return e, text, nil
}

// list encodes a page of already encoded entities.
func (w writer) list(items [][]byte) []byte {
	o := newObject()
	if w.level != metadataNone {
		o.text("odata.metadata", w.base+"/$metadata#"+w.table)
	}
	b := []byte{'['}
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	o.raw("value", append(b, ']'))
	return o.bytes()
}

func (v value) finite() bool { return !math.IsNaN(v.f) && !math.IsInf(v.f, 0) }

// annotated tells whether the type cannot be seen from the JSON alone.
func (v value) annotated() bool {
	switch v.kind {
	case kindInt64, kindDateTime, kindGUID, kindBinary:
		return true
	case kindDouble:
		return !v.finite()
	}
	return false
}

func (v value) json() []byte {
	switch v.kind {
	case kindInt32:
		return strconv.AppendInt(nil, v.n, 10)
	case kindInt64:
		return []byte(`"` + strconv.FormatInt(v.n, 10) + `"`)
	case kindBool:
		return strconv.AppendBool(nil, v.n != 0)
	case kindDateTime:
		return []byte(`"` + fromTicks(v.n).Format(stampLayout) + `"`)
	case kindBinary:
		return []byte(`"` + base64.StdEncoding.EncodeToString([]byte(v.s)) + `"`)
	case kindDouble:
		return v.double()
	}
	return appendJSON(nil, v.s)
}

// double always keeps a decimal point or exponent, so that 2.0 stays a Double.
func (v value) double() []byte {
	switch {
	case math.IsNaN(v.f):
		return []byte(`"NaN"`)
	case math.IsInf(v.f, 1):
		return []byte(`"Infinity"`)
	case math.IsInf(v.f, -1):
		return []byte(`"-Infinity"`)
	}
	text := strconv.FormatFloat(v.f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text)
}
