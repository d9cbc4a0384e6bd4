package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Append appends the encoding of v, in the shortest form of its type. Any Go
// type that [Decode] does not produce is a mistake of the caller and panics.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, 0x40)
	case bool:
		if v {
			return append(dst, 0x41)
		}
		return append(dst, 0x42)
	case uint32:
		switch {
		case v == 0:
			return append(dst, 0x43)
		case v < 256:
			return append(dst, 0x52, byte(v))
		}
	case uint64:
		switch {
		case v == 0:
			return append(dst, 0x44)
		case v < 256:
			return append(dst, 0x53, byte(v))
		}
	case int32:
		if v == int32(int8(v)) {
			return append(dst, 0x54, byte(v))
		}
	case int64:
		if v == int64(int8(v)) {
			return append(dst, 0x55, byte(v))
		}
	case string:
		return appendVariable(dst, 0xa1, v)
	case Symbol:
		return appendVariable(dst, 0xa3, string(v))
	case []byte:
		return appendVariable(dst, 0xa0, string(v))
	case List:
		if len(v) == 0 {
			return append(dst, 0x45)
		}
		return shorten(appendBody(append(dst, 0xd0), v), len(dst))
	case Map:
		return shorten(appendBody(append(dst, 0xd1), v), len(dst))
	case Described:
		return Append(Append(append(dst, 0), v.Descriptor), v.Value)
	}
	return appendBody(append(dst, typeOf(v)), v)
}

// typeOf returns the widest format code of v's type.
func typeOf(v any) byte {
	switch v.(type) {
	case uint8:
		return 0x50
	case int8:
		return 0x51
	case uint16:
		return 0x60
	case int16:
		return 0x61
	case uint32:
		return 0x70
	case int32:
		return 0x71
	case float32:
		return 0x72
	case Char:
		return 0x73
	case Decimal32:
		return 0x74
	case uint64:
		return 0x80
	case int64:
		return TypeLong
	case float64:
		return 0x82
	case Timestamp:
		return TypeTimestamp
	case Decimal64:
		return 0x84
	case Decimal128:
		return 0x94
	case UUID:
		return TypeUUID
	case Array:
		return 0xf0
	}
	panic(fmt.Sprintf("amqp: no encoding for %T", v))
}

// appendBody appends v without a constructor, in the widest form of its type:
// that of an array's items.
func appendBody(dst []byte, v any) []byte {
	be := binary.BigEndian
	switch v := v.(type) {
	case nil:
		return dst
	case bool:
		if v {
			return append(dst, 1)
		}
		return append(dst, 0)
	case uint8:
		return append(dst, v)
	case int8:
		return append(dst, byte(v))
	case uint16:
		return be.AppendUint16(dst, v)
	case int16:
		return be.AppendUint16(dst, uint16(v))
	case uint32:
		return be.AppendUint32(dst, v)
	case int32:
		return be.AppendUint32(dst, uint32(v))
	case Char:
		return be.AppendUint32(dst, uint32(v))
	case float32:
		return be.AppendUint32(dst, math.Float32bits(v))
	case uint64:
		return be.AppendUint64(dst, v)
	case int64:
		return be.AppendUint64(dst, uint64(v))
	case Timestamp:
		return be.AppendUint64(dst, uint64(v))
	case float64:
		return be.AppendUint64(dst, math.Float64bits(v))
	case Decimal32:
		return append(dst, v[:]...)
	case Decimal64:
		return append(dst, v[:]...)
	case Decimal128:
		return append(dst, v[:]...)
	case UUID:
		return append(dst, v[:]...)
	case string:
		return append(be.AppendUint32(dst, uint32(len(v))), v...)
	case Symbol:
		return append(be.AppendUint32(dst, uint32(len(v))), v...)
	case []byte:
		return append(be.AppendUint32(dst, uint32(len(v))), v...)
	}
	return appendCompound(dst, v)
}

// appendCompound appends size, count and items, both in four bytes.
func appendCompound(dst []byte, v any) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	count := 0
	switch v := v.(type) {
	case List:
		count = len(v)
		for _, item := range v {
			dst = Append(dst, item)
		}
	case Map:
		count = 2 * len(v)
		for _, p := range v {
			dst = Append(Append(dst, p.Key), p.Value)
		}
	case Array:
		count = len(v.Items)
		if v.Descriptor != nil {
			dst = Append(append(dst, 0), v.Descriptor)
		}
		dst = append(dst, v.Type)
		for _, item := range v.Items {
			dst = appendBody(dst, item)
		}
	default:
		panic(fmt.Sprintf("amqp: no encoding for %T", v))
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(count))
	return dst
}

// shorten turns the list or map that begins at start into its one-byte form
// when size and count allow.
func shorten(dst []byte, start int) []byte {
	const header = 9 // format code, size, count
	items := dst[start+header:]
	count := binary.BigEndian.Uint32(dst[start+5:])
	if len(items)+1 > 255 || count > 255 {
		return dst
	}
	dst[start] -= 0x10
	dst[start+1] = byte(len(items) + 1)
	dst[start+2] = byte(count)
	n := copy(dst[start+3:], items)
	return dst[:start+3+n]
}

// appendVariable appends a string, symbol or binary; narrow is the format
// code for up to 255 bytes.
func appendVariable(dst []byte, narrow byte, s string) []byte {
	if len(s) < 256 {
		return append(append(dst, narrow, byte(len(s))), s...)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, narrow+0x10), uint32(len(s)))
	return append(dst, s...)
}
