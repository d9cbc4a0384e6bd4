package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// slack is how many values an input may hold beyond its number of bytes:
// elements of an array may have no bytes at all.
const slack = 256

// Decode reads one value from the front of b and returns it with the bytes
// after it. Binaries alias b.
func Decode(b []byte) (v any, rest []byte, err error) {
	d := decoder{b: b, budget: len(b) + slack}
	v, err = d.value(0)
	if err != nil {
		return nil, nil, err
	}
	return v, d.b, nil
}

type decoder struct {
	b      []byte
	budget int // values still allowed
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.b) {
		return nil, malformed("%d bytes wanted, %d left", n, len(d.b))
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p, nil
}

func (d *decoder) octet() (byte, error) {
	p, err := d.take(1)
	if err != nil {
		return 0, err
	}
	return p[0], nil
}

// value reads a constructor and the value it announces.
func (d *decoder) value(depth int) (any, error) {
	code, err := d.octet()
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return d.body(code, depth)
	}
	if depth >= MaxDepth {
		return nil, malformed("nested deeper than %d", MaxDepth)
	}
	descriptor, err := d.value(depth + 1)
	if err != nil {
		return nil, err
	}
	v, err := d.value(depth + 1)
	if err != nil {
		return nil, err
	}
	return Described{descriptor, v}, nil
}

// body reads the value that follows format code.
func (d *decoder) body(code byte, depth int) (any, error) {
	if d.budget--; d.budget < 0 {
		return nil, malformed("more values than bytes")
	}
	switch code >> 4 {
	case 0x4:
		return empty(code)
	case 0xa, 0xb:
		return d.variable(code)
	case 0xc, 0xd, 0xe, 0xf:
		return d.compound(code, depth)
	case 0x5, 0x6, 0x7, 0x8, 0x9:
		p, err := d.take(1 << (code>>4 - 5))
		if err != nil {
			return nil, err
		}
		return fixed(code, p)
	}
	return nil, malformed("format code %#x", code)
}

func empty(code byte) (any, error) {
	switch code {
	case 0x40:
		return nil, nil
	case 0x41:
		return true, nil
	case 0x42:
		return false, nil
	case 0x43:
		return uint32(0), nil
	case 0x44:
		return uint64(0), nil
	case 0x45:
		return List{}, nil
	}
	return nil, malformed("format code %#x", code)
}

func fixed(code byte, p []byte) (any, error) {
	switch code {
	case 0x50:
		return p[0], nil
	case 0x51:
		return int8(p[0]), nil
	case 0x52:
		return uint32(p[0]), nil
	case 0x53:
		return uint64(p[0]), nil
	case 0x54:
		return int32(int8(p[0])), nil
	case 0x55:
		return int64(int8(p[0])), nil
	case 0x56:
		if p[0] > 1 {
			return nil, malformed("boolean %#x", p[0])
		}
		return p[0] == 1, nil
	case 0x60:
		return binary.BigEndian.Uint16(p), nil
	case 0x61:
		return int16(binary.BigEndian.Uint16(p)), nil
	case 0x70:
		return binary.BigEndian.Uint32(p), nil
	case 0x71:
		return int32(binary.BigEndian.Uint32(p)), nil
	case 0x72:
		return math.Float32frombits(binary.BigEndian.Uint32(p)), nil
	case 0x73:
		return Char(binary.BigEndian.Uint32(p)), nil
	case 0x74:
		return Decimal32(p), nil
	case 0x80:
		return binary.BigEndian.Uint64(p), nil
	case 0x81:
		return int64(binary.BigEndian.Uint64(p)), nil
	case 0x82:
		return math.Float64frombits(binary.BigEndian.Uint64(p)), nil
	case 0x83:
		return Timestamp(binary.BigEndian.Uint64(p)), nil
	case 0x84:
		return Decimal64(p), nil
	case 0x94:
		return Decimal128(p), nil
	case 0x98:
		return UUID(p), nil
	}
	return nil, malformed("format code %#x", code)
}

// size reads a length in one byte, or in four when wide.
func (d *decoder) size(wide bool) (int, error) {
	if !wide {
		n, err := d.octet()
		return int(n), err
	}
	p, err := d.take(4)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(p)
	if n > math.MaxInt32 {
		return 0, malformed("length %d", n)
	}
	return int(n), nil
}

func (d *decoder) variable(code byte) (any, error) {
	n, err := d.size(code >= 0xb0)
	if err != nil {
		return nil, err
	}
	p, err := d.take(n)
	if err != nil {
		return nil, err
	}
	switch code & 0xf {
	case 0:
		return p, nil
	case 1:
		if !utf8.Valid(p) {
			return nil, malformed("string is not UTF-8")
		}
		return string(p), nil
	case 3:
		for _, c := range p {
			if c >= utf8.RuneSelf {
				return nil, malformed("symbol is not ASCII")
			}
		}
		return Symbol(p), nil
	}
	return nil, malformed("format code %#x", code)
}

// compound reads a list, a map or an array. Its items must fill its size.
func (d *decoder) compound(code byte, depth int) (v any, err error) {
	if depth >= MaxDepth {
		return nil, malformed("nested deeper than %d", MaxDepth)
	}
	wide := code&0x10 != 0
	n, err := d.size(wide)
	if err != nil {
		return nil, err
	}
	p, err := d.take(n)
	if err != nil {
		return nil, err
	}
	in := decoder{b: p, budget: d.budget}
	count, err := in.size(wide)
	if err != nil {
		return nil, err
	}
	if count > in.budget {
		return nil, malformed("%d items in %d bytes", count, n)
	}
	switch code {
	case 0xc0, 0xd0:
		v, err = in.list(count, depth+1)
	case 0xc1, 0xd1:
		v, err = in.pairs(count, depth+1)
	case 0xe0, 0xf0:
		v, err = in.array(count, depth+1)
	default:
		err = malformed("format code %#x", code)
	}
	if err == nil && len(in.b) != 0 {
		err = malformed("%d bytes after the last item", len(in.b))
	}
	d.budget = in.budget
	return v, err
}

func (d *decoder) list(count, depth int) (any, error) {
	out := List{}
	for range count {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *decoder) pairs(count, depth int) (any, error) {
	if count%2 != 0 {
		return nil, malformed("map of %d items", count)
	}
	out := Map{}
	for range count / 2 {
		k, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, Pair{k, v})
	}
	return out, nil
}

func (d *decoder) array(count, depth int) (any, error) {
	var out Array
	code, err := d.octet()
	if err != nil {
		return nil, err
	}
	if code == 0 {
		if out.Descriptor, err = d.value(depth); err != nil {
			return nil, err
		}
		if out.Descriptor == nil {
			return nil, malformed("null descriptor")
		}
		if code, err = d.octet(); err != nil {
			return nil, err
		}
	}
	out.Type = widest(code)
	for range count {
		v, err := d.body(code, depth)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	if out.Type == 0 {
		return nil, malformed("array of format code %#x", code)
	}
	return out, nil
}

// widest returns the format code that can hold every value of code's type,
// 0 for an unknown one.
func widest(code byte) byte {
	switch code {
	case 0x41, 0x42, 0x56:
		return 0x56
	case 0x43, 0x52:
		return 0x70
	case 0x44, 0x53:
		return 0x80
	case 0x45, 0xc0:
		return 0xd0
	case 0x54:
		return 0x71
	case 0x55:
		return 0x81
	case 0xa0, 0xa1, 0xa3, 0xc1, 0xe0:
		return code + 0x10
	case 0x40, 0x50, 0x51, 0x60, 0x61, 0x70, 0x71, 0x72, 0x73, 0x74, 0x80, 0x81, 0x82, 0x83, 0x84, 0x94, 0x98,
		0xb0, 0xb1, 0xb3, 0xd0, 0xd1, 0xf0:
		return code
	}
	return 0
}
