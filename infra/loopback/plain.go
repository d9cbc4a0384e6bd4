package loopback

import (
	"fmt"
	"net/http"
)

// Plain sends the https requests of an SDK's client to one loopback host over http. The policies of some SDKs send no token over plain http and take no option to do so, and
// stand-ins have no certificate: so the client is told https, and this stands below its policies.
type Plain struct {
	Next interface {
		Do(*http.Request) (*http.Response, error)
	}
	Host string // with its port
}

// Do sends the request. It refuses any host but its own, so that no redirect carries a token elsewhere in clear.
func (p Plain) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Host != p.Host {
		return nil, fmt.Errorf("%s is not %s", r.URL.Host, p.Host)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return p.Next.Do(r)
}
