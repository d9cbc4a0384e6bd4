// Package words writes what the page shows as people write it, and reads what people type: lengths of time, sources, instants,
// rules, reasons, findings. What cannot be read is a *jit.Error that says how to write it.
//
// It knows no request and no form.
package words
