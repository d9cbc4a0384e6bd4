// Package easyauth stands in for App Service authentication ("Easy Auth") before
// the Functions host of one machine: browsers sign in, and what they send then carries
// a signed token.
//
// Faithful to (https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
// and /configure-authentication-customize-sign-in-out):
//   - /.auth/login/{provider} signs in and goes on to post_login_redirect_uri, /.auth/logout
//     signs out and goes on to post_logout_redirect_uri, /.auth/me tells who is signed in
//   - the session is a cookie of the platform's that scripts cannot read
//   - the identity headers that a client sends itself are removed from every request, and
//     requests of a session carry X-MS-TOKEN-AAD-ID-TOKEN and the unsigned X-MS-CLIENT-PRINCIPAL headers
//   - the front end adds the address and port from which it took a request to the end of X-Forwarded-For,
//     behind whatever the client claims
//   - requests without a session go through (the mode "allow unauthenticated requests"), so that
//     scripts can send a token of their own in Authorization
//   - a session has one token from its sign-in on, which ends before it; GET /.auth/refresh gives it the next, and 401 without a
//     session (/configure-authentication-oauth-tokens; that the ID token is renewed with the access token is unverified)
//
// A knob: POST /.auth/local/expire lets the token of the session end now, as an hour does.
//
// Leaves out: every real sign-in (the provider is called local, and whoever asks for a
// name gets it), validation of bearer tokens (the app does that itself), X-MS-CLIENT-PRINCIPAL's claims, and sessions over a
// restart. The platform's cookie is SameSite=None in some configurations; here it is Lax.
//
// This is a development tool and must be reachable only from the loopback interface.
package easyauth

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cookie is the session's cookie, called as the platform's is.
const Cookie = "AppServiceAuthSession"

// lifetime is how long a session lasts, as on the platform by default.
const lifetime = 8 * time.Hour

// most is how many sessions are kept; the one that ends first makes room.
const most = 1000

// Config says who may sign in and what stands behind.
type Config struct {
	// Names are who one may sign in as.
	Names []string
	// Token returns a new signed ID token for a name.
	Token func(name string) (string, error)
	// Expired returns a signed ID token for a name that has ended; nil: there is no knob.
	Expired func(name string) (string, error)
	// Next is the Functions host.
	Next http.Handler
	Now  func() time.Time // nil: time.Now
}

// Server is an http.Handler before another. It is safe for concurrent use.
type Server struct {
	cfg Config

	mu       sync.Mutex
	sessions map[string]session
}

type session struct {
	name  string
	token string
	ends  time.Time
}

// New returns a server without sessions.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{cfg: cfg, sessions: map[string]session{}}
}

// ServeHTTP answers what is below /.auth/ and passes everything else on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.auth/login/local":
		s.login(w, r)
		return
	case "/.auth/logout":
		s.logout(w, r)
		return
	case "/.auth/refresh":
		s.renew(w, r, s.cfg.Token)
		return
	case "/.auth/local/expire":
		if s.cfg.Expired == nil || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		s.renew(w, r, s.cfg.Expired)
		return
	case "/.auth/me":
		s.me(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/.auth/") {
		http.NotFound(w, r)
		return
	}
	r = r.Clone(r.Context())
	strip(r.Header)
	r.Header.Set("X-Forwarded-For", strings.Join(append(r.Header.Values("X-Forwarded-For"), r.RemoteAddr), ", "))
	if found, ok := s.known(r); ok {
		r.Header.Set("X-Ms-Token-Aad-Id-Token", found.token)
		r.Header.Set("X-Ms-Client-Principal-Name", found.name)
		r.Header.Set("X-Ms-Client-Principal-Idp", "aad")
	}
	s.cfg.Next.ServeHTTP(w, r)
}

// strip removes what only the platform may say. Other x-ms- headers, such as
// x-ms-client-request-id, are Azure clients' own and stay.
func strip(h http.Header) {
	for name := range h {
		// A header written with underscores is another to Go, and the same to some servers.
		folded := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(folded, "x-ms-token-") || strings.HasPrefix(folded, "x-ms-client-principal") || strings.HasPrefix(folded, "x-ms-auth-") {
			delete(h, name)
		}
	}
}

// renew gives a session another token.
func (s *Server) renew(w http.ResponseWriter, r *http.Request, token func(string) (string, error)) {
	found, ok := s.known(r)
	if !ok {
		http.Error(w, "there is no session", http.StatusUnauthorized)
		return
	}
	next, err := token(found.name)
	if err != nil {
		http.Error(w, "no token: "+err.Error(), http.StatusInternalServerError)
		return
	}
	cookie, _ := r.Cookie(Cookie) // there is one: the session was known by it
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, still := s.sessions[cookie.Value]; still { // not one that was signed out meanwhile
		now.token = next
		s.sessions[cookie.Value] = now
	}
}

// known returns the session of who is signed in.
func (s *Server) known(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(Cookie)
	if err != nil {
		return session{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[cookie.Value]
	return found, ok && s.cfg.Now().Before(found.ends)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("as")
	if !slices.Contains(s.cfg.Names, name) {
		http.Error(w, "as is one of "+strings.Join(s.cfg.Names, ", "), http.StatusBadRequest)
		return
	}
	token, err := s.cfg.Token(name)
	if err != nil {
		http.Error(w, "no token: "+err.Error(), http.StatusInternalServerError)
		return
	}
	id := rand.Text()
	s.keep(id, session{name, token, s.cfg.Now().Add(lifetime)})
	http.SetCookie(w, &http.Cookie{Name: Cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(lifetime.Seconds())})
	redirect(w, r.URL.Query().Get("post_login_redirect_uri"))
}

func (s *Server) keep(id string, added session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= most {
		first := ""
		for other, o := range s.sessions {
			if first == "" || o.ends.Before(s.sessions[first].ends) {
				first = other
			}
		}
		delete(s.sessions, first)
	}
	s.sessions[id] = added
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(Cookie); err == nil {
		s.mu.Lock()
		delete(s.sessions, cookie.Value)
		s.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: Cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	redirect(w, r.URL.Query().Get("post_logout_redirect_uri"))
}

// me tells who is signed in; nobody gets an empty list.
func (s *Server) me(w http.ResponseWriter, r *http.Request) {
	type identity struct {
		Provider string `json:"provider_name"`
		User     string `json:"user_id"`
	}
	list := []identity{}
	if found, ok := s.known(r); ok {
		list = append(list, identity{"aad", found.name})
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(list) // an error now means that the browser is gone
}

// redirect goes to a path of this site: never to another site, whatever was asked for.
func redirect(w http.ResponseWriter, to string) {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		to = "/"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}
