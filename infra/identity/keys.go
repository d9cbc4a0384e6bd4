package identity

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"golang.org/x/sync/singleflight"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

const (
	refreshAfter    = 12 * time.Hour   // keys older than this are fetched again in the background
	expireAfter     = 24 * time.Hour   // keys expire if they cannot be fetched for this long
	unknownKeyPause = time.Minute      // between two requests because of an unknown key
	retry           = 5 * time.Second  // between two requests to an issuer that does not answer
	fetchTimeout    = 10 * time.Second // for the discovery document and the keys together
	maxDocument     = 1 << 20          // bytes of either document; Entra ID's are a few KiB
)

// fetcher returns a client that follows no redirects: a response must not change where keys come from.
func fetcher(given *http.Client) *http.Client {
	c := http.Client{}
	if given != nil {
		c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// keySet is the published keys of one issuer.
type keySet struct {
	issuer     string
	discovery  string // the address of its discovery document
	keyIssuers []issuer
	tenant     string
	authority  authority
	client     *http.Client
	now        func() time.Time
	questions  singleflight.Group

	mu      sync.Mutex
	keys    map[string]*rsa.PublicKey // by kid; never changed, only replaced
	fetched time.Time                 // when keys were last fetched
	asked   time.Time                 // the last request, whatever its outcome
	err     error                     // of that request; nil if it succeeded
}

// key returns the key with the id. It waits for a request to the issuer only if the key is not known.
func (s *keySet) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	k, known, err := s.look(ctx, func(keys map[string]*rsa.PublicKey) bool { return keys[kid] != nil }, kid)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, refuse("signed with a key that the issuer does not publish")
	}
	return k, nil
}

// ready returns nil if there are any keys.
func (s *keySet) ready(ctx context.Context) error {
	_, _, err := s.look(ctx, func(keys map[string]*rsa.PublicKey) bool { return len(keys) > 0 }, "")
	return err
}

// look finds the key with the id. If has is false for the known keys, it first fetches the keys, or waits for a
// request in progress; but not again too soon after the last request.
func (s *keySet) look(ctx context.Context, has func(map[string]*rsa.PublicKey) bool, kid string) (*rsa.PublicKey, bool, error) {
	s.mu.Lock()
	now := s.now()
	usable, k, age := s.trusted(now) && has(s.keys), s.keys[kid], now.Sub(s.fetched)
	s.mu.Unlock()
	if usable && age < refreshAfter {
		return k, true, nil
	}
	answered := s.questions.DoChan("", func() (any, error) { s.ask(context.WithoutCancel(ctx)); return nil, nil })
	if usable {
		return k, true, nil
	}
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, false, s.unavailable(fmt.Errorf("wait for keys: %w", ctx.Err()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trusted(s.now()) && has(s.keys):
		return s.keys[kid], true, nil
	case s.err != nil:
		return nil, false, s.unavailable(s.err)
	}
	return nil, false, nil
}

func (s *keySet) trusted(now time.Time) bool {
	return s.keys != nil && now.Sub(s.fetched) < expireAfter
}

func (s *keySet) unavailable(err error) error {
	return &store.Unavailable{Dependency: "Entra ID", RetryAfter: retry, Err: err}
}

// ask fetches the keys unless that was just done. The request serves all callers, so it continues if the caller
// that started it goes away.
func (s *keySet) ask(ctx context.Context) {
	s.mu.Lock()
	now, pause := s.now(), unknownKeyPause
	if s.err != nil {
		pause = retry
	}
	if !s.asked.IsZero() && now.Sub(s.asked) < pause {
		s.mu.Unlock()
		return
	}
	s.asked = now
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var keys map[string]*rsa.PublicKey
	err := parallel.Recover(func() (err error) {
		keys, err = s.fetch(ctx)
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.keys, s.fetched = keys, now
	}
}

// fetch requests the discovery document and then the keys.
func (s *keySet) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := s.get(ctx, s.discovery, &about); err != nil {
		return nil, fmt.Errorf("discover %s: %w", s.issuer, err)
	}
	if about.Issuer != s.issuer {
		return nil, fmt.Errorf("discover %s: the document is of %.100q", s.issuer, about.Issuer)
	}
	if !s.authority.trusts(about.Keys) {
		return nil, fmt.Errorf("discover %s: keys at %.200q are not fetched", s.issuer, about.Keys)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, about.Keys, &set); err != nil {
		return nil, fmt.Errorf("fetch keys of %s: %w", s.issuer, err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, raw := range set.Keys {
		kid, key, ok := s.parse(raw)
		if ok && keys[kid] == nil {
			keys[kid] = key
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("fetch keys of %s: none of %d can be used", s.issuer, len(set.Keys))
	}
	return keys, nil
}

// parse returns a published key that may sign this issuer's tokens. It ignores others, as RFC 7517 section 5 says.
func (s *keySet) parse(raw json.RawMessage) (kid string, key *rsa.PublicKey, ok bool) {
	var of struct {
		Issuer string `json:"issuer"`
	}
	if json.Unmarshal(raw, &of) != nil || !s.signs(of.Issuer) {
		return "", nil, false
	}
	k, err := jwkset.NewJWKFromRawJSON(raw, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return "", nil, false
	}
	m := k.Marshal()
	key, ok = k.Key().(*rsa.PublicKey)
	if !ok || m.KID == "" || m.USE != jwkset.UseSig || m.ALG != "" && m.ALG != jwkset.AlgRS256 || key.N.BitLen() < 2048 {
		return "", nil, false
	}
	return m.KID, key, true
}

// signs reports whether a key of that issuer may sign tokens of this one. Documents of version 1 name no issuer;
// those of version 2 name a tenant's, or one for any tenant with {tenantid} in its place.
func (s *keySet) signs(issuer string) bool {
	if issuer == "" {
		return true
	}
	issuer = strings.ReplaceAll(issuer, "{tenantid}", s.tenant)
	for _, i := range s.keyIssuers {
		if i.iss == issuer {
			return true
		}
	}
	return false
}

func (s *keySet) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return err
	}
	if len(body) > maxDocument {
		return errors.New("the answer is too long")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the answer is not the JSON expected")
	}
	return nil
}
