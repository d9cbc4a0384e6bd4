package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// locks puts each kind of management lock on the resource group that was made here, and takes it off again: what closes a
// port must get through where a delete does not.
func (l *live) locks(ctx context.Context) error {
	a, err := l.lock(ctx, "CanNotDelete")
	if err != nil {
		return err
	}
	if a.status >= 300 {
		l.skip("management locks", a.String()+"; making a lock needs Microsoft.Authorization/locks/write")
		return l.unlock(ctx)
	}
	if err := errors.Join(l.underCanNotDelete(ctx), l.unlock(ctx)); err != nil {
		return err
	}
	if a, err = l.lock(ctx, "ReadOnly"); err != nil {
		return err
	}
	if a.status >= 300 {
		l.skip("a ReadOnly lock", a.String())
		return l.unlock(ctx)
	}
	return errors.Join(l.underReadOnly(ctx), l.unlock(ctx), l.writable(ctx))
}

func (l *live) underCanNotDelete(ctx context.Context) error {
	allow, stays := rule("a", 200, "203.0.113.7"), rule("b", 210, "203.0.113.8")
	stays["properties"].(map[string]any)["access"] = "Allow"
	a, took, err := l.refused(ctx, func() (answer, error) {
		// A delete that came before the lock held took the rule away.
		if a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, allow, stays)); err != nil || a.status >= 300 {
			return a, err
		}
		if _, err := l.settle(ctx); err != nil {
			return answer{}, err
		}
		return l.call(ctx, http.MethodDelete, l.id+"/securityRules/a", nil, nil)
	})
	if err != nil {
		return err
	}
	l.note("CanNotDelete on the resource group: DELETE of a rule", "409 ScopeLocked", a.String())
	l.note("  holds after", "", took)
	if _, err := l.settle(ctx); err != nil {
		return err
	}
	if a, err = l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, stays)); err != nil {
		return err
	}
	l.note("  PUT of the security group without the rule", "200", a.String())
	now, err := l.settle(ctx)
	if err != nil {
		return err
	}
	l.note("  and the rule is gone", "true", fmt.Sprint(now.rule("a") == nil && now.rule("b") != nil))
	a, err = l.call(ctx, http.MethodPut, l.id, nil, l.group(nil, rule("b", 210, "203.0.113.8")))
	l.note("  PUT that turns an allow into a deny", "200", a.String())
	return err
}

func (l *live) underReadOnly(ctx context.Context) error {
	a, took, err := l.refused(ctx, func() (answer, error) {
		if _, err := l.settle(ctx); err != nil {
			return answer{}, err
		}
		return l.call(ctx, http.MethodPut, l.id, nil, l.group(nil))
	})
	if err != nil {
		return err
	}
	l.note("ReadOnly on the resource group: PUT of the security group", "409 ScopeLocked", a.String())
	l.note("  holds after", "", took)
	return nil
}

// writable waits until a lock that was taken off has let go.
func (l *live) writable(ctx context.Context) error {
	began := l.now()
	err := l.until(ctx, lockSpread, func() (bool, error) {
		if _, err := l.settle(ctx); err != nil {
			return false, err
		}
		a, err := l.call(ctx, http.MethodPut, l.id, nil, l.group(nil))
		return a.status == http.StatusOK, err
	})
	if err != nil {
		return fmt.Errorf("write after the lock was taken off: %w", err)
	}
	l.note("  let go after", "", l.now().Sub(began).Round(100*time.Millisecond).String())
	return nil
}

// refused asks until a lock refuses, since it does not hold at once, and gives the last answer and how long that took.
func (l *live) refused(ctx context.Context, ask func() (answer, error)) (a answer, took string, err error) {
	began := l.now()
	err = l.until(ctx, lockSpread, func() (bool, error) {
		a, err = ask()
		return a.code == "ScopeLocked", err
	})
	took = l.now().Sub(began).Round(100 * time.Millisecond).String()
	if errors.Is(err, errLate) {
		return a, "not within " + lockSpread.String(), nil
	}
	return a, took, err
}

// rule finds a rule of the security group by name; nil when it has none.
func (a answer) rule(name string) map[string]any {
	properties, _ := a.doc["properties"].(map[string]any)
	rules, _ := properties["securityRules"].([]any)
	for _, raw := range rules {
		if rule, _ := raw.(map[string]any); rule["name"] == name {
			return rule
		}
	}
	return nil
}

func (l *live) lock(ctx context.Context, level string) (answer, error) {
	id := l.scope + "/providers/Microsoft.Authorization/locks/portcullis-live-check-" + level
	l.locked = append(l.locked, id) // a write whose answer is lost may have made it too
	a, err := l.call(ctx, http.MethodPut, id+lockVersion, nil, map[string]any{"properties": map[string]any{"level": level, "notes": purpose}})
	if a.status >= 400 && a.status < 500 { // a word that there is none
		l.locked = l.locked[:len(l.locked)-1]
	}
	return a, err
}

const lockVersion = "?api-version=2016-09-01"

// unlock takes every lock off that was put on here, whatever became of ctx, and looks that it is gone.
func (l *live) unlock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*lockSpread)
	defer cancel()
	var left []string
	var errs []error
	for _, id := range l.locked {
		var a answer
		err := l.until(ctx, lockSpread, func() (bool, error) {
			// An error is a reason to try again: a lock left behind is the worst of what can be.
			_, _ = l.call(ctx, http.MethodDelete, id+lockVersion, nil, nil)
			a, _ = l.call(ctx, http.MethodGet, id+lockVersion, nil, nil)
			return a.status == http.StatusNotFound, nil
		})
		if err != nil {
			left, errs = append(left, id), append(errs, fmt.Errorf("%s: %s: %w", id, a, err))
		}
	}
	l.locked = left
	return errors.Join(errs...)
}
