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

// emergency refuses break-glass that does not say why, or that is for later.
func emergency(r jit.Request, now time.Time) error {
	switch {
	case r.BreakGlass == jit.NoBreakGlass:
		return nil
	case !jit.Says(r.Justification):
		return refuse(jit.CodeBreakGlassReason, "justification", "say what the emergency is: break-glass needs a justification")
	case r.Opens.After(now):
		return refuse(jit.CodeBreakGlassLater, "breakGlass", "break-glass opens at once; what begins later has time for an approval")
	}
	return nil
}

// allowJustification refuses a justification without visible characters if one is required.
func allowJustification(o jit.Options, text string) *jit.Error {
	if o.RequireJustification && !jit.Says(text) {
		return refuse(jit.CodeJustificationRequired, "justification", "say why access is needed: a justification is required")
	}
	return nil
}
