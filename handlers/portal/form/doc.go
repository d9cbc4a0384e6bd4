// Package form reads what people typed into the forms of the page, and tells by field what is wrong with it: [Request] asks for
// access, [Policy] protects machines. What was typed stays as it was typed, so that the form can be drawn again.
//
// It decides nothing: what it makes of a form is checked by the verb as any other call is.
package form
