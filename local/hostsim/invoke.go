package hostsim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// maxAnswer bounds what is read of a handler's answer, in bytes. The real host
// has no such bound.
const maxAnswer = 256 << 20

var (
	errTimeout = errors.New("function timeout")
	errEmpty   = errors.New("empty answer")
)

// invoke posts a trigger's envelope to the handler and judges the answer. A nil
// error means success. An empty answer is held until the function's timeout, as
// the real host holds it.
func (h *Host) invoke(ctx context.Context, f *function, body []byte) error {
	p, err := h.await(ctx)
	if err != nil {
		return fmt.Errorf("invoke %s: %w", f.name, err)
	}
	id := uuid.NewString()
	err = h.within(ctx, p, func(ctx context.Context) error {
		err := h.post(ctx, p, f, id, body)
		if errors.Is(err, errEmpty) {
			h.log.Error("empty answer: the invocation hangs until its timeout", "function", f.name, "invocation", id)
			<-ctx.Done()
		}
		return err
	})
	if err != nil {
		h.notice(p, err)
		return fmt.Errorf("invoke %s (%s): %w", f.name, id, err)
	}
	return nil
}

// noticeTimeout bounds the wait for the death of a handler that broke a connection.
const noticeTimeout = 2 * time.Second

// notice waits until the host knows of the death of a handler that broke off the
// connection. Otherwise a message that is abandoned and delivered again at once
// would use up all of its deliveries on a dead process within a millisecond.
func (h *Host) notice(p *process, err error) {
	var broken *url.Error
	if !errors.As(err, &broken) {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, noticeTimeout)
	defer cancel()
	_, _ = h.waitFor(ctx, func(s state) bool { return s.process != p || s.phase == stopped })
}

// within calls do with a context that ends with the function timeout. If that
// is what ended it, the handler is killed and started again, and the error is
// errTimeout.
func (h *Host) within(ctx context.Context, p *process, do func(context.Context) error) error {
	limited := ctx
	if d := h.settings.functionTimeout; d > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, d, errTimeout)
		defer cancel()
	}
	err := do(limited)
	if err != nil && context.Cause(limited) == errTimeout {
		h.log.Error("function timeout: killing the handler", "pid", p.pid, "timeout", h.settings.functionTimeout)
		p.wantRestart()
		// Nobody is to be sent to the process that is about to be killed; an error
		// means that the host is closing, and the handler with it.
		_, _ = h.waitFor(h.ctx, func(s state) bool { return s.process != p || s.phase == stopped })
		return errTimeout
	}
	return err
}

func (h *Host) post(ctx context.Context, p *process, f *function, id string, body []byte) error {
	// A reader of unknown kind: the host posts in chunks.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/"+f.name, struct{ io.Reader }{bytes.NewReader(body)})
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Azure-Functions-Host/"+Version)
	req.Header.Set("X-Azure-Functions-HostVersion", Version)
	req.Header.Set("X-Azure-Functions-InvocationId", id)
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d does not indicate success", resp.StatusCode)
	}
	answer, err := readAnswer(resp)
	if err != nil {
		return err
	}
	logs, err := judge(resp.Header.Get("Content-Type"), answer)
	if err != nil {
		return err
	}
	for _, line := range logs {
		h.log.Info("function log", "function", f.name, "invocation", id, "line", line)
	}
	return nil
}

func readAnswer(resp *http.Response) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("answer over %d bytes", maxAnswer)
	}
	return answer, err
}

// judge decides about the answer to a trigger and returns its log lines. The
// error is errEmpty for one that the real host never acts on.
func judge(contentType string, answer []byte) (logs []string, err error) {
	if len(answer) == 0 {
		return nil, errEmpty
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" && media != "text/json" {
		return nil, fmt.Errorf("no formatter for content type %q", contentType)
	}
	var result *struct {
		Outputs     map[string]any
		Logs        []string
		ReturnValue any
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, fmt.Errorf("invalid answer: %w", err)
	}
	if result == nil {
		return nil, errEmpty
	}
	return result.Logs, nil
}
