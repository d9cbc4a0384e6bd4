package tablesim

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Config says what account to stand in for and where to keep it.
type Config struct {
	// Dir is the folder of the account's file, made if missing. What was
	// answered survives the end of the process, also by kill -9 (not the
	// end of the machine: nothing is synced). Empty: a temporary folder,
	// removed by Close.
	Dir string
	// Account is the account's name; empty means "devaccount".
	Account string
	// AccountInPath expects /<Account>/ before the resource, as Azurite has it.
	AccountInPath bool
	// Verify judges a bearer token. An error refuses it with 401, one that
	// wraps ErrForbidden with 403. Nil refuses all of them.
	Verify func(token string) error
	// Key is the account's key, decoded. With it, requests signed by
	// SharedKeyLite are taken.
	Key []byte
	// Now is the clock of Timestamps and error bodies; nil means time.Now.
	Now func() time.Time
}

// ErrForbidden is for [Config.Verify]: the token is good but lacks permission.
var ErrForbidden = errors.New("token lacks permission")

// Server is one storage account's table endpoint. All its methods may be
// called while it serves.
type Server struct {
	config  Config
	store   *store
	faults  faults
	record  record
	encoded encoded
}

// Open opens the account. It refuses a Config that lets nobody in.
func Open(config Config) (*Server, error) {
	if config.Verify == nil && len(config.Key) == 0 {
		return nil, errors.New("open table account: neither Verify nor Key is set, so no request could be authorized")
	}
	if config.Account == "" {
		config.Account = "devaccount"
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	store, err := openStore(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("open table account: %w", err)
	}
	return &Server{config: config, store: store}, nil
}

// Close waits for running operations and closes the file. Requests after it
// are answered 500.
func (s *Server) Close() error {
	if err := s.store.close(); err != nil {
		return fmt.Errorf("close table account: %w", err)
	}
	return nil
}

// reply is an answer that is not yet on the wire.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func newReply(status int) *reply { return &reply{status: status, header: http.Header{}} }

func (r *reply) content(contentType string, body []byte) *reply {
	r.header.Set("Content-Type", contentType)
	r.body = body
	return r
}

// ServeHTTP answers one request of the Table service's REST API, or one to /local/counts.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/local/counts" {
		s.serveStats(w, r)
		return
	}
	id := newGUID()
	exchange := Exchange{Method: r.Method, Path: r.URL.RequestURI()}
	rep, err := s.handle(r, &exchange)
	lost := errors.Is(err, errReplyLost)
	if err != nil && !lost {
		rep = s.failure(err, id)
	}
	if !lost {
		exchange.Status = rep.status
	}
	s.record.add(exchange) // before the answer, so that its receiver finds it
	if lost {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for name, values := range rep.header {
		h[name] = values
	}
	h["X-Ms-Request-Id"] = []string{id}
	h.Set("X-Ms-Version", "2019-02-02")
	if own := r.Header.Get("X-Ms-Client-Request-Id"); own != "" {
		h.Set("X-Ms-Client-Request-Id", own)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Date", s.config.Now().UTC().Format(http.TimeFormat))
	if rep.body != nil {
		h.Set("Content-Length", strconv.Itoa(len(rep.body)))
	}
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body) // a caller that is gone is no error of ours
}

func (s *Server) failure(err error, id string) *reply {
	e := &refusal{code: codeInternal, detail: err.Error()}
	errors.As(err, &e)
	rep := newReply(e.code.status()).content("application/json;odata=minimalmetadata;streaming=true;charset=utf-8", e.body(id, s.config.Now()))
	rep.header.Set("X-Ms-Error-Code", string(e.code))
	if rep.status == http.StatusUnauthorized {
		rep.header.Set("WWW-Authenticate", "Bearer resource_id=https://storage.azure.com")
	}
	return rep
}

// handle is ServeHTTP without the wire: faults, authorization, routing.
func (s *Server) handle(r *http.Request, exchange *Exchange) (*reply, error) {
	if err := s.faults.delay(r.Context()); err != nil {
		return nil, errReplyLost
	}
	if s.faults.isDown() {
		return nil, refuse(codeServerBusy)
	}
	if err := s.authorize(r); err != nil {
		return nil, err
	}
	c, err := s.parse(r)
	if err != nil {
		return nil, err
	}
	exchange.Operation = c.op
	failure := s.faults.take(c.op)
	if failure == NotApplied {
		return nil, refuse(codeServerBusy)
	}
	s.record.count(c.op)
	rep, err := s.execute(c)
	switch failure {
	case Applied:
		return nil, refuse(codeTimedOut)
	case ReplyLost:
		return nil, errReplyLost
	}
	return rep, err
}

// parse reads the request into a command, without looking at stored data.
func (s *Server) parse(r *http.Request) (*command, error) {
	path, err := s.resource(r.URL.Path)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	if query.Has("comp") || query.Has("restype") {
		return nil, refuse(codeNotImplemented)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	if err != nil {
		return nil, invalid("The request body ended early.")
	}
	if len(body) > maxBodyBytes {
		return nil, refuse(codeBodyTooLarge)
	}
	c := &command{base: s.base(r), query: query}
	if c.level, err = parseMetadata(query.Get("$format"), r.Header.Get("Accept")); err != nil && path != "$batch" {
		return nil, err
	}
	switch {
	case path == "$batch":
		err = s.parseBatch(c, r, body)
	case path == "Tables" || strings.HasPrefix(path, "Tables("):
		err = c.parseTables(r, path, body)
	default:
		err = c.parseEntity(r.Method, path, r.Header, body)
	}
	return c, err
}

// resource strips the leading slash, and the account where it is expected.
func (s *Server) resource(path string) (string, error) {
	path = strings.TrimPrefix(path, "/")
	if !s.config.AccountInPath {
		return path, nil
	}
	rest, ok := strings.CutPrefix(path, s.config.Account+"/")
	if !ok {
		return "", refuse(codeInvalidURI)
	}
	return rest, nil
}

// base is the account's own URL as the caller wrote it.
func (s *Server) base(r *http.Request) string {
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	if s.config.AccountInPath {
		base += "/" + s.config.Account
	}
	return base
}

// execute carries out a command. Nothing of a refused command is stored.
func (s *Server) execute(c *command) (*reply, error) {
	switch c.op {
	case CreateTable, DeleteTable, ListTables:
		return s.executeTables(c)
	case GetEntity:
		return s.getEntity(c)
	case QueryEntities:
		return s.queryEntities(c)
	case Batch:
		return s.executeBatch(c)
	}
	var stored *entity
	err := s.store.update(func(t transaction) (err error) {
		stored, err = c.apply(t, s.config.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	s.record.wrote(1)
	return c.reply(stored, s.config.Account), nil
}
