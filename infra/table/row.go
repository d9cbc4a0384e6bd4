package table

import (
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
	maxOps         = 100       // operations in one transaction
	maxBatchBytes  = 3_500_000 // of 4 MiB, the rest is for what frames it
	opOverhead     = 1 << 10   // bytes that frame one operation
	maxKeyUnits    = 512       // of 1,024 characters; 1 KiB is also read as 512 UTF-16 units
	maxTextUnits   = 32 << 10  // UTF-16 units in one property, 64 KiB
	maxEntityBytes = 1 << 20
	maxProperties  = 252
	// insertBytes leaves an entity room to grow: what could be opened must not become
	// too large to be closed.
	insertBytes = maxEntityBytes / 2
)

var errTooLarge = errors.New("larger than Table Storage takes in one entity")

// writeColumn holds what tells one write of a row from every other.
const writeColumn = "Write"

// row is one entity: keys, a document, and the columns that filters use.
type row struct {
	partition, key string
	columns        map[string]any // string or bool
	doc            any
}

// encode gives the entity as JSON, or why the service would not take it.
func (r row) encode(limit int) ([]byte, error) {
	text, err := json.Marshal(r.doc)
	if err != nil {
		return nil, err
	}
	properties := maps.Clone(r.columns)
	if properties == nil {
		properties = map[string]any{}
	}
	for i, piece := range cut(string(text), maxTextUnits) {
		properties[docName(i)] = piece
	}
	if len(properties) > maxProperties {
		return nil, fmt.Errorf("%d properties: %w", len(properties), errTooLarge)
	}
	size := 4 + 2*(units(r.partition)+units(r.key))
	for name, value := range properties {
		size += 8 + 2*len(name) + 1
		if s, ok := value.(string); ok {
			if units(s) > maxTextUnits {
				return nil, fmt.Errorf("%s: %w", name, errTooLarge)
			}
			size += 4 + 2*units(s)
		}
	}
	if size > limit {
		return nil, fmt.Errorf("%d bytes of %d: %w", size, limit, errTooLarge)
	}
	for _, key := range []string{r.partition, r.key} {
		if err := validKey(key); err != nil {
			return nil, err
		}
	}
	properties["PartitionKey"], properties["RowKey"] = r.partition, r.key
	return json.Marshal(properties)
}

func docName(i int) string {
	if i == 0 {
		return "Doc"
	}
	return "Doc" + strconv.Itoa(i)
}

// cut splits text into pieces of at most max UTF-16 units, never inside a character.
func cut(text string, max int) []string {
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

func units(s string) int {
	n := 0
	for _, c := range s {
		n += utf16.RuneLen(c)
	}
	return n
}

func validKey(key string) error {
	if units(key) > maxKeyUnits || !utf8.ValidString(key) {
		return fmt.Errorf("key %.40q is too long or not text", key)
	}
	if i := strings.IndexFunc(key, func(c rune) bool {
		return strings.ContainsRune(`/\#?'%+`, c) || c < 0x20 || c >= 0x7f
	}); i >= 0 {
		return fmt.Errorf("key %q holds a character that a key may not", key)
	}
	return nil
}

// stored is an entity as it was read.
type stored struct {
	partition, key string
	etag           azcore.ETag
	text           string
	write          string // see row.sign
	properties     map[string]json.RawMessage
}

func decodeRow(data []byte) (stored, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return stored{}, fmt.Errorf("read an entity: %w", err)
	}
	text := func(name string) string {
		var s string
		if err := json.Unmarshal(all[name], &s); err != nil {
			return ""
		}
		return s
	}
	r := stored{partition: text("PartitionKey"), key: text("RowKey"), etag: azcore.ETag(text("odata.etag")), write: text(writeColumn), properties: all}
	var doc strings.Builder
	for i := 0; ; i++ {
		if _, ok := all[docName(i)]; !ok {
			break
		}
		doc.WriteString(text(docName(i)))
	}
	r.text = doc.String()
	return r, nil
}

// version is the format of documents. It is raised when one of before would be misread, or when an app of before must not
// write in its place: it refuses a newer one.
const version = 1

// read decodes a stored document into to, which embeds nothing but its fields.
func (r stored) read(to any) error {
	var v struct{ V int }
	if r.text == "" {
		return fmt.Errorf("entity %s|%s holds no document", r.partition, r.key)
	}
	if err := json.Unmarshal([]byte(r.text), &v); err != nil {
		return fmt.Errorf("read entity %s: %w", r.key, err)
	}
	if v.V != version {
		return fmt.Errorf("read entity %s: its format is version %d, this app reads version %d; a newer app wrote it", r.key, v.V, version)
	}
	if err := json.Unmarshal([]byte(r.text), to); err != nil {
		return fmt.Errorf("read entity %s: %w", r.key, err)
	}
	return nil
}

// digest gives a key's form of any text.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// safe gives a key's form of a short text that is a key already in practice, such as
// a UUID: letters, digits, '-' and '.' stay, any other byte becomes =XX. It is one
// to one. A long text is told by its digest.
func safe(s string) string {
	if len(s) > 100 {
		return "==" + digest(s)
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

func validTime(t time.Time) error {
	if t.Before(firstTime) || t.After(lastTime) {
		return fmt.Errorf("time %s is outside of %d to %d", t, firstTime.Year(), lastTime.Year())
	}
	return nil
}

// inverted gives a time such that later ones sort first: 19 digits.
func inverted(t time.Time) string { return fmt.Sprintf("%019d", math.MaxInt64-t.UnixNano()) }

// day names the partition of a time such that later days sort first.
func day(t time.Time) string {
	y, m, d := t.UTC().Date()
	return fmt.Sprintf("%08d", 99999999-(y*10000+int(m)*100+d))
}

// column gives a time such that the order of the text is that of time.
func column(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// columnText gives a text's form for a column and for a filter on it: itself, but
// its digest where it is long or holds what neither an entity nor an address takes.
func columnText(s string) string {
	if len(s) > 500 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "==" + digest(s)
	}
	return s
}
