package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/access"
)

// envelope is how the host posts a trigger. Only Data is read: the host lets the
// fields of a message overwrite Metadata, so whoever sends a message could forge
// a delivery count or a message id there.
type envelope struct {
	Data map[string]jsontext.Value `json:"Data"`
}

// invoked is how a trigger is answered. The host waits for ever for an empty
// answer, so there is always one.
type invoked struct {
	Outputs     struct{} `json:"Outputs"`
	Logs        []string `json:"Logs"`
	ReturnValue any      `json:"ReturnValue"`
}

// trigger answers the host: 200 with its own shape for success, and for failure a
// status that is not 2xx, by which a message is delivered again.
func (s *server) trigger(h func(context.Context, envelope) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
		var e envelope
		if err == nil && len(body) > maxBody {
			err = fmt.Errorf("the envelope is larger than %d bytes", maxBody)
		}
		if err == nil {
			err = json.Unmarshal(body, &e, jsontext.AllowDuplicateNames(true))
		}
		if err == nil {
			err = h(r.Context(), e)
		}
		if err != nil {
			s.fail(w, r, fmt.Errorf("trigger %s: %w", r.URL.Path, err))
			return
		}
		write(w, http.StatusOK, invoked{Logs: []string{}})
	})
}

// revokeDue handles a wake-up from the queue.
func (s *server) revokeDue(ctx context.Context, e envelope) error {
	body, err := message(e.Data["message"])
	if err != nil {
		return err
	}
	grant, generation, err := s.ParseWake(body)
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	return s.guard.Service.Wake(ctx, grant, generation)
}

// message peels the layers of a binding's value: the host writes a message as
// JSON text in a JSON string, once or twice, or as a bare object. See
// Azure/azure-functions-host, ScriptInvocationContextExtensions.
func message(v jsontext.Value) ([]byte, error) {
	for range 3 {
		v = bytes.TrimSpace(v)
		if len(v) == 0 {
			return nil, fmt.Errorf("the envelope has no message")
		}
		if v.Kind() != '"' {
			break
		}
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return nil, fmt.Errorf("read the message's text: %w", err)
		}
		v = jsontext.Value(s)
	}
	if v = bytes.TrimSpace(v); v.Kind() != '{' {
		return nil, fmt.Errorf("the message is not a JSON object")
	}
	return v, nil
}

// sweepDue handles the timer.
func (s *server) sweepDue(ctx context.Context, _ envelope) error {
	_, err := s.guard.Service.Sweep(ctx, access.Caller{Name: "portcullis", Correlation: invocation(ctx)})
	return err
}
