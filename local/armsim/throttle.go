package armsim

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// bucket is a token bucket, or a fixed window when refill is 0.
type bucket struct {
	tokens float64
	at     time.Time // of the last refill, or the start of the window
}

const (
	networkWindow = 5 * time.Minute
	networkWrites = 1000
)

// throttle takes a token for the call. A refused call takes none. Lists and calls without a known resource count in the
// default region.
func (s *Server) throttle(c *call) *Error {
	verb, capacity, refill := "reads", 250.0, 25.0
	switch c.r.Method {
	case http.MethodPut:
		verb, capacity, refill = "writes", 200, 10
	case http.MethodDelete:
		verb, capacity, refill = "deletes", 200, 10
	}
	region := s.resources[key(c.at.id)].location()
	if c.at.location != "" {
		region = strings.ToLower(c.at.location)
	}
	who := strings.ToLower(c.principal + "|" + c.at.sub + "|" + region + "|")
	var subscription, network *bucket
	if s.knobs.Throttle {
		subscription = s.bucket(who+verb, capacity, refill, c.now)
		if subscription.tokens < 1 {
			return s.refuse(c, verb, (1-subscription.tokens)/refill)
		}
	}
	if s.knobs.ThrottleNetwork && verb != "reads" && c.at.typ != nil {
		network = s.window(who+"network", c.now)
		if network.tokens < 1 {
			c.header.Set("x-ms-ratelimit-remaining-microsoft.network", "0")
			return s.refuse(c, "network writes", network.at.Add(networkWindow).Sub(c.now).Seconds())
		}
		network.tokens--
	}
	if subscription != nil {
		subscription.tokens--
		c.header.Set("x-ms-ratelimit-remaining-subscription-"+verb, strconv.Itoa(int(subscription.tokens)))
	}
	return nil
}

// refuse is the 429 of a call that may be repeated after some seconds. The code is unverified; clients go by the status.
func (s *Server) refuse(c *call, what string, seconds float64) *Error {
	wait := max(1, int(math.Ceil(seconds)))
	c.header.Set("Retry-After", strconv.Itoa(wait))
	if !strings.Contains(what, " ") {
		c.header.Set("x-ms-ratelimit-remaining-subscription-"+what, "0")
	}
	return newError(http.StatusTooManyRequests, "SubscriptionRequestsThrottled", "%s",
		fmt.Sprintf("Number of %s for subscription '%s' exceeded the limit. Please try again after '%d' seconds.", what, c.at.sub, wait))
}

func (s *Server) bucket(name string, capacity, refill float64, now time.Time) *bucket {
	b, ok := s.buckets[name]
	if !ok {
		b = &bucket{tokens: capacity, at: now}
		s.buckets[name] = b
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens, b.at = min(capacity, b.tokens+passed*refill), now
	}
	return b
}

func (s *Server) window(name string, now time.Time) *bucket {
	b, ok := s.buckets[name]
	if !ok || now.Sub(b.at) >= networkWindow {
		b = &bucket{tokens: networkWrites, at: now}
		s.buckets[name] = b
	}
	return b
}
