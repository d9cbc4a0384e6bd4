package store

import "errors"

// Attempts bounds how often something starts again after somebody else wrote first.
const Attempts = 8

// Retry calls f until its error is not [ErrConflict], at most [Attempts] times, and returns the last error. The
// first call has first set; every other one has to read again what it writes.
func Retry(f func(first bool) error) error {
	var err error
	for try := range Attempts {
		if err = f(try == 0); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}
