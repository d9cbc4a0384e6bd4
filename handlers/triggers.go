package handlers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
	"portcullis/handlers/arrival"
	"portcullis/handlers/routing"
	"portcullis/handlers/wire"
)

// envelope is how the host posts a trigger. Of Metadata no more is read than that it is
// there: the host lets the fields of a message overwrite it, so whoever sends a message
// could forge a delivery count or a message id there.
type envelope struct {
	Data     map[string]jsontext.Value `json:"Data"`
	Metadata map[string]jsontext.Value `json:"Metadata"`
}

// invoked is how a trigger is answered. The host waits for ever for an empty
// answer, so there is always one.
type invoked struct {
	Outputs     struct{} `json:"Outputs"`
	Logs        []string `json:"Logs"`
	ReturnValue any      `json:"ReturnValue"`
}

// trigger takes what the host itself posts for the function whose binding is named,
// and nothing else: to everybody else there is no such door. It answers 200 with
// the host's own shape for success, and for failure a status that is not 2xx, by
// which a message is delivered again.
func (s *server) trigger(binding string, h func(context.Context, jsontext.Value) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := arrival.Foreign(r, s.Address); why != nil {
			s.Log.Warn("trigger refused", "invocation", arrival.Invocation(r.Context()), "path", r.URL.Path, "reason", why.Error())
			s.fail(w, r, routing.Nothing(r))
			return
		}
		data, err := posted(r, binding)
		if err == nil {
			err = h(r.Context(), data)
		}
		if err != nil {
			s.fail(w, r, fmt.Errorf("trigger %s: %w", r.URL.Path, err))
			return
		}
		wire.Write(w, http.StatusOK, invoked{Logs: []string{}})
	})
}

// posted gives the value of the one binding in the envelope of a trigger.
func posted(r *http.Request, binding string) (jsontext.Value, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, fmt.Errorf("the content type %.80q is not the host's", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the envelope: %w", err)
	}
	if len(body) > wire.MaxBody {
		return nil, fmt.Errorf("the envelope is larger than %d bytes", wire.MaxBody)
	}
	var e envelope
	if err := json.Unmarshal(body, &e, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, err
	}
	data, ok := e.Data[binding]
	if !ok || len(e.Data) != 1 || e.Metadata == nil {
		return nil, fmt.Errorf("the envelope does not hold %s and metadata, and these alone", binding)
	}
	return data, nil
}

// revokeDue handles a wake-up from the queue.
func (s *server) revokeDue(ctx context.Context, data jsontext.Value) error {
	body, err := message(data)
	if err != nil {
		return err
	}
	wake, err := s.ParseWake(body)
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	if wake.Remind {
		return s.app.Courier.Remind(ctx, wake.Grant, wake.Generation)
	}
	if s.app.Doctor.Woken(ctx, wake.Grant) {
		return nil
	}
	return s.app.Rounds.Wake(ctx, wake.Grant, wake.Generation)
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
func (s *server) sweepDue(ctx context.Context, _ jsontext.Value) error {
	who := jit.App()
	who.Correlation = arrival.Invocation(ctx)
	_, err := s.app.Sweeper.Sweep(ctx, who)
	return err
}
