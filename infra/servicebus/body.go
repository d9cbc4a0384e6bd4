package servicebus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// version is the format version of the body.
const version = 1

// maxBody bounds the bytes that Parse reads; our own bodies have under 100.
const maxBody = 1 << 10

// maxGrant bounds a grant id in characters; a UUID has 36. A message id may have at most 128.
const maxGrant = 64

// Body is the content of a message: check whether something of the grant has to close. Generation is the grant's
// when the message was sent.
type Body struct {
	Grant      string
	Generation int
	Remind     bool // nothing is to close: somebody is to be told that an end is near
}

// wire is Body as it is sent. The Functions host copies these names over the message's metadata, so none of them
// may be the name of a metadata property.
type wire struct {
	V          int    `json:"v"`
	Grant      string `json:"grant"`
	Generation int    `json:"generation"`
	Remind     bool   `json:"remind,omitempty"`
}

// Parse decodes the body of a message. It refuses what [Alarm.Schedule] would not have sent: another version,
// unknown names, a missing or malformed id, a generation below 1, anything after the object, more than 1 KiB. It
// does NOT ensure that the grant exists.
func Parse(body []byte) (Body, error) {
	if len(body) > maxBody {
		return Body{}, fmt.Errorf("read a message: %d bytes, more than %d", len(body), maxBody)
	}
	var v struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return Body{}, fmt.Errorf("read a message: %w", err)
	}
	if v.V != version {
		return Body{}, fmt.Errorf("read a message: its format is version %d, this app reads version %d", v.V, version)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var w wire
	if err := d.Decode(&w); err != nil {
		return Body{}, fmt.Errorf("read a message: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Body{}, errors.New("read a message: something follows the object")
	}
	b := Body{Grant: w.Grant, Generation: w.Generation, Remind: w.Remind}
	if err := b.validate(); err != nil {
		return Body{}, fmt.Errorf("read a message: %w", err)
	}
	return b, nil
}

func (b Body) validate() error {
	if b.Grant == "" || len(b.Grant) > maxGrant || strings.ContainsFunc(b.Grant, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-')
	}) {
		return fmt.Errorf("%.80q is not the id of a grant", b.Grant)
	}
	if b.Generation < 1 {
		return fmt.Errorf("generation %d is below 1", b.Generation)
	}
	return nil
}

func (b Body) encode() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	return json.Marshal(wire{V: version, Grant: b.Grant, Generation: b.Generation, Remind: b.Remind})
}
