package amqp

// Descriptor codes of message sections.
const (
	CodeHeader                uint64 = 0x70
	CodeDeliveryAnnotations   uint64 = 0x71
	CodeMessageAnnotations    uint64 = 0x72
	CodeProperties            uint64 = 0x73
	CodeApplicationProperties uint64 = 0x74
	CodeData                  uint64 = 0x75
	CodeSequence              uint64 = 0x76
	CodeValue                 uint64 = 0x77
	CodeFooter                uint64 = 0x78
)

// Section is one section of a message. Raw is its whole encoding.
type Section struct {
	Code  uint64
	Value any
	Raw   []byte
}

// Sections splits an encoded message. The sections must be known ones in the
// order of the specification, with values of the right kind; only data and
// sequence sections may repeat.
func Sections(b []byte) ([]Section, error) {
	var out []Section
	last := CodeHeader - 1
	for len(b) > 0 {
		v, rest, err := Decode(b)
		if err != nil {
			return nil, err
		}
		d, _ := v.(Described)
		code, ok := d.Descriptor.(uint64)
		if !ok || code < CodeHeader || code > CodeFooter {
			return nil, malformed("not a message section")
		}
		if code < last || code == last && code != CodeData && code != CodeSequence {
			return nil, malformed("section %#x after %#x", code, last)
		}
		if !fits(code, d.Value) {
			return nil, malformed("section %#x holds a %T", code, d.Value)
		}
		out = append(out, Section{code, d.Value, b[:len(b)-len(rest)]})
		b, last = rest, code
	}
	return out, nil
}

// fits reports whether v is the kind of value that section code holds.
func fits(code uint64, v any) (ok bool) {
	switch code {
	case CodeHeader, CodeProperties, CodeSequence:
		_, ok = v.(List)
	case CodeDeliveryAnnotations, CodeMessageAnnotations, CodeApplicationProperties, CodeFooter:
		_, ok = v.(Map)
	case CodeData:
		_, ok = v.([]byte)
	case CodeValue:
		ok = true
	}
	return ok
}
