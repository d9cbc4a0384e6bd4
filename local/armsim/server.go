package armsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// DefaultLocation is the region used where neither Config nor a resource names one.
const DefaultLocation = "westeurope"

// maxBody bounds a request body. An NSG with 1000 full rules is about 0.8 MB.
const maxBody = 8 << 20

// Config says where the state lives, who may call, and what the clock is.
type Config struct {
	// Dir is the folder that keeps the state, in one file; empty keeps it in memory only. Only one Server at a time
	// may use it.
	Dir string
	// URL is the base of the links in answers (nextLink, Azure-AsyncOperation), without a final slash. Empty takes
	// http and the Host of each request.
	URL string
	// Verify returns the principal (an object id) that a bearer token stands for, or an error. Required.
	Verify func(token string) (principal string, err error)
	// Groups is who is in which groups: object ids of groups by the object id of the member, which may be a group. It is
	// not part of the state. SetGroups replaces it.
	Groups map[string][]string
	// Now is the clock by which operations end and buckets refill; nil means time.Now.
	Now func() time.Time
	// Seed makes the drawn latencies repeatable.
	Seed uint64
	// Knobs is what the server starts with.
	Knobs Knobs
}

// Server is the stand-in. It is an http.Handler and is safe for concurrent use; it runs no goroutine of its own.
type Server struct {
	cfg Config
	db  *bbolt.DB // nil in memory

	mu        sync.Mutex
	resources map[string]*resource  // by key(id)
	ops       map[string]*operation // by id, ended ones too
	pending   []*operation          // those of ops that have not ended, in order of arrival
	sequence  int                   // of the newest operation
	knobs     Knobs
	groups    map[string][]string   // in lower case
	refs      map[string]references // NSG key to who points at it; nil when stale
	shown     map[string]shown      // NSG key to how lists show it
	buckets   map[string]*bucket
	dirty     map[string]bool // keys of resources to save
	dirtyOps  map[string]bool
	rand      *rand.Rand
	total     Counts
	perTarget map[string]Counts
	requests  []Request
}

// Open returns a server with the state kept in Config.Dir, or an empty one. Close it to release the folder.
func Open(cfg Config) (*Server, error) {
	if cfg.Verify == nil {
		return nil, errors.New("open resource manager: Config.Verify is required")
	}
	if err := cfg.Knobs.check(); err != nil {
		return nil, fmt.Errorf("open resource manager: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, knobs: cfg.Knobs.clone(), groups: lowerGroups(cfg.Groups),
		resources: map[string]*resource{}, ops: map[string]*operation{}, shown: map[string]shown{},
		buckets: map[string]*bucket{}, dirty: map[string]bool{}, dirtyOps: map[string]bool{},
		rand: rand.New(rand.NewPCG(cfg.Seed, 1)), perTarget: map[string]Counts{},
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open resource manager: %w", err)
	}
	return s, nil
}

// Close releases the state folder. Requests after it fail when they change something.
func (s *Server) Close() error {
	if s.db == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.save(), s.db.Close())
}

// call is one request on its way through the server.
type call struct {
	r         *http.Request
	at        target
	body      []byte
	principal string
	now       time.Time
	header    http.Header // of the answer
}

// answer is what a handler decided. A nil body sends none.
type answer struct {
	status int
	body   any
	lose   bool // the work is done but the client must not hear of it
}

// ServeHTTP answers an ARM request, or one to /local/knobs, /local/walk or /local/counts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/local/knobs":
		s.serveKnobs(w, r)
		return
	case "/local/walk":
		s.serveWalk(w, r)
		return
	case "/local/counts":
		s.serveCounts(w, r)
		return
	}
	c := &call{r: r, header: w.Header()}
	stamp(c.header, r)
	var a answer
	body, err := readBody(w, r)
	if err == nil {
		c.body = body
		a, err = s.dispatch(c)
	}
	if err != nil {
		a.status, a.body = err.Status, err
		c.header.Set("x-ms-error-code", err.Code)
	}
	s.record(c, a)
	if a.lose {
		panic(http.ErrAbortHandler) // documented way to cut the connection without a reply
	}
	write(w, a.status, a.body)
}

// stamp sets the headers that every ARM answer carries.
func stamp(h http.Header, r *http.Request) {
	id := uuid.NewString()
	h.Set("x-ms-request-id", id)
	correlation := r.Header.Get("x-ms-correlation-request-id")
	if correlation == "" {
		correlation = id
	}
	h.Set("x-ms-correlation-request-id", correlation)
	if client := r.Header.Get("x-ms-client-request-id"); client != "" {
		h.Set("x-ms-client-request-id", client)
	}
	h.Set("Cache-Control", "no-cache")
}

// dispatch runs the checks of ARM's front door in its order, then the operation. The state is saved before it returns,
// so that nothing was answered that a kill can undo.
func (s *Server) dispatch(c *call) (answer, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.now = s.cfg.Now()
	c.header.Set("Date", c.now.Add(time.Duration(s.knobs.Ahead)).UTC().Format(http.TimeFormat))
	at, routeErr := parseTarget(c.r.URL.Path)
	c.at = at
	if s.knobs.Down {
		return answer{}, newError(http.StatusServiceUnavailable, "ServiceUnavailable", "The service is unavailable.")
	}
	if err := s.authenticate(c); err != nil {
		return answer{}, err
	}
	if err := checkVersion(c.r); err != nil {
		return answer{}, err
	}
	if routeErr != nil {
		return answer{}, routeErr
	}
	s.settle(c.now)
	if err := s.throttle(c); err != nil {
		return answer{}, err
	}
	if err := s.authorize(c); err != nil {
		return answer{}, err
	}
	if err := s.checkLocks(c); err != nil {
		return answer{}, err
	}
	a, err := s.serve(c)
	if serr := s.save(); serr != nil && c.r.Method != http.MethodGet { // what is shown stands, saved or not
		return answer{}, newError(http.StatusInternalServerError, "InternalServerError", "The state was not saved: %v", serr)
	}
	return a, err
}

func (s *Server) authenticate(c *call) *Error {
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		c.header.Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token", error_description="The authentication scheme of the request is missing or is not Bearer."`)
		return newError(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or is not of the scheme 'Bearer'.")
	}
	principal, err := s.cfg.Verify(token)
	if err != nil || principal == "" {
		c.header.Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token", error_description="The access token is not valid."`)
		return newError(http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
	}
	c.principal = principal
	return nil
}
