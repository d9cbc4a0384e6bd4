// Package parallel runs the same work for many items concurrently.
package parallel

import (
	"errors"
	"sync"
)

// width is how many items Each works on at a time.
const width = 16

// Each calls f for every item, at most width at a time, and joins the errors. A failed item does not stop the
// others.
func Each[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	slots := make(chan struct{}, width)
	var wg sync.WaitGroup
	for i, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = Recover(func() error { return f(i, item) })
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// AtOnce is Each without the bound, for work that waits for its turn elsewhere: a slow item delays no other.
func AtOnce[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = Recover(func() error { return f(i, item) }) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
