package identity_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/store"
	"portcullis/infra/identity"
)

// call gives "" for a caller let in, "refused" and "unavailable".
func call(t testing.TB, v *identity.Verifier, token string) string {
	t.Helper()
	_, err := v.Caller(with(t, token))
	return outcome(t, err)
}

func outcome(t testing.TB, err error) string {
	t.Helper()
	down, isDown := errors.AsType[*store.Unavailable](err)
	switch {
	case err == nil:
		return ""
	case isDown && !errors.Is(err, identity.ErrToken):
		if down.Dependency != "Entra ID" || down.RetryAfter <= 0 {
			t.Errorf("unavailable is %q, again after %v", down.Dependency, down.RetryAfter)
		}
		return "unavailable"
	case !isDown && errors.Is(err, identity.ErrToken):
		return "refused"
	}
	t.Fatalf("the error is of neither kind: %v", err)
	return ""
}

func (e *entra) advance(d time.Duration) { e.with(func() { e.now = e.now.Add(d) }) }

func TestKeysAreFetchedOnce(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	if _, all := e.questions(); all != 0 {
		t.Errorf("%d questions before the first token", all)
	}
	for range 10 {
		if got := call(t, v, e.draft().sign(t)); got != "" {
			t.Fatal(got)
		}
	}
	if keys, all := e.questions(); keys != 1 || all != 2 {
		t.Errorf("asked %d times for keys, %d times in all; want 1 and 2", keys, all)
	}
	for _, a := range []string{v2(tenantA) + "/.well-known/openid-configuration", public + "/" + tenantA + "/discovery/v2.0/keys"} {
		if e.asked[a] != 1 {
			t.Errorf("%s was asked %d times", a, e.asked[a])
		}
	}
}

// TestKeyRotation goes through a rollover: the new key is published beside the old one, used, and the old one goes.
func TestKeyRotation(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	old, next := e.signedBy(t, "current"), e.signedBy(t, "next")
	if got := call(t, v, old); got != "" {
		t.Fatal(got)
	}
	e.advance(time.Minute)
	if got := call(t, v, next); got != "refused" {
		t.Fatalf("before it is published: %q", got)
	}
	e.with(func() { e.keys = append(e.keys, pairs()["next"].jwk(nil)) })
	if got := call(t, v, next); got != "refused" {
		t.Fatalf("within a minute of the last question: %q", got)
	}
	e.advance(time.Minute)
	for range 2 {
		if got := call(t, v, next) + call(t, v, old); got != "" {
			t.Fatal(got)
		}
	}
	e.with(func() { e.keys = e.keys[1:] })
	e.advance(time.Minute)
	if got := call(t, v, e.signedBy(t, "attacker")); got != "refused" { // makes the verifier ask
		t.Fatal(got)
	}
	if got := call(t, v, old); got != "refused" {
		t.Errorf("signed with a withdrawn key: %q", got)
	}
	if got := call(t, v, next); got != "" {
		t.Error(got)
	}
}

// TestUnknownKeysAskAtMostOnceAMinute holds that nobody can make the app ask Entra ID as often as they like.
func TestUnknownKeysAskAtMostOnceAMinute(t *testing.T) {
	e := newEntra()
	v := e.verifier(t, public)
	forged := []string{e.signedBy(t, "attacker"), e.signedBy(t, "next")}
	for range 3 {
		for range 50 {
			for _, token := range forged {
				if got := call(t, v, token); got != "refused" {
					t.Fatal(got)
				}
			}
		}
		e.advance(time.Minute)
	}
	if keys, _ := e.questions(); keys != 3 {
		t.Errorf("asked %d times in three minutes", keys)
	}
	d := e.draft() // a bad signature under a known key asks nobody
	d.key = pairs()["attacker"].private
	for range 10 {
		if got := call(t, v, d.sign(t)); got != "refused" {
			t.Fatal(got)
		}
	}
	if keys, _ := e.questions(); keys != 3 {
		t.Errorf("asked %d times after bad signatures", keys)
	}
}

// TestStampede holds that many callers with an unknown key ask one question together.
func TestStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		e.hold = make(chan struct{})
		v := e.verifier(t, public)
		good, forged := e.draft().sign(t), e.signedBy(t, "attacker")
		var wg sync.WaitGroup
		for i := range 200 {
			token, want := good, ""
			if i%2 == 1 {
				token, want = forged, "refused"
			}
			wg.Go(func() {
				if got := call(t, v, token); got != want {
					t.Errorf("caller %d: %q", i, got)
				}
			})
		}
		synctest.Wait()
		if _, all := e.questions(); all != 1 {
			t.Errorf("%d questions are under way", all)
		}
		close(e.hold)
		wg.Wait()
		if keys, all := e.questions(); keys != 1 || all != 2 {
			t.Errorf("asked %d times for keys, %d times in all; want 1 and 2", keys, all)
		}
	})
}

// TestIssuerDownThenUp holds that an outage is told from a bad token, that the issuer is left in peace, and that the
// first token after the outage is let in.
func TestIssuerDownThenUp(t *testing.T) {
	e := newEntra()
	e.down = true
	v := e.verifier(t, public)
	good := e.draft().sign(t)
	for range 3 {
		for range 20 {
			if got := call(t, v, good); got != "unavailable" {
				t.Fatal(got)
			}
		}
		if err := v.Ping(t.Context()); outcome(t, err) != "unavailable" {
			t.Errorf("ping: %v", err)
		}
		e.advance(5 * time.Second)
	}
	if _, all := e.questions(); all != 3 {
		t.Errorf("asked %d times in 15 seconds", all)
	}
	e.with(func() { e.down = false })
	if got := call(t, v, good); got != "" {
		t.Error(got)
	}
	if err := v.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// TestOutageOutlived holds that known keys go on working for a day without Entra ID, and no longer.
func TestOutageOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		v := e.verifier(t, public)
		longLived := func() string {
			d := e.draft()
			d.set(map[string]any{"exp": e.Now().Add(time.Hour).Unix()})
			return d.sign(t)
		}
		if got := call(t, v, longLived()); got != "" {
			t.Fatal(got)
		}
		e.with(func() { e.down = true })
		for hour := 1; hour < 24; hour++ {
			e.advance(time.Hour)
			if got := call(t, v, longLived()); got != "" {
				t.Fatalf("after %d hours: %q", hour, got)
			}
			synctest.Wait() // for the question behind the caller
		}
		if keys, all := e.questions(); keys != 1 || all != 2+12 { // from the 12th hour to the 23rd
			t.Errorf("asked %d times for keys, %d times in all; want 1 and 14", keys, all)
		}
		if got := call(t, v, e.signedBy(t, "next")); got != "unavailable" {
			t.Errorf("a key that may be new: %q", got)
		}
		e.advance(time.Hour)
		if got := call(t, v, longLived()); got != "unavailable" {
			t.Errorf("after 24 hours: %q", got)
		}
		e.with(func() { e.down = false })
		e.advance(5 * time.Second)
		if got := call(t, v, longLived()); got != "" {
			t.Errorf("after the outage: %q", got)
		}
	})
}

// TestKeysAreRenewedBehindTheCaller holds that nobody waits for the renewal of keys that are good.
func TestKeysAreRenewedBehindTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		v := e.verifier(t, public)
		if got := call(t, v, e.draft().sign(t)); got != "" {
			t.Fatal(got)
		}
		hold := make(chan struct{})
		e.with(func() { e.hold = hold })
		e.advance(12 * time.Hour)
		for range 5 {
			if got := call(t, v, e.draft().sign(t)); got != "" { // would hang if it waited
				t.Fatal(got)
			}
		}
		close(hold)
		synctest.Wait()
		if keys, _ := e.questions(); keys != 2 {
			t.Errorf("asked %d times", keys)
		}
	})
}

// TestCallerThatGoesAway holds that one who hangs up does not take the question from those who wait.
func TestCallerThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		e.hold = make(chan struct{})
		v := e.verifier(t, public)
		token := e.draft().sign(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := v.Caller(with(t, token).WithContext(ctx))
			if outcome(t, err) != "unavailable" || !errors.Is(err, context.Canceled) {
				t.Errorf("who went away got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if got := call(t, v, token); got != "" {
				t.Errorf("who waited got %q", got)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(e.hold)
		wg.Wait()
		if keys, all := e.questions(); keys != 1 || all != 2 {
			t.Errorf("asked %d times for keys, %d times in all; want 1 and 2", keys, all)
		}
	})
}

// TestQuestionThatPanics holds that a panic while keys are read is an answer to the caller, and that they are asked for again later.
func TestQuestionThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		e.breaks = true
		v := e.verifier(t, public)
		token := e.draft().sign(t)
		if got := call(t, v, token); got != "unavailable" {
			t.Errorf("got %q", got)
		}
		e.with(func() { e.breaks = false })
		e.advance(6 * time.Second)
		if got := call(t, v, token); got != "" {
			t.Errorf("afterwards got %q", got)
		}
	})
}

// TestIssuerThatHangs holds that a silent issuer costs a caller ten seconds, not forever.
func TestIssuerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		e.hold = make(chan struct{}) // never closed
		v := e.verifier(t, public)
		began := time.Now()
		if got := call(t, v, e.draft().sign(t)); got != "unavailable" {
			t.Errorf("got %q", got)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestOneQuestionAtATime holds that a slow answer is waited for, even after the pause that follows a failed one.
func TestOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEntra()
		e.down = true
		v := e.verifier(t, public)
		token := e.draft().sign(t)
		if got := call(t, v, token); got != "unavailable" {
			t.Fatal(got)
		}
		hold := make(chan struct{})
		e.with(func() { e.hold, e.down = hold, false })
		var wg sync.WaitGroup
		for range 3 {
			e.advance(6 * time.Second)
			wg.Go(func() {
				if got := call(t, v, token); got != "" {
					t.Error(got)
				}
			})
			synctest.Wait()
		}
		if _, all := e.questions(); all != 2 {
			t.Errorf("asked %d times, want the one that failed and one more", all)
		}
		close(hold)
		wg.Wait()
	})
}
