package tablesim

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the service
// (https://learn.microsoft.com/azure/storage/tables/scalability-targets and
// https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
const (
	maxKeyUnits      = 1024
	maxProperties    = 252
	maxNameUnits     = 255
	maxValueBytes    = 64 << 10
	maxEntityBytes   = 1 << 20
	maxBodyBytes     = 4 << 20
	maxPageEntities  = 1000
	maxBatchCommands = 100
)

type property struct {
	name  string
	value value
}

// entity is one row. stamp is its Timestamp in ticks and the source of its ETag.
type entity struct {
	pk, rk string
	stamp  int64
	props  []property
}

func (e *entity) lookup(name string) (value, bool) {
	switch name {
	case "PartitionKey":
		return value{kind: kindString, s: e.pk}, true
	case "RowKey":
		return value{kind: kindString, s: e.rk}, true
	case "Timestamp":
		return value{kind: kindDateTime, n: e.stamp}, true
	}
	for _, p := range e.props {
		if p.name == name {
			return p.value, true
		}
	}
	return value{}, false
}

// merge lays the properties of change over those of e, in a new entity.
func (e *entity) merge(change *entity) *entity {
	merged := &entity{pk: e.pk, rk: e.rk, props: append([]property(nil), e.props...)}
	at := make(map[string]int, len(merged.props))
	for i, p := range merged.props {
		at[p.name] = i
	}
	for _, p := range change.props {
		if i, ok := at[p.name]; ok {
			merged.props[i] = p
		} else {
			merged.props = append(merged.props, p)
		}
	}
	return merged
}

// size is the entity's storage size by the service's published formula.
func (e *entity) size() int {
	n := 4 + 2*(units(e.pk)+units(e.rk))
	for _, p := range e.props {
		n += 8 + 2*units(p.name)
		switch p.value.kind {
		case kindString:
			n += 4 + 2*units(p.value.s)
		case kindBinary:
			n += 4 + len(p.value.s)
		case kindGUID:
			n += 16
		case kindInt32:
			n += 4
		case kindBool:
			n++
		default:
			n += 8
		}
	}
	return n
}

// check refuses what the service would not store.
func (e *entity) check() error {
	if err := checkKeys(e.pk, e.rk); err != nil {
		return err
	}
	if len(e.props) > maxProperties {
		return refuse(codeTooManyProperties)
	}
	for _, p := range e.props {
		if err := checkName(p.name); err != nil {
			return err
		}
		if p.value.kind == kindString && 2*units(p.value.s) > maxValueBytes ||
			p.value.kind == kindBinary && len(p.value.s) > maxValueBytes {
			return refuse(codeValueTooLarge)
		}
	}
	if e.size() > maxEntityBytes {
		return refuse(codeEntityTooLarge)
	}
	return nil
}

func checkKeys(pk, rk string) error {
	if err := checkKey("PartitionKey", pk); err != nil {
		return err
	}
	return checkKey("RowKey", rk)
}

func checkKey(name, key string) error {
	if !utf8.ValidString(key) {
		return refuse(codeInvalidInput)
	}
	if units(key) > maxKeyUnits {
		return refuse(codeKeyTooLarge)
	}
	for _, r := range key {
		if strings.ContainsRune(`/\#?`, r) || unicode.IsControl(r) {
			return &refusal{code: codeOutOfRange, detail: "The '" + name + "' parameter of value '" + key + "' is out of range."}
		}
	}
	return nil
}

// checkName holds property names to the grammar of C# identifiers.
func checkName(name string) error {
	if units(name) > maxNameUnits {
		return refuse(codeNameTooLong)
	}
	for i, r := range name {
		letter := r == '_' || unicode.IsLetter(r)
		if !letter && (i == 0 || !unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc, unicode.Cf)) {
			return refuse(codeNameInvalid)
		}
	}
	if name == "" {
		return refuse(codeNameInvalid)
	}
	return nil
}

// checkTableName holds table names to letters and digits, 3 to 63 of them,
// beginning with a letter. "tables" is reserved.
func checkTableName(name string) error {
	if len(name) < 3 || len(name) > 63 {
		return refuse(codeOutOfRange)
	}
	for i := range len(name) {
		c := name[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || name[i] < '0' || name[i] > '9') {
			return refuse(codeInvalidName)
		}
	}
	if strings.EqualFold(name, "tables") {
		return refuse(codeInvalidInput)
	}
	return nil
}

// document is an entity as a request body spells it: the keys may be absent.
type document struct {
	entity       entity
	hasPK, hasRK bool
}

// member is one member of a JSON object, in the order of the text.
type member struct {
	name  string
	token json.Token
}

func decodeObject(body []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, refuse(codeInvalidInput)
	}
	var members []member
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, refuse(codeInvalidInput)
		}
		token, err := dec.Token()
		if _, nested := token.(json.Delim); err != nil || nested {
			return nil, refuse(codeInvalidInput)
		}
		key := name.(string) // the decoder takes nothing else here
		if seen[key] {
			return nil, refuse(codeDuplicateProperties)
		}
		seen[key] = true
		members = append(members, member{key, token})
	}
	if _, err := dec.Token(); err != nil {
		return nil, refuse(codeInvalidInput)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, refuse(codeInvalidInput)
	}
	return members, nil
}

// decodeEntity reads an entity. Null properties, the Timestamp and odata
// annotations other than types are not stored, as the service does.
func decodeEntity(body []byte) (document, error) {
	members, err := decodeObject(body)
	if err != nil {
		return document{}, err
	}
	types := map[string]kind{}
	for _, m := range members {
		name, ok := strings.CutSuffix(m.name, "@odata.type")
		if !ok {
			continue
		}
		edm, _ := m.token.(string)
		k, known := kindOf(edm)
		if !known {
			return document{}, invalid("The type " + edm + " of the property " + name + " is not supported.")
		}
		types[name] = k
	}
	var d document
	for _, m := range members {
		if m.name == "Timestamp" || strings.HasPrefix(m.name, "odata.") || strings.Contains(m.name, "@odata.") || m.token == nil {
			continue
		}
		v, err := decodeValue(m.token, types[m.name])
		if err != nil {
			return document{}, err
		}
		switch {
		case m.name != "PartitionKey" && m.name != "RowKey":
			d.entity.props = append(d.entity.props, property{m.name, v})
		case v.kind != kindString:
			return document{}, refuse(codeInvalidInput)
		case m.name == "PartitionKey":
			d.entity.pk, d.hasPK = v.s, true
		default:
			d.entity.rk, d.hasRK = v.s, true
		}
	}
	return d, nil
}

// decodeValue gives a JSON token its Edm type: the annotated one, or the one
// that the service infers.
func decodeValue(token json.Token, annotated kind) (value, error) {
	var v value
	var err error
	switch t := token.(type) {
	case string:
		if annotated == 0 {
			annotated = kindString
		}
		if annotated == kindBool || annotated == kindInt32 {
			return value{}, refuse(codeInvalidInput)
		}
		v, err = parseText(annotated, t)
	case bool:
		if annotated != 0 && annotated != kindBool {
			return value{}, refuse(codeInvalidInput)
		}
		v = boolean(t)
	case json.Number:
		if annotated == 0 {
			annotated = kindInt32
			if strings.ContainsAny(t.String(), ".eE") {
				annotated = kindDouble
			}
		}
		if annotated != kindInt32 && annotated != kindInt64 && annotated != kindDouble {
			return value{}, refuse(codeInvalidInput)
		}
		v, err = parseText(annotated, t.String())
	default:
		err = refuse(codeInvalidInput)
	}
	return v, err
}
