package document

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// TestTurns: a document waits for its turn, which begins when it has come whole, and is refused by name when that does not come.
func TestTurns(t *testing.T) {
	code := func(d *Reader) jit.Code {
		_, err := d.Read(httptest.NewRequest("POST", "/", strings.NewReader(`{"format":"other"}`)))
		refused, _ := errors.AsType[*jit.Error](err)
		if refused == nil {
			t.Fatalf("%v", err)
		}
		return refused.Code
	}
	d := NewReader(1, 0)
	d.slots <- struct{}{}
	if got := code(d); got != wire.CodeTooManyDocuments {
		t.Errorf("while another is read: %s", got)
	}
	if status, _ := wire.Answer(&jit.Error{Code: wire.CodeTooManyDocuments}); status != 429 {
		t.Errorf("it is answered %d", status)
	}
	if _, err := d.Read(httptest.NewRequest("POST", "/", strings.NewReader(""))); jit.Refused(err) == nil || jit.Refused(err).Code != wire.CodeEmptyBody {
		t.Errorf("what has no body took a turn: %v", err)
	}
	<-d.slots
	d.wait = 1 << 40
	for range 3 { // each gives its turn back
		if got := code(d); got != wire.CodeUnknownFormat {
			t.Errorf("alone: %s", got)
		}
	}
}

// TestOneOfEachCaller: a caller has one document under way, whatever others have.
func TestOneOfEachCaller(t *testing.T) {
	d := NewReader(1, 0)
	end, err := d.Begin("ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Begin("ann"); jit.Refused(err) == nil || jit.Refused(err).Code != wire.CodeTooManyDocuments {
		t.Errorf("a second one: %v", err)
	}
	if _, err := d.Begin("bob"); err != nil {
		t.Errorf("another's: %v", err)
	}
	end()
	if _, err := d.Begin("ann"); err != nil {
		t.Errorf("after it: %v", err)
	}
}
