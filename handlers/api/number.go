package api

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/go-json-experiment/json"
)

// PortNumber is the number of a port in a body or an answer. Whether a body has it is known, since 0 is a number too.
type PortNumber struct {
	number uint16
	given  bool
}

// PortOf gives a number that is there.
func PortOf(number uint16) PortNumber { return PortNumber{number, true} }

// Get gives the number, and whether there is one.
func (n PortNumber) Get() (uint16, bool) { return n.number, n.given }

// UnmarshalJSONFrom reads a number as every other of a body; null is none.
func (n *PortNumber) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	n.given = d.PeekKind() != 'n'
	return json.UnmarshalDecode(d, &n.number)
}

// MarshalJSONTo writes the number.
func (n PortNumber) MarshalJSONTo(e *jsontext.Encoder) error {
	return e.WriteToken(jsontext.Uint(uint64(n.number)))
}
