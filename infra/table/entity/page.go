package entity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/go-json-experiment/json/jsontext"
)

// Pages is a list that is read page by page. The SDK asks for the pages; [Policy] reads them: aztables v1.4.1 decodes every entity
// into a map and encodes it again, which takes most of the time of a list.
type Pages struct {
	pager *runtime.Pager[aztables.ListEntitiesResponse]
}

// Pages lists entities. It makes no call.
func (t Table) Pages(o *aztables.ListEntitiesOptions) Pages { return Pages{t.NewListEntitiesPager(o)} }

// More reports whether there is another page.
func (p Pages) More() bool { return p.pager.More() }

// Next reads one page. An entity that cannot be read makes it an error; the errors of the service are those of [Translate].
func (p Pages) Next(ctx context.Context) ([]Stored, error) {
	var page page
	if _, err := p.pager.NextPage(context.WithValue(ctx, pageKey{}, &page)); err != nil {
		return nil, Translate(err)
	}
	if !page.read {
		return nil, errors.New("read a page: the client has no policy that reads it")
	}
	return page.rows, nil
}

// page is what Policy has read for a caller of Next.
type page struct {
	rows []Stored
	read bool
}

// pageKey is the context key of the page that a call is for.
type pageKey struct{}

// take reads the answer to a call, and leaves the SDK an empty page with the same headers, by which it finds the next one.
func (p *page) take(resp *http.Response) error {
	text, err := runtime.Payload(resp)
	if err != nil {
		return err
	}
	rows, err := readPage(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	if err != nil {
		return fmt.Errorf("read a page: %w", err)
	}
	p.rows, p.read = rows, true
	resp.Body = io.NopCloser(bytes.NewReader([]byte("{}")))
	return nil
}

// Policy is what the SDK's clients of these tables need among their PerCallPolicies: it refuses a transaction's answer which
// cannot be read, where aztables v1.4.1 panics at one without a body, and reads the pages of lists.
type Policy struct{}

// Do passes the request on and reads the answer.
func (Policy) Do(r *policy.Request) (*http.Response, error) {
	resp, err := r.Next()
	if err != nil {
		return resp, err
	}
	switch p, listing := r.Raw().Context().Value(pageKey{}).(*page); {
	case resp.StatusCode == http.StatusAccepted:
		_, err = partsOf(resp)
	case resp.StatusCode == http.StatusOK && listing:
		err = p.take(resp)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// readPage reads the entities of a page; none where it has no value. It refuses what is no JSON object alone.
func readPage(text []byte) ([]Stored, error) {
	var list []byte
	if err := members(text, func(name string, value []byte) error {
		if name == "value" {
			list = value
		}
		return nil
	}); err != nil || list == nil || string(list) == "null" {
		return nil, err
	}
	d := decoder(list)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, errors.New("its value is not a list")
	}
	var rows []Stored
	for d.PeekKind() != ']' {
		value, err := next(d, list)
		if err != nil {
			return nil, err
		}
		r, err := DecodeRow(value)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// members calls each for every member of the object that text is.
func members(text []byte, each func(name string, value []byte) error) error {
	d := decoder(text)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.New("not a JSON object")
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		value, err := next(d, text)
		if err != nil {
			return err
		}
		if err := each(member, value); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after the JSON object")
	}
	return nil
}

// decoder reads what encoding/json reads, as the SDK does.
func decoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// next returns the next value, whose bytes are those of text.
func next(d *jsontext.Decoder, text []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.InputOffset())
	return text[end-len(value) : end], nil
}

// textOf returns a JSON string; "" for anything else.
func textOf(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return ""
	}
	if inner := value[1 : len(value)-1]; !bytes.ContainsRune(inner, '\\') {
		return string(bytes.ToValidUTF8(inner, []byte("\ufffd")))
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}
