// Package exit is how the command line client ends: the codes that scripts can rely on, and errors that carry one.
package exit

import (
	"errors"
	"fmt"
)

// Code is the exit code of the process.
type Code int

// The codes, which do not change between versions. The verb ssh ends with ssh's own code instead.
const (
	Done        Code = 0
	Failed      Code = 1 // something that none of the others says, such as an error inside the app
	Usage       Code = 2 // not understood: unknown verb, flag or machine, or one that is ambiguous
	Refused     Code = 3 // by the app, or the sign-in
	Waiting     Code = 4 // for somebody's approval; nothing is open yet
	TimedOut    Code = 5 // not confirmed in the time that the caller gave
	Unreachable Code = 6 // the app, or what it depends on, does not answer
	Interrupted Code = 130
)

// Error is an error with its exit code. A nil Err ends the process without a word: it was said already.
type Error struct {
	Code Code
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// With gives err with a code, and nil for nil.
func With(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &Error{code, err}
}

// Usagef gives an error of whoever typed the command.
func Usagef(format string, args ...any) error { return &Error{Usage, fmt.Errorf(format, args...)} }

// Silent ends the process with a code, such as that of ssh. What was to be said was said.
func Silent(code Code) error { return &Error{Code: code} }

// Coder is an error that knows its exit code.
type Coder interface {
	error
	ExitCode() Code
}

// Of gives the code for an error: that of the outermost error which has one.
func Of(err error) Code {
	if err == nil {
		return Done
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if c, ok := errors.AsType[Coder](err); ok {
		return c.ExitCode()
	}
	return Failed
}
