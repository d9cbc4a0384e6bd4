package armsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Error is a refusal as ARM words it. On the wire it is {"error":{"code","message","details"}} with the header
// x-ms-error-code.
type Error struct {
	Status  int
	Code    string
	Message string
	Details []Detail
}

// Detail is an inner error, where ARM often hides the telling code.
type Detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message)
}

// MarshalJSON writes the wire form.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"error": e.inner()})
}

func (e *Error) inner() map[string]any {
	details := e.Details
	if details == nil {
		details = []Detail{}
	}
	return map[string]any{"code": e.Code, "message": e.Message, "details": details}
}

func newError(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, newError(http.StatusRequestEntityTooLarge, "RequestContentTooLarge", "The request content size exceeds the maximum size of %d bytes.", maxBody)
	case err != nil:
		return nil, newError(http.StatusBadRequest, "InvalidRequestContent", "The request content could not be read.")
	}
	return body, nil
}

func write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, ready := body.(literal)
	var err error
	if !ready {
		text, err = json.Marshal(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The status is out: a write error means that the client has gone.
	_, _ = w.Write(text)
}

func notFound(at target) *Error {
	return newError(http.StatusNotFound, "ResourceNotFound",
		"The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		at.typ.name, at.name, at.group)
}

func groupNotFound(name string) *Error {
	return newError(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", name)
}

func methodNotAllowed(r *http.Request) *Error {
	return newError(http.StatusMethodNotAllowed, "MethodNotAllowed", "The requested resource does not support http method '%s'.", r.Method)
}
