package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sosodev/duration"

	"portcullis/core/jit"
)

// MaxBody is the size in bytes over which a body is refused.
const MaxBody = 1 << 20

// maxLooseField is how long a text of a body of the compatible face may be, in bytes: clients send back what they got,
// justifications of earlier requests included.
const maxLooseField = 4 * jit.MaxJustification

// Decode reads a JSON body strictly: one value, no unknown and no repeated
// fields, at most 1 MiB. Every refusal names the field.
func Decode(r *http.Request, into any) error {
	return decodeWith(r, into, MaxBody, jit.MaxField, json.RejectUnknownMembers(true))
}

// DecodeLoosely reads a JSON body of at most so many bytes, a whole number of MiB, as Azure Resource Manager does: the
// case of names does not count, and fields that are not known are left to who reads the body. What could be
// read in two ways is refused all the same: a field that stands twice, in whatever case.
func DecodeLoosely(r *http.Request, into any, most int64) error {
	return decodeWith(r, into, most, maxLooseField, json.MatchCaseInsensitiveNames(true))
}

// DecodeNothing refuses a body that says anything: of a call that takes none, what stands
// in a body was meant to say something that would be passed over.
func DecodeNothing(r *http.Request) error {
	err := Decode(r, &struct{}{})
	if refused, ok := errors.AsType[*jit.Error](err); ok && refused.Code == CodeEmptyBody {
		return nil
	}
	return err
}

func decodeWith(r *http.Request, into any, most int64, longest int, how json.Options) error {
	body, err := ReadBody(r, most)
	if err != nil {
		return err
	}
	if err := Crowded(body, maxElements*int(most/MaxBody), int(most/8)); err != nil {
		return err
	}
	return unmarshal(body, into, longest, how)
}

// DecodeBytes reads a body that was read already, as strictly as [Decode] does. What it may hold its caller counts with [Crowded].
func DecodeBytes(body []byte, into any) error {
	return unmarshal(body, into, jit.MaxField, json.RejectUnknownMembers(true))
}

func unmarshal(body []byte, into any, longest int, how json.Options) error {
	if err := longTexts(body, longest); err != nil {
		return Oversized{err}
	}
	if err := json.Unmarshal(body, into, how, json.WithUnmarshalers(wholeNumbers)); err != nil {
		return BadJSON(err)
	}
	if b, ok := into.(bounded); ok {
		if err := b.Bounds(); err != nil {
			return Oversized{err}
		}
	}
	return nil
}

// ReadBody reads a body of at most so many bytes, a whole number of MiB.
func ReadBody(r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, &jit.Error{Code: CodeInvalidContent, Message: "the body could not be read"}
	}
	if int64(len(body)) > most {
		return nil, Oversized{&jit.Error{Code: CodeBodyTooLarge, Message: fmt.Sprintf("the body is larger than %d MiB", most>>20)}}
	}
	switch body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")); { // the byte-order mark that Windows' tools put before UTF-8
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("\xfe\xff")):
		return nil, &jit.Error{Code: CodeInvalidContent, Message: "the body is UTF-16; send it as UTF-8"}
	case len(body) == 0:
		return nil, &jit.Error{Code: CodeEmptyBody, Message: "a JSON body is needed, and this one is empty"}
	}
	return body, nil
}

// BadJSON turns an error of the JSON library into a refusal that names the field.
func BadJSON(err error) error {
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		return refused
	}
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		at := path(bad.JSONPointer)
		if bad.JSONKind == '[' && strings.EqualFold(bad.JSONPointer.LastToken(), "allowedSourceAddressPrefix") {
			return &jit.Error{Code: jit.CodeInvalidSource, Target: at, Message: "allowedSourceAddressPrefix takes one text; send a list in allowedSourceAddressPrefixes"}
		}
		if errors.Is(err, json.ErrUnknownName) {
			return &jit.Error{Code: CodeUnknownField, Target: at, Message: fmt.Sprintf("the field %s is not known here; check its spelling and case", at)}
		}
		return &jit.Error{Code: CodeInvalidContent, Target: at, Message: fmt.Sprintf("%s is of the wrong type or out of range", at)}
	}
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at := path(bad.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return &jit.Error{Code: CodeDuplicateField, Target: at, Message: fmt.Sprintf("the field %s stands twice", at)}
		}
		return &jit.Error{Code: CodeInvalidContent, Target: at, Message: fmt.Sprintf("the body is not valid JSON near byte %d", bad.ByteOffset)}
	}
	return &jit.Error{Code: CodeInvalidContent, Message: "the body is not valid JSON"}
}

// path writes a JSON pointer the way errors name what was sent: a[0].b.
func path(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			b.WriteString("[" + token + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return b.String()
}

// Write answers with a status and a value as JSON, HTML escaped and with a line feed at its end.
func Write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The status is sent: an error now means that the caller is gone.
	_ = json.MarshalWrite(w, body, json.FormatNilSliceAsNull(false), jsontext.EscapeForHTML(true))
	_, _ = w.Write([]byte{'\n'}) // for people with a terminal
}

// maxDuration is how long the text of a duration may be, in bytes.
const maxDuration = 60

// ParseDuration reads an ISO 8601 duration such as PT3H, or P1D. Years and months have
// no fixed length and are refused.
func ParseDuration(s, target string) (time.Duration, error) {
	d, err := duration.Parse(strings.ReplaceAll(s, ",", ".")) // ISO 8601 allows both before a fraction
	if len(s) > maxDuration || err != nil || d.Years != 0 || d.Months != 0 {
		return 0, &jit.Error{Code: jit.CodeInvalidDuration, Target: target, Message: fmt.Sprintf("%.60q is not an ISO 8601 duration such as PT3H or PT45M", s)}
	}
	// A [time.Duration] ends at 292 years, and far over it the arithmetic would wrap.
	const most = 200 * 365 * 24 // hours
	if hours := 24*(7*d.Weeks+d.Days) + d.Hours + d.Minutes/60 + d.Seconds/3600; !(hours <= most) {
		return most * time.Hour, nil
	}
	out := d.ToTimeDuration()
	if out <= 0 {
		return 0, &jit.Error{Code: jit.CodeInvalidDuration, Target: target, Message: fmt.Sprintf("%q is not a positive duration", s)}
	}
	return out, nil
}

// ParseTime reads a time of RFC 3339, also without seconds, as Java leaves out those that are zero.
func ParseTime(s, target string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04Z07:00", s)
	}
	if err != nil || t.IsZero() { // the zero time is none at all inside
		return t, &jit.Error{Code: jit.CodeInvalidInitiate, Target: target, Message: fmt.Sprintf("%q is not a time in UTC such as 2026-01-02T15:04:05Z", s)}
	}
	return t.UTC(), nil
}

// Below puts the target of a refusal under a path.
func Below(err error, path string) error {
	if refused, ok := errors.AsType[*jit.Error](err); ok {
		return refused.At(path)
	}
	return err
}
