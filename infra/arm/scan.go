package arm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// scan reads a JSON text once, from front to back, and gives where its values stand. It takes what
// encoding/json takes, bytes that are no UTF-8 in strings included, and makes nothing of what nobody asked
// for: a list of security groups is megabytes, of which a reader wants a few words.
type scan struct {
	text  []byte
	at    int
	depth int
}

// deepest bounds how far values may stand in each other, as in encoding/json.
const deepest = 10000

var errSyntax = errors.New("not JSON")

func (s *scan) fail() error {
	if s.at >= len(s.text) {
		return fmt.Errorf("%w: %w", errSyntax, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%w at byte %d of %d", errSyntax, s.at, len(s.text))
}

// peek passes over white space and gives the next byte, 0 at the end.
func (s *scan) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// value passes over one value and gives where it stands.
func (s *scan) value() (Span, error) {
	c := s.peek()
	start := s.at
	var err error
	switch {
	case c == '{':
		err = s.object(nil)
	case c == '[':
		err = s.array(nil)
	case c == '"':
		err = s.string()
	case c == 't':
		err = s.word("true")
	case c == 'f':
		err = s.word("false")
	case c == 'n':
		err = s.word("null")
	default:
		err = s.number()
	}
	return Span{start, s.at}, err
}

// object passes over an object. each is called behind every name, which it is given as it is written, with its quotes,
// and has to pass over the value; where it is nil all are passed over.
func (s *scan) object(each func(name []byte) error) error {
	return s.list('{', '}', func() error {
		if s.peek() != '"' {
			return s.fail()
		}
		start := s.at
		if err := s.string(); err != nil {
			return err
		}
		name := s.text[start:s.at]
		if s.peek() != ':' {
			return s.fail()
		}
		s.at++
		if each != nil {
			return each(name)
		}
		_, err := s.value()
		return err
	})
}

// array passes over an array. each is called before every element and has to pass over it.
func (s *scan) array(each func() error) error {
	return s.list('[', ']', func() error {
		if each != nil {
			return each()
		}
		_, err := s.value()
		return err
	})
}

// list passes over what stands between two brackets, separated by commas.
func (s *scan) list(open, shut byte, each func() error) error {
	if s.peek() != open {
		return s.fail()
	}
	if s.depth++; s.depth > deepest {
		return s.fail()
	}
	s.at++
	if s.peek() == shut {
		s.at++
		s.depth--
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		c := s.peek()
		if c != ',' && c != shut {
			return s.fail()
		}
		if s.at++; c == shut {
			s.depth--
			return nil
		}
	}
}

func (s *scan) word(w string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		return s.fail()
	}
	s.at += len(w)
	return nil
}

func (s *scan) string() error {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c < ' ':
			return s.fail()
		case c == '\\':
			if s.at++; !s.escape() {
				return s.fail()
			}
		}
	}
	return s.fail()
}

// escape stands behind a backslash and goes to the last byte of what is escaped.
func (s *scan) escape() bool {
	if s.at >= len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.at++; s.at >= len(s.text) || !hex(s.text[s.at]) {
				return false
			}
		}
		return true
	}
	return false
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (s *scan) number() error {
	s.pass("-")
	switch {
	case s.pass("0"):
	case s.digits():
	default:
		return s.fail()
	}
	if s.pass(".") && !s.digits() {
		return s.fail()
	}
	if s.pass("eE") {
		s.pass("+-")
		if !s.digits() {
			return s.fail()
		}
	}
	return nil
}

// pass goes past the next byte where it is one of those given.
func (s *scan) pass(any string) bool {
	if s.at < len(s.text) && bytes.IndexByte([]byte(any), s.text[s.at]) >= 0 {
		s.at++
		return true
	}
	return false
}

func (s *scan) digits() bool {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// ended reports whether nothing is left to read.
func (s *scan) ended() bool { return s.peek() == 0 && s.at == len(s.text) }

// plain reports whether a text is a string that means what is written between its quotes.
func plain(written []byte) bool {
	if len(written) < 2 || written[0] != '"' || written[len(written)-1] != '"' {
		return false
	}
	for _, c := range written[1 : len(written)-1] {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// nameOf gives a member's name as it is meant.
func nameOf(written []byte) string {
	if plain(written) {
		return string(written[1 : len(written)-1])
	}
	var name string
	_ = json.Unmarshal(written, &name) // it has been passed over, and so can be read
	return name
}

// named reports whether nameOf would give the name.
func named(written []byte, name string) bool {
	if plain(written) {
		return string(written[1:len(written)-1]) == name
	}
	return nameOf(written) == name
}

// Listed is an element of a list: its id, "" where it has none, and its bytes.
type Listed struct {
	ID  string
	Raw json.RawMessage
}

// ReadPage reads a page of a list: its elements, whose bytes are those of text, and where the next page
// is, "" for the last one. It refuses what is no page, and one in which a part stands twice.
func ReadPage(text []byte) (value []Listed, next string, err error) {
	s := scan{text: text}
	values, links := 0, 0
	err = s.object(func(name []byte) error {
		switch {
		case named(name, "value"):
			if values++; s.peek() == '[' {
				return s.array(func() error {
					one, err := s.listed()
					value = append(value, one)
					return err
				})
			}
			at, err := s.value()
			if err == nil && string(at.Of(text)) != "null" {
				err = errors.New("value is not an array")
			}
			return err
		case named(name, "nextLink"):
			links++
			at, err := s.value()
			next = Text(at.Of(text))
			return err
		}
		_, err := s.value()
		return err
	})
	switch {
	case err != nil:
	case values > 1 || links > 1:
		err = errors.New("value or nextLink stands twice")
	case !s.ended():
		err = s.fail()
	}
	if err != nil {
		return nil, "", fmt.Errorf("read a page: %w", err)
	}
	return value, next, nil
}

// listed passes over an element and finds its id.
func (s *scan) listed() (Listed, error) {
	if s.peek() != '{' {
		at, err := s.value()
		return Listed{Raw: at.Of(s.text)}, err
	}
	var id Span
	start := s.at
	err := s.object(func(name []byte) error {
		at, err := s.value()
		if named(name, "id") {
			id = at
		}
		return err
	})
	return Listed{ID: Text(id.Of(s.text)), Raw: s.text[start:s.at]}, err
}
