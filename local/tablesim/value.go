package tablesim

import (
	"cmp"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// kind is an Edm primitive type. The numbers are stored; never renumber them.
type kind byte

const (
	kindString kind = iota + 1
	kindInt32
	kindInt64
	kindDouble
	kindBool
	kindDateTime
	kindGUID
	kindBinary
)

// stampLayout prints an Edm.DateTime: UTC, with up to seven decimals.
const stampLayout = "2006-01-02T15:04:05.9999999Z"

// value is one Edm value. Strings, guids (lower case) and binary bytes are in
// s; integers, booleans (0 or 1) and date times (100 ns ticks since 1970) in n.
type value struct {
	kind kind
	s    string
	n    int64
	f    float64
}

func (k kind) edm() string {
	switch k {
	case kindInt32:
		return "Edm.Int32"
	case kindInt64:
		return "Edm.Int64"
	case kindDouble:
		return "Edm.Double"
	case kindBool:
		return "Edm.Boolean"
	case kindDateTime:
		return "Edm.DateTime"
	case kindGUID:
		return "Edm.Guid"
	case kindBinary:
		return "Edm.Binary"
	}
	return "Edm.String"
}

func kindOf(edm string) (kind, bool) {
	for k := kindString; k <= kindBinary; k++ {
		if k.edm() == edm {
			return k, true
		}
	}
	return 0, false
}

// ticks counts 100 ns steps since 1970; time.UnixNano would overflow for the
// first and last centuries that the service takes.
func ticks(t time.Time) int64 { return t.Unix()*1e7 + int64(t.Nanosecond()/100) }

func fromTicks(n int64) time.Time {
	seconds, rest := n/1e7, n%1e7
	return time.Unix(seconds, rest*100).UTC()
}

func etagOf(stamp int64) string {
	text := strings.ReplaceAll(fromTicks(stamp).Format(stampLayout), ":", "%3A")
	return `W/"datetime'` + text + `'"`
}

func parseDateTime(s string) (value, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		// The service also takes a literal without a zone, as UTC.
		if t, err = time.Parse("2006-01-02T15:04:05.999999999", s); err != nil {
			return value{}, refuse(codeInvalidInput)
		}
	}
	t = t.UTC()
	if t.Year() < 1601 || t.Year() > 9999 { // the range of a Windows file time
		return value{}, refuse(codeOutOfRange)
	}
	return value{kind: kindDateTime, n: ticks(t)}, nil
}

func parseGUID(s string) (value, error) {
	if len(s) != 36 {
		return value{}, refuse(codeInvalidInput)
	}
	for i := range len(s) {
		c := s[i]
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !isHex(c) {
			return value{}, refuse(codeInvalidInput)
		}
	}
	return value{kind: kindGUID, s: strings.ToLower(s)}, nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// parseText reads the text of a value whose type an annotation names.
func parseText(k kind, s string) (value, error) {
	bad := refuse(codeInvalidInput)
	switch k {
	case kindString:
		return value{kind: k, s: s}, nil
	case kindInt32:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return value{}, bad
		}
		return value{kind: k, n: n}, nil
	case kindInt64:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return value{}, bad
		}
		return value{kind: k, n: n}, nil
	case kindDouble:
		return parseDouble(s)
	case kindBool:
		if s != "true" && s != "false" {
			return value{}, bad
		}
		return boolean(s == "true"), nil
	case kindDateTime:
		return parseDateTime(s)
	case kindGUID:
		return parseGUID(s)
	case kindBinary:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return value{}, bad
		}
		return value{kind: k, s: string(b)}, nil
	}
	return value{}, bad
}

func parseDouble(s string) (value, error) {
	switch s {
	case "NaN":
		return value{kind: kindDouble, f: math.NaN()}, nil
	case "Infinity":
		return value{kind: kindDouble, f: math.Inf(1)}, nil
	case "-Infinity":
		return value{kind: kindDouble, f: math.Inf(-1)}, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	// ParseFloat also takes hexadecimal and words; decimal digits only here.
	if err != nil || strings.Trim(s, "0123456789+-.eE") != "" {
		return value{}, refuse(codeInvalidInput)
	}
	return value{kind: kindDouble, f: f}, nil
}

func boolean(b bool) value {
	v := value{kind: kindBool}
	if b {
		v.n = 1
	}
	return v
}

func (v value) numeric() bool {
	return v.kind == kindInt32 || v.kind == kindInt64 || v.kind == kindDouble
}

// compare orders v and w. ok is false when their types do not compare, and
// for NaN.
func (v value) compare(w value) (order int, ok bool) {
	switch {
	case v.numeric() && w.numeric():
		if v.kind != kindDouble && w.kind != kindDouble {
			return cmp.Compare(v.n, w.n), true
		}
		a, b := v.float(), w.float()
		return cmp.Compare(a, b), !math.IsNaN(a) && !math.IsNaN(b)
	case v.kind != w.kind:
		return 0, false
	case v.kind == kindString:
		return compareOrdinal(v.s, w.s), true
	case v.kind == kindGUID, v.kind == kindBinary:
		return strings.Compare(v.s, w.s), true
	}
	return cmp.Compare(v.n, w.n), true
}

func (v value) float() float64 {
	if v.kind == kindDouble {
		return v.f
	}
	return float64(v.n)
}

// compareOrdinal compares by UTF-16 code units, as .NET's ordinal order does.
// It differs from byte order only where a surrogate meets U+E000 to U+FFFF.
func compareOrdinal(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] >= 0xee || b[i] >= 0xee {
			return strings.Compare(string(appendUTF16(nil, a)), string(appendUTF16(nil, b)))
		}
		if a[i] != b[i] {
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// appendUTF16 appends s as big-endian UTF-16, whose byte order is ordinal order.
func appendUTF16(b []byte, s string) []byte {
	for _, r := range s {
		if r < 0x10000 {
			b = append(b, byte(r>>8), byte(r))
			continue
		}
		hi, lo := utf16.EncodeRune(r)
		b = append(b, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
	}
	return b
}

// units is the length of s in UTF-16 code units, the service's "characters".
func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}
