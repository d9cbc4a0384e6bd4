// Package parallel does the same for many items side by side.
package parallel

import (
	"errors"
	"sync"
)

// width is how many targets one verb works on at a time.
const width = 16

// Each calls f for every item, at most width at a time, and joins the errors:
// one that fails does not stop the others. Results are f's own business.
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

// AtOnce is each for what waits for its turn elsewhere: one slow item keeps no other one waiting.
func AtOnce[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = Recover(func() error { return f(i, item) }) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
