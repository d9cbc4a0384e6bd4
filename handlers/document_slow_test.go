package handlers_test

import (
	"io"
	"net/http/httptest"
	"testing"
)

// TestOneDocumentOfACaller: whoever is signed in may send documents, so that one that comes slowly is the only one of its sender: the
// next is refused before it is read.
func TestOneDocumentOfACaller(t *testing.T) {
	a := newApp(t)
	body, send := io.Pipe()
	slow := httptest.NewRequest("POST", restoring, body)
	slow.Header.Set("Authorization", "Bearer test")
	first := make(chan answer, 1)
	go func() { first <- a.do(slow) }()
	if _, err := send.Write([]byte("{")); err != nil { // it is being read
		t.Fatal(err)
	}
	if r := a.call("POST", restoring, "{}"); r.status != 429 {
		t.Errorf("while another of the same caller comes: %d %s", r.status, r.text)
	}
	_ = send.Close()
	if r := <-first; r.status != 400 {
		t.Errorf("the first: %d %s", r.status, r.text)
	}
	if r := a.call("POST", restoring, "{}"); r.status == 429 {
		t.Errorf("after it: %d %s", r.status, r.text)
	}
}
