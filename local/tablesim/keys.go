package tablesim

import (
	"bytes"
	"unicode/utf16"
)

// rowKey is what a row is stored under: UTF-16(PartitionKey) 0x0000
// UTF-16(RowKey). Keys hold no control characters, so 0x0000 ends a partition
// key below everything that could continue it, and 0x0001 is above that end
// and still below every continuation.
func rowKey(pk, rk string) []byte {
	b := make([]byte, 0, 2*(len(pk)+len(rk)+1))
	b = appendUTF16(b, pk)
	b = append(b, 0, 0)
	return appendUTF16(b, rk)
}

func splitKey(key []byte) (pk, rk string) {
	for i := 0; i+1 < len(key); i += 2 {
		if key[i] == 0 && key[i+1] == 0 {
			return fromUTF16(key[:i]), fromUTF16(key[i+2:])
		}
	}
	return fromUTF16(key), ""
}

func fromUTF16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(u))
}

// span is a half-open range of UTF-16 bytes; a nil hi has no upper bound.
type span struct{ lo, hi []byte }

func (s span) intersect(t span) span {
	r := s
	if bytes.Compare(t.lo, r.lo) > 0 {
		r.lo = t.lo
	}
	if r.hi == nil || t.hi != nil && bytes.Compare(t.hi, r.hi) < 0 {
		r.hi = t.hi
	}
	return r
}

func (s span) hull(t span) span {
	r := s
	if bytes.Compare(t.lo, r.lo) < 0 {
		r.lo = t.lo
	}
	if r.hi != nil && (t.hi == nil || bytes.Compare(t.hi, r.hi) > 0) {
		r.hi = t.hi
	}
	return r
}

// comparisonSpan is the range of the keys that compare to s as asked. A
// literal with characters that no key may hold is not narrowed down.
func comparisonSpan(operator, s string) span {
	for _, r := range s {
		if r < ' ' {
			return span{}
		}
	}
	at := appendUTF16([]byte{}, s)
	after := append(bytes.Clone(at), 0, 1)
	switch operator {
	case "eq":
		return span{at, after}
	case "gt":
		return span{after, nil}
	case "ge":
		return span{at, nil}
	case "lt":
		return span{nil, at}
	case "le":
		return span{nil, after}
	}
	return span{}
}

// keySpans bounds the keys of what a filter can match.
type keySpans struct{ partition, row span }

func allKeys() keySpans { return keySpans{} }

func (k keySpans) intersect(l keySpans) keySpans {
	return keySpans{k.partition.intersect(l.partition), k.row.intersect(l.row)}
}

func (k keySpans) hull(l keySpans) keySpans {
	return keySpans{k.partition.hull(l.partition), k.row.hull(l.row)}
}

// rows is the range of stored keys to visit. The row span narrows it only
// inside a single partition.
func (k keySpans) rows() span {
	lo, hi := k.partition.lo, k.partition.hi
	if hi == nil || !bytes.Equal(hi, append(bytes.Clone(lo), 0, 1)) {
		return k.partition
	}
	r := span{append(append(bytes.Clone(lo), 0, 0), k.row.lo...), hi}
	if k.row.hi != nil {
		r.hi = append(append(bytes.Clone(lo), 0, 0), k.row.hi...)
	}
	return r
}
