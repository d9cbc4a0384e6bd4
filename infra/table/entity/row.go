package entity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// The service's limits (https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
// and .../azure/storage/tables/scalability-targets). They are held here since the
// public emulator holds few of them.
const (
	MaxOps         = 100       // operations in one transaction
	MaxBatchBytes  = 3_500_000 // of 4 MiB, the rest is for what frames it
	OpOverhead     = 1 << 10   // bytes that frame one operation
	maxKeyUnits    = 512       // of 1,024 characters; 1 KiB is also read as 512 UTF-16 units
	maxTextUnits   = 32 << 10  // UTF-16 units in one property, 64 KiB
	maxEntityBytes = 1 << 20
	maxProperties  = 252
	// InsertBytes leaves an entity room to grow: what could be opened must not become
	// too large to be closed.
	InsertBytes = maxEntityBytes / 2
)

var ErrTooLarge = errors.New("larger than Table Storage takes in one entity")

// WriteColumn holds what tells one write of a row from every other.
const WriteColumn = "Write"

// Row is one entity: keys, a document, and the columns that filters use.
type Row struct {
	Partition, Key string
	Columns        map[string]any // string or bool
	Doc            any
}

// encode gives the entity as JSON, or why the service would not take it.
func (r Row) encode(limit int) ([]byte, error) {
	text, err := json.Marshal(r.Doc)
	if err != nil {
		return nil, err
	}
	properties := maps.Clone(r.Columns)
	if properties == nil {
		properties = map[string]any{}
	}
	for i, piece := range Cut(string(text), maxTextUnits) {
		properties[docName(i)] = piece
	}
	if len(properties) > maxProperties {
		return nil, fmt.Errorf("%d properties: %w", len(properties), ErrTooLarge)
	}
	size := 4 + 2*(Units(r.Partition)+Units(r.Key))
	for name, value := range properties {
		size += 8 + 2*len(name) + 1
		if s, ok := value.(string); ok {
			if Units(s) > maxTextUnits {
				return nil, fmt.Errorf("%s: %w", name, ErrTooLarge)
			}
			size += 4 + 2*Units(s)
		}
	}
	if size > limit {
		return nil, fmt.Errorf("%d bytes of %d: %w", size, limit, ErrTooLarge)
	}
	for _, key := range []string{r.Partition, r.Key} {
		if err := ValidKey(key); err != nil {
			return nil, err
		}
	}
	properties["PartitionKey"], properties["RowKey"] = r.Partition, r.Key
	return json.Marshal(properties)
}

func docName(i int) string {
	if i == 0 {
		return "Doc"
	}
	return "Doc" + strconv.Itoa(i)
}

// Cut splits text into pieces of at most max UTF-16 units, never inside a character.
func Cut(text string, max int) []string {
	var pieces []string
	start, n := 0, 0
	for i, c := range text {
		size := utf16.RuneLen(c)
		if n+size > max {
			pieces, start, n = append(pieces, text[start:i]), i, 0
		}
		n += size
	}
	return append(pieces, text[start:])
}

func Units(s string) int {
	n := 0
	for _, c := range s {
		n += utf16.RuneLen(c)
	}
	return n
}

func ValidKey(key string) error {
	if Units(key) > maxKeyUnits || !utf8.ValidString(key) {
		return fmt.Errorf("key %.40q is too long or not text", key)
	}
	if i := strings.IndexFunc(key, func(c rune) bool {
		return strings.ContainsRune(`/\#?'%+`, c) || c < 0x20 || c >= 0x7f
	}); i >= 0 {
		return fmt.Errorf("key %q holds a character that a key may not", key)
	}
	return nil
}

// Stored is an entity as it was read.
type Stored struct {
	Partition, Key string
	ETag           azcore.ETag
	Text           string
	write          string // see row.sign
	raw            []byte
}

// DecodeRow reads an entity, whose bytes it keeps.
func DecodeRow(data []byte) (Stored, error) {
	r := Stored{raw: data}
	pieces := map[string]string{}
	err := members(data, func(name string, value []byte) error {
		switch {
		case name == "PartitionKey":
			r.Partition = textOf(value)
		case name == "RowKey":
			r.Key = textOf(value)
		case name == "odata.etag":
			r.ETag = azcore.ETag(textOf(value))
		case name == WriteColumn:
			r.write = textOf(value)
		case name == docName(0):
			r.Text = textOf(value)
		case strings.HasPrefix(name, docName(0)):
			pieces[name] = textOf(value)
		}
		return nil
	})
	if err != nil {
		return Stored{}, fmt.Errorf("read an entity: %w", err)
	}
	if len(pieces) > 0 && r.Text != "" {
		for i := 1; pieces[docName(i)] != ""; i++ {
			r.Text += pieces[docName(i)]
		}
	}
	return r, nil
}

// Properties returns all properties, as the entity has them.
func (r Stored) Properties() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	_ = members(r.raw, func(name string, value []byte) error { all[name] = value; return nil }) // DecodeRow has read them
	return all
}

// Version is the format of documents. It is raised when one of before would be misread, or when an app of before must not
// write in its place: it refuses a newer one.
const Version = 1

// Read decodes a stored document into to, which embeds nothing but its fields.
func (r Stored) Read(to any) error {
	if r.Text == "" {
		return fmt.Errorf("entity %s|%s holds no document", r.Partition, r.Key)
	}
	text, version := []byte(r.Text), 0
	err := members(text, func(name string, value []byte) error {
		if name != "V" {
			return nil
		}
		return json.Unmarshal(value, &version)
	})
	if err != nil {
		return fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	if version != Version {
		return fmt.Errorf("read entity %s: its format is version %d, this app reads version %d; a newer app wrote it", r.Key, version, Version)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	return nil
}

// Digest gives a key's form of any text.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Safe gives a key's form of a short text that is a key already in practice, such as
// a UUID: letters, digits, '-' and '.' stay, any other byte becomes =XX. It is one
// to one. A long text is told by its digest.
func Safe(s string) string {
	if len(s) > 100 {
		return "==" + Digest(s)
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// The times that a key can hold, since they are written in nanoseconds.
var (
	firstTime = time.Unix(0, 0).UTC()
	lastTime  = time.Unix(0, math.MaxInt64).UTC()
)

func ValidTime(t time.Time) error {
	if t.Before(firstTime) || t.After(lastTime) {
		return fmt.Errorf("time %s is outside of %d to %d", t, firstTime.Year(), lastTime.Year())
	}
	return nil
}

// Inverted gives a time such that later ones sort first: 19 digits.
func Inverted(t time.Time) string { return fmt.Sprintf("%019d", math.MaxInt64-t.UnixNano()) }

// Day names the partition of a time such that later days sort first.
func Day(t time.Time) string {
	y, m, d := t.UTC().Date()
	return fmt.Sprintf("%08d", 99999999-(y*10000+int(m)*100+d))
}

// Column gives a time such that the order of the text is that of time.
func Column(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// ColumnText gives a text's form for a column and for a filter on it: itself, but
// its digest where it is long or holds what neither an entity nor an address takes.
func ColumnText(s string) string {
	if len(s) > 500 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "==" + Digest(s)
	}
	return s
}

// Is reports whether the row is exactly what the app writes, whatever the service adds.
func (r Stored) Is(want Row) bool {
	body, err := want.encode(maxEntityBytes)
	if err != nil {
		return false
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return false
	}
	properties := r.Properties()
	for name, value := range all {
		if got, ok := properties[name]; !ok || !sameJSON(got, value) {
			return false
		}
	}
	for name := range properties {
		if _, ok := all[name]; !ok && name != "Timestamp" && !strings.Contains(name, "odata.") {
			return false
		}
	}
	return true
}

// sameJSON compares two strings as texts, and anything else as bytes.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y string
	if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
		return x == y
	}
	return false
}
