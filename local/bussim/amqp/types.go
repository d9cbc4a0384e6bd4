// Package amqp is the AMQP 1.0 wire format that the Service Bus stand-in
// speaks: the type system, frames, and the sections of a message.
//
// It follows OASIS AMQP 1.0 part 1 (types), section 2.3 (framing) and section
// 3.2 (message format). Each AMQP type has its own Go type, so what was
// decoded encodes to the same type again; the width of an encoding is not
// kept (a long sent in eight bytes may leave in one).
//
// Decoding is for untrusted input: nesting is limited to [MaxDepth] and no
// input can make the decoder hold more values than it has bytes, plus a
// constant. Left out: described constructors inside described constructors of
// arrays, and symbolic descriptors of performatives.
package amqp

import "errors"

// MaxDepth is how deeply values may nest before [Decode] refuses them.
const MaxDepth = 32

// ErrMalformed is matched by every error about bytes that are not AMQP, or
// that go past a limit of this package.
var ErrMalformed = errors.New("malformed amqp")

// The Go types of AMQP values, beside nil, bool, the sized integers, float32,
// float64, string and []byte (binary).
type (
	// Symbol is an ASCII name from a constrained domain.
	Symbol string
	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64
	// UUID is in the byte order of RFC 4122.
	UUID [16]byte
	// Char is one UTF-32 character.
	Char uint32
	// Decimal32, Decimal64 and Decimal128 are kept as their encoded bytes.
	Decimal32 [4]byte
	// Decimal64 is an undecoded 64-bit decimal.
	Decimal64 [8]byte
	// Decimal128 is an undecoded 128-bit decimal.
	Decimal128 [16]byte
	// List is a sequence of values of any types.
	List []any
	// Map keeps the order of its pairs.
	Map []Pair
	// Pair is one entry of a [Map].
	Pair struct{ Key, Value any }
	// Array is a sequence of values of one type. Type is the widest format
	// code of that type (0x81 for a long, 0x83 timestamp, 0x98 uuid, 0xb1
	// string, 0xd0 list); Descriptor is nil unless the items are described.
	Array struct {
		Type       byte
		Descriptor any
		Items      []any
	}
	// Described is a value with a descriptor, usually a uint64 code.
	Described struct{ Descriptor, Value any }
)

// Format codes used for the items of arrays.
const (
	TypeLong      byte = 0x81
	TypeTimestamp byte = 0x83
	TypeUUID      byte = 0x98
	TypeSymbol    byte = 0xb3
)

// Lookup returns the value of a string or symbol key, nil when it is absent.
func (m Map) Lookup(key string) any {
	for _, p := range m {
		if name, ok := Text(p.Key); ok && name == key {
			return p.Value
		}
	}
	return nil
}

// With returns m with key set to value; an existing pair keeps its place and
// the type of its key. m itself is not changed.
func (m Map) With(key, value any) Map {
	out := make(Map, len(m), len(m)+1)
	copy(out, m)
	name, named := Text(key)
	for i, p := range out {
		if have, ok := Text(p.Key); ok && named && have == name {
			out[i].Value = value
			return out
		}
	}
	return append(out, Pair{key, value})
}

// Text returns the characters of a string or a symbol.
func Text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case Symbol:
		return string(v), true
	}
	return "", false
}

// Integer returns the value of any integer type that fits an int64.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), int64(v) >= 0
	}
	return 0, false
}

// Items returns the elements of a list or an array.
func Items(v any) ([]any, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Array:
		return v.Items, true
	}
	return nil, false
}
