package decide

import (
	"fmt"
	"time"

	"portcullis/core/jit"
)

func refuse(code jit.Code, target, format string, args ...any) *jit.Error {
	return &jit.Error{Code: code, Target: target, Message: fmt.Sprintf(format, args...)}
}

// timeText writes a time as refusals name it: to the millisecond, as ends are compared.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

// allowJustification refuses a justification without visible characters if one is required.
func allowJustification(o jit.Options, text string) *jit.Error {
	if o.RequireJustification && !jit.Says(text) {
		return refuse(jit.CodeJustificationRequired, "justification", "say why access is needed: a justification is required")
	}
	return nil
}
