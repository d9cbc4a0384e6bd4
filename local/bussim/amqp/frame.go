package amqp

import (
	"encoding/binary"
	"io"
)

// Frame types.
const (
	FrameAMQP byte = 0
	FrameSASL byte = 1
)

// Descriptor codes of performatives, SASL frames, terminus and error types,
// and delivery states.
const (
	CodeOpen        uint64 = 0x10
	CodeBegin       uint64 = 0x11
	CodeAttach      uint64 = 0x12
	CodeFlow        uint64 = 0x13
	CodeTransfer    uint64 = 0x14
	CodeDisposition uint64 = 0x15
	CodeDetach      uint64 = 0x16
	CodeEnd         uint64 = 0x17
	CodeClose       uint64 = 0x18
	CodeError       uint64 = 0x1d
	CodeAccepted    uint64 = 0x24
	CodeRejected    uint64 = 0x25
	CodeReleased    uint64 = 0x26
	CodeModified    uint64 = 0x27
	CodeSource      uint64 = 0x28
	CodeTarget      uint64 = 0x29

	CodeMechanisms uint64 = 0x40
	CodeInit       uint64 = 0x41
	CodeOutcome    uint64 = 0x44
)

// Frame is one frame; Body aliases nothing else. An empty Body keeps the
// connection alive.
type Frame struct {
	Type    byte
	Channel uint16
	Body    []byte
}

// ReadFrame reads a frame of at most limit bytes, its header included.
func ReadFrame(r io.Reader, limit uint32) (Frame, error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(h[:])
	skip := uint32(h[4]) * 4
	if size < 8 || size > limit || skip < 8 || skip > size {
		return Frame{}, malformed("frame of %d bytes, data offset %d, limit %d", size, skip, limit)
	}
	body := make([]byte, size-8)
	if _, err := io.ReadFull(r, body); err != nil {
		return Frame{}, err
	}
	return Frame{h[5], binary.BigEndian.Uint16(h[6:]), body[skip-8:]}, nil
}

// AppendFrame appends a frame whose body is the concatenation of parts.
func AppendFrame(dst []byte, kind byte, channel uint16, parts ...[]byte) []byte {
	size := 8
	for _, p := range parts {
		size += len(p)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, 2, kind)
	dst = binary.BigEndian.AppendUint16(dst, channel)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// Fields are those of a performative or another described list. Absent and
// null fields read as the zero value or the given default, and so do fields
// of a wrong type.
type Fields List

// Composite reads a described list from the front of b, and returns what
// follows it: the payload of a transfer.
func Composite(b []byte) (code uint64, f Fields, rest []byte, err error) {
	v, rest, err := Decode(b)
	if err != nil {
		return 0, nil, nil, err
	}
	code, f, ok := Apart(v)
	if !ok {
		return 0, nil, nil, malformed("not a performative")
	}
	return code, f, rest, nil
}

// Apart takes a described list with a numeric descriptor apart.
func Apart(v any) (code uint64, f Fields, ok bool) {
	d, ok := v.(Described)
	if !ok {
		return 0, nil, false
	}
	code, isCode := d.Descriptor.(uint64)
	list, isList := d.Value.(List)
	return code, Fields(list), isCode && isList
}

// New returns the described list with the given fields, trailing nulls cut.
func New(code uint64, fields ...any) Described {
	for len(fields) > 0 && fields[len(fields)-1] == nil {
		fields = fields[:len(fields)-1]
	}
	return Described{code, List(fields)}
}

// At returns field i, nil when absent.
func (f Fields) At(i int) any {
	if i >= len(f) {
		return nil
	}
	return f[i]
}

// Uint32 returns field i, or def.
func (f Fields) Uint32(i int, def uint32) uint32 {
	if v, ok := f.At(i).(uint32); ok {
		return v
	}
	return def
}

// Bool returns field i, or false.
func (f Fields) Bool(i int) bool {
	v, _ := f.At(i).(bool)
	return v
}

// Text returns field i, a string or symbol, or "".
func (f Fields) Text(i int) string {
	s, _ := Text(f.At(i))
	return s
}
