package parallel

import (
	"fmt"
	"runtime/debug"
)

// Panic is a panic in the work for one item, as an error: it ends that item's work only.
type Panic struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error returns the panic's value as text.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// Recover calls f and returns a panic in it as a [*Panic].
func Recover(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
