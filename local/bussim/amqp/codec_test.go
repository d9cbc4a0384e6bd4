package amqp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	peer "github.com/Azure/go-amqp"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/bussim/amqp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	deep := bytes.Repeat([]byte{0x00}, 100)
	lists := []byte{0x45}
	for range amqp.MaxDepth + 1 {
		lists = append([]byte{0xc0, byte(len(lists) + 1), 1}, lists...)
	}
	// An array of 255 nulls takes four bytes; one is allowed, sixty are not.
	nulls := bytes.Repeat(unhex(t, "e002ff40"), 60)
	nulls = append([]byte{0xc0, byte(len(nulls) + 1), 60}, nulls...)
	for _, row := range []struct {
		name string
		in   []byte
	}{
		{"nothing", nil},
		{"unknown format code", unhex(t, "01")},
		{"unknown code of a fixed width", unhex(t, "5f00")},
		{"unknown code without bytes", unhex(t, "4f")},
		{"unknown variable code", unhex(t, "a200")},
		{"unknown compound code", unhex(t, "c20100")},
		{"fixed value cut short", unhex(t, "8100")},
		{"string cut short", unhex(t, "a10561")},
		{"length beyond int32", unhex(t, "b1ffffffff")},
		{"string is not UTF-8", unhex(t, "a101ff")},
		{"symbol is not ASCII", unhex(t, "a301ff")},
		{"boolean of 2", unhex(t, "5602")},
		{"list with bytes left over", unhex(t, "c00301 40 40")},
		{"list with items missing", unhex(t, "c00202 40")},
		{"map of three", unhex(t, "c10403 404040")},
		{"list without room for its count", unhex(t, "c000")},
		{"descriptors nested too deep", deep},
		{"lists nested too deep", lists},
		{"array of a billion nulls", unhex(t, "f000000005 3b9aca00 40")},
		{"list of arrays of nulls", nulls},
		{"array of an unknown type", unhex(t, "e00200 4f")},
		{"array with a null descriptor", unhex(t, "e00400 00 4040")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if v, _, err := amqp.Decode(row.in); !errors.Is(err, amqp.ErrMalformed) {
				t.Errorf("decoded to %#v, %v; want ErrMalformed", v, err)
			}
		})
	}
}

// values holds every type at its edges, with its encoding where that is fixed
// by examples of the specification.
var values = []struct {
	name string
	hex  string // empty: only the round trip is tested
	v    any
}{
	{"null", "40", nil},
	{"true", "41", true},
	{"false", "42", false},
	{"ubyte", "50ff", uint8(255)},
	{"ushort", "60ffff", uint16(65535)},
	{"uint 0", "43", uint32(0)},
	{"uint small", "52ff", uint32(255)},
	{"uint", "7000000100", uint32(256)},
	{"ulong 0", "44", uint64(0)},
	{"ulong small", "53ff", uint64(255)},
	{"ulong", "800000000000000100", uint64(256)},
	{"byte", "5180", int8(-128)},
	{"short", "618000", int16(-32768)},
	{"int small", "54ff", int32(-1)},
	{"int", "7180000000", int32(math.MinInt32)},
	{"long small", "5580", int64(-128)},
	{"long", "81ffffffffffffff7f", int64(-129)},
	{"float", "723fc00000", float32(1.5)},
	{"double", "823ff8000000000000", 1.5},
	{"decimal32", "7401020304", amqp.Decimal32{1, 2, 3, 4}},
	{"decimal64", "", amqp.Decimal64{1}},
	{"decimal128", "", amqp.Decimal128{1}},
	{"char", "730001f600", amqp.Char(0x1f600)},
	{"timestamp", "83ffffffffffffffff", amqp.Timestamp(-1)},
	{"uuid", "", amqp.UUID{1, 2, 3}},
	{"binary", "a00101", []byte{1}},
	{"long binary", "", bytes.Repeat([]byte{7}, 300)},
	{"string", "a102c3a9", "é"},
	{"long string", "", strings.Repeat("x", 256)},
	{"symbol", "a30161", amqp.Symbol("a")},
	{"empty list", "45", amqp.List{}},
	{"list", "c00302 4041", amqp.List{nil, true}},
	{"long list", "", amqp.List{strings.Repeat("x", 250), "yyyyyyy"}},
	{"empty map", "c10100", amqp.Map{}},
	{"map", "", amqp.Map{{Key: "a", Value: int64(5)}, {Key: uint64(1), Value: nil}}},
	{"array of long", "f0000000150000000281 0000000000000001 ffffffffffffffff",
		amqp.Array{Type: amqp.TypeLong, Items: []any{int64(1), int64(-1)}}},
	{"array of string", "", amqp.Array{Type: 0xb1, Items: []any{"a", ""}}},
	{"array of lists", "", amqp.Array{Type: 0xd0, Items: []any{amqp.List{int64(1)}, amqp.List{}}}},
	{"array of described", "", amqp.Array{Type: 0xd0, Descriptor: uint64(3), Items: []any{amqp.List{}}}},
	{"described", "005370 45", amqp.Described{Descriptor: uint64(0x70), Value: amqp.List{}}},
}

func TestRoundTrip(t *testing.T) {
	for _, row := range values {
		t.Run(row.name, func(t *testing.T) {
			b := amqp.Append(nil, row.v)
			if row.hex != "" && !bytes.Equal(b, unhex(t, row.hex)) {
				t.Errorf("encoded as %x, want %s", b, row.hex)
			}
			got, rest, err := amqp.Decode(append(b, 0xee))
			if err != nil || !bytes.Equal(rest, []byte{0xee}) {
				t.Fatalf("decode: %v, rest %x", err, rest)
			}
			if d := cmp.Diff(row.v, got); d != "" {
				t.Errorf("value (-want +got):\n%s", d)
			}
		})
	}
}

// FuzzDecode checks that decoding ends, and that what was decoded encodes to
// bytes that mean the same and are stable.
func FuzzDecode(f *testing.F) {
	for _, row := range values {
		f.Add(amqp.Append(nil, row.v))
	}
	f.Add([]byte{0xe0, 2, 3, 0x43})
	f.Add([]byte{0xf0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0x53, 1, 0x45})
	f.Fuzz(func(t *testing.T, in []byte) {
		v, rest, err := amqp.Decode(in)
		if err != nil {
			if !errors.Is(err, amqp.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if !bytes.HasSuffix(in, rest) {
			t.Fatalf("rest %x is not the end of %x", rest, in)
		}
		once := amqp.Append(nil, v)
		again, rest, err := amqp.Decode(once)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%x decoded to %#v, whose encoding %x does not decode: %v, rest %x", in, v, once, err, rest)
		}
		if twice := amqp.Append(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%x encodes as %x, then as %x", in, once, twice)
		}
	})
}

// FuzzSections checks that the sections of a message are all of its bytes.
func FuzzSections(f *testing.F) {
	b, err := message().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		sections, err := amqp.Sections(in)
		if err != nil {
			return
		}
		var all []byte
		for _, s := range sections {
			all = append(all, s.Raw...)
		}
		if !bytes.Equal(all, in) {
			t.Fatalf("sections hold %x of %x", all, in)
		}
	})
}

func message() *peer.Message {
	subject := "s"
	return &peer.Message{
		Header:                &peer.MessageHeader{Durable: true, TTL: time.Minute, DeliveryCount: 2},
		Annotations:           peer.Annotations{"x-opt-partition-key": "p", "n": int64(-5)},
		Properties:            &peer.MessageProperties{MessageID: "id", Subject: &subject},
		ApplicationProperties: map[string]any{"u": peer.UUID{1}, "l": int64(1) << 40, "i": int32(3)},
		Data:                  [][]byte{[]byte("one"), []byte("two")},
	}
}

// TestAgreesWithGoAMQP decodes what Microsoft's codec encoded, encodes it, and
// has that codec read it.
func TestAgreesWithGoAMQP(t *testing.T) {
	sent := message()
	b, err := sent.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	sections, err := amqp.Sections(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, s := range sections {
		out = amqp.Append(out, amqp.Described{Descriptor: s.Code, Value: s.Value})
	}
	var got peer.Message
	if err := got.UnmarshalBinary(out); err != nil {
		t.Fatal(err)
	}
	got.Format = sent.Format
	for _, row := range []struct {
		name      string
		want, got any
	}{
		{"header", *sent.Header, *got.Header},
		{"annotations", sent.Annotations, got.Annotations},
		{"properties", *sent.Properties, *got.Properties},
		{"application properties", sent.ApplicationProperties, got.ApplicationProperties},
		{"data", sent.Data, got.Data},
	} {
		if d := cmp.Diff(row.want, row.got); d != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, d)
		}
	}
}

func TestSectionsRefuse(t *testing.T) {
	for _, row := range []struct{ name, hex string }{
		{"a bare value", "40"},
		{"an unknown section", "00537945"},
		{"properties before the header", "00537345 00537045"},
		{"two headers", "00537045 00537045"},
		{"a header that is a map", "005370c10100"},
		{"data that is a string", "005375a10161"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := amqp.Sections(unhex(t, row.hex)); !errors.Is(err, amqp.ErrMalformed) {
				t.Errorf("error %v, want ErrMalformed", err)
			}
		})
	}
}

func TestReadFrame(t *testing.T) {
	for _, row := range []struct {
		name, hex string
		ok        bool
	}{
		{"too small", "00000007 02 00 0000", false},
		{"too large", "00000201 02 00 0000", false},
		{"data offset inside the header", "00000008 01 00 0000", false},
		{"data offset behind the end", "00000008 03 00 0000", false},
		{"cut short", "0000000a 02 00 0000 01", false},
		{"empty", "00000008 02 00 0000", true},
		{"extended header", "0000000d 03 01 0007 ffffffff aa", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, err := amqp.ReadFrame(bytes.NewReader(unhex(t, row.hex)), 512)
			if (err == nil) != row.ok {
				t.Fatalf("frame %+v, error %v", f, err)
			}
			if row.name == "extended header" && (f.Type != amqp.FrameSASL || f.Channel != 7 || !bytes.Equal(f.Body, []byte{0xaa})) {
				t.Errorf("frame %+v", f)
			}
		})
	}
}
