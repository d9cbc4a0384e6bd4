// Package reply is what the answer of a receiver says beside its status, and what the lack of one does, for adapters that post somewhere and whose errors must hold
// neither the address nor what was answered.
package reply

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Missing says why there was no answer, without the address.
func Missing(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "its host name is not found"
	}
	var slow interface{ Timeout() bool }
	if errors.As(err, &slow) && slow.Timeout() || errors.Is(err, context.Canceled) {
		return "it did not answer in time"
	}
	return "it could not be reached"
}

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads the header's value, a number of seconds or a time; 0 for anything else.
func RetryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(value); err == nil && n > 0 {
		return time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}
