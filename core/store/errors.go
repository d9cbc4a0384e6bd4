package store

import (
	"context"
	"errors"
	"time"

	"portcullis/core/jit"
)

// The errors that a port may return. Adapters translate the errors of their SDK; callers use errors.Is.
var (
	ErrNotFound = errors.New("not found")
	// ErrConflict: another writer came first. Read and compute again.
	ErrConflict = errors.New("changed by somebody else")
	// ErrLocked: a management lock forbids the write. Retrying does not help.
	ErrLocked = errors.New("locked against changes")
	// ErrUnlogged: the event could not be written to the activity log.
	ErrUnlogged = errors.New("not in the activity log")
	// ErrForbidden: the app's own identity lacks a permission.
	ErrForbidden = errors.New("the app lacks a permission")
)

// CodeConcurrent is the code for a change that kept conflicting with other writers.
const CodeConcurrent jit.Code = "ConcurrentChange"

// Unavailable says that a dependency did not answer, or cannot do the call now. What it did is unknown; the same
// call may succeed later.
type Unavailable struct {
	Dependency string        // "Azure Resource Manager", "Table Storage" or "Service Bus"
	RetryAfter time.Duration // as the dependency asked; 0 if it named none
	Err        error
}

// Error names the dependency and the cause.
func (u *Unavailable) Error() string { return u.Dependency + " is unavailable: " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// Pinger is implemented by dependencies that can report whether they answer.
type Pinger interface {
	// Ping returns nil, or why the dependency cannot be used now.
	Ping(ctx context.Context) error
}
