package store

import "errors"

// Attempts bounds how often an operation starts again after another writer came first.
const Attempts = 8

// Retry calls f until its error is not [ErrConflict], at most [Attempts] times, and returns the last error. first
// is true for the first call; in every later call f must read again what it is about to write.
func Retry(f func(first bool) error) error {
	var err error
	for try := range Attempts {
		if err = f(try == 0); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}
