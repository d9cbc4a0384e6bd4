package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

var groupName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,90}$`)

const groupVersion = "?api-version=2021-04-01"

// Bounds of the waits, by the check's own clock.
const (
	lockSpread = 2 * time.Minute  // until a lock holds, or has let go, everywhere
	groupGoes  = 10 * time.Minute // until a deleted resource group is gone
	forPerson  = 10 * time.Minute // until somebody has done what was asked
)

// within says whether a path is the resource group that was made here, or lies in it.
func (l *live) within(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return l.made && !strings.Contains(path, "/..") && (path == l.scope || strings.HasPrefix(path, l.scope+"/"))
}

// makeGroup makes the resource group that everything else is made in. One that exists is somebody's and stays as it is.
func (l *live) makeGroup(ctx context.Context) error {
	a, err := l.call(ctx, http.MethodGet, l.scope+groupVersion, nil, nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusNotFound {
		return fmt.Errorf("%s: %s; it must not exist", l.scope, a)
	}
	l.made = true // a write whose answer is lost may have made it too
	body := map[string]any{"location": l.location, "tags": map[string]any{"purpose": purpose, "run": l.run}}
	if a, err = l.call(ctx, http.MethodPut, l.scope+groupVersion, nil, body); err != nil {
		return err
	}
	if a.status != http.StatusCreated { // 200: somebody else made it meanwhile
		l.made = false
		return fmt.Errorf("make %s: %s %s", l.scope, a, a.text("error", "message"))
	}
	return nil
}

// removeAll takes away the locks, closes the port, then takes away the security group, then the resource group if nothing else is in it. What fails
// does not keep it from the rest; the error names what is left.
func (l *live) removeAll(ctx context.Context) error {
	if !l.made {
		return nil
	}
	var errs []error
	if err := l.unlock(ctx); err != nil {
		errs = append(errs, fmt.Errorf("%s may be locked still, remove its locks by hand: %w", l.scope, err))
	}
	if l.opened {
		var last error
		err := l.until(ctx, lockSpread, func() (bool, error) {
			_, last = l.swing(ctx, false, false)
			return last == nil, nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("the port of %s may be open still, give the machine its own security group back: %w", l.door.address, errors.Join(err, last)))
		}
	}
	if err := l.detach(ctx); err != nil {
		errs = append(errs, err)
	}
	if err := l.delete(ctx); err != nil {
		errs = append(errs, fmt.Errorf("%s is still there, delete it by hand: %w", l.id, err))
	}
	if err := l.removeGroup(ctx); err != nil {
		errs = append(errs, fmt.Errorf("%s is still there, delete it by hand: %w", l.scope, err))
	}
	return errors.Join(errs...)
}

// removeGroup deletes the resource group, which takes what is in it along: hence only one that bears
// the mark of this run, and only when it is empty.
func (l *live) removeGroup(ctx context.Context) error {
	a, err := l.call(ctx, http.MethodGet, l.scope+groupVersion, nil, nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return nil
	}
	if a.status != http.StatusOK || a.text("tags", "run") != l.run {
		return fmt.Errorf("%s; it is not the one that was made here", a)
	}
	// The list lags behind what was deleted.
	err = l.until(ctx, time.Minute, func() (bool, error) {
		a, err = l.call(ctx, http.MethodGet, l.scope+"/resources"+groupVersion, nil, nil)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("look into it: %s", a)
		}
		value, listed := a.doc["value"].([]any)
		return listed && len(value) == 0, err
	})
	if errors.Is(err, errLate) {
		return errors.New("it is not empty, something was put into it")
	}
	if err != nil {
		return err
	}
	deleted := false
	err = l.until(ctx, groupGoes, func() (bool, error) {
		if !deleted {
			if a, err = l.call(ctx, http.MethodDelete, l.scope+groupVersion, nil, nil); err != nil {
				return false, err
			}
			deleted = a.status < 300
		}
		a, err := l.call(ctx, http.MethodGet, l.scope+groupVersion, nil, nil)
		return a.status == http.StatusNotFound, err
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("%w, after %s", err, a)
	}
	return err
}

var errLate = errors.New("not in time")

// until looks again and again until done says so, and gives errLate when that takes longer than the bound.
func (l *live) until(ctx context.Context, bound time.Duration, done func() (bool, error)) error {
	for began := l.now(); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if l.now().Sub(began) >= bound {
			return errLate
		}
		if err := l.sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
