package wire

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
	"portcullis/handlers/api"
)

// maxDigits is how long a number may be written, in bytes.
const maxDigits = 20

// Digits reads a number of digits alone.
func Digits(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return n, err == nil && len(text) <= maxDigits
}

// Whole reads a JSON number that is whole, also where its writer knows only fractions: 22 and 22.0.
func Whole(text string) (uint64, bool) {
	before, fraction, given := strings.Cut(text, ".")
	if given && (fraction == "" || strings.Trim(fraction, "0") != "" || len(text) > maxDigits) {
		return 0, false
	}
	return Digits(before)
}

// portNumber gives the number of a port; at is where the port stands in the body, for the refusal of one that has none.
func portNumber(n api.PortNumber, at string) (uint16, error) {
	number, given := n.Get()
	if !given {
		return 0, MissingNumber(at)
	}
	return number, nil
}

// MissingNumber gives the refusal of a port without a number.
func MissingNumber(at string) error {
	return &jit.Error{Code: jit.CodeInvalidPort, Target: at + ".number", Message: "number is missing: the port from 0 to 65535"}
}

// wholeNumbers reads the numbers of bodies.
var wholeNumbers = json.JoinUnmarshalers(wholeNumber[uint16](0, 65535), wholeNumber[int](-1<<31, 1<<31-1))

func wholeNumber[N uint16 | int](least, most int64) *json.Unmarshalers {
	return json.UnmarshalFromFunc(func(d *jsontext.Decoder, into *N) error {
		if d.PeekKind() != '0' {
			return errors.ErrUnsupported // left to the usual refusal
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		text, negative := strings.CutPrefix(string(value), "-")
		digits, ok := Whole(text)
		n := int64(digits)
		if negative {
			n = -n
		}
		if !ok || n < least || n > most {
			return errors.New("not a whole number in its range")
		}
		*into = N(n)
		return nil
	})
}
