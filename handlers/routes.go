package handlers

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/activity"
	"portcullis/handlers/arm"
	"portcullis/handlers/arrival"
	"portcullis/handlers/compat"
	"portcullis/handlers/document"
	"portcullis/handlers/portal"
	"portcullis/handlers/query"
	"portcullis/handlers/routing"
	"portcullis/handlers/surface"
	"portcullis/handlers/wire"
)

// Options are what the doors need beside the verbs. Every field but those that say so must be set.
type Options struct {
	// Address is where the Functions host finds this process, 127.0.0.1:port. Triggers are
	// taken from it alone; while it is empty, none is.
	Address string
	// ForwardedHeaders says that the host is set to take the caller's address from its front end
	// (ASPNETCORE_FORWARDEDHEADERS_ENABLED). Without that, X-Forwarded-For holds the front
	// end's own address, and the caller's is not known.
	ForwardedHeaders bool
	// Observe is called with every call once it is known how it arrived, and gives the call as it goes on and what is to be
	// called with the status at its end; nil for nothing.
	Observe func(*http.Request) (*http.Request, func(status int))
	// Caller identifies who calls; an error is answered with 401, an
	// *[store.Unavailable] with 503. The text of an error is logged: it holds no part of a token.
	Caller func(*http.Request) (jit.Caller, error)
	// ParseWake reads a wake-up message, all but its times.
	ParseWake func(body []byte) (store.Wake, error)
	// Dependencies are asked for their state by the health function, by name.
	Dependencies map[string]store.Pinger
	// Wait is how long a request waits for its ports to open before it is
	// answered with 202. It stays well below the 230 s after which the platform
	// gives up on an HTTP answer.
	Wait    time.Duration
	Version string
	// UnknownSettings is the names of settings that this version does not know; health tells them.
	UnknownSettings []string
	Log             *slog.Logger
	NewID           func() string // a new UUID each time
	// Authority is where clients sign in, and Audiences what their tokens are for: they are told.
	Authority string
	Audiences []string
	// SignIn is how people sign in to the page; none is as App Service authentication has it.
	SignIn []portal.Provider
}

type server struct {
	Options
	app  *core.App
	seen healthSeen

	documents *document.Reader // two at once, as large as 16 MiB each

	parameters  map[string][]query.Parameter // by pattern
	description func() ([]byte, error)       // the OpenAPI document, written once: anybody may ask for it
}

// route is one pattern and what stands behind it.
type route struct {
	pattern string
	handler http.Handler
}

// routes is the whole surface.
func (s *server) routes() []route {
	page := lasting(s.page())
	return []route{
		// People and scripts: HTTP functions, forwarded below the route prefix.
		{"POST /api/enable", s.identified(s.enable)},
		{"POST /api/disable", s.identified(s.disable)},
		{"POST /api/request", s.identified(s.request)},
		{"GET /api/requests", s.identified(s.requests)},
		{"GET /api/requests/{id}", s.identified(s.requestByID)},
		{"POST /api/requests/{id}/revoke", s.identified(s.revoke)},
		{"POST /api/requests/{id}/extend", s.identified(s.extend)},
		{"POST /api/requests/{id}/again", s.identified(s.again)},
		{"POST /api/requests/{id}/review", s.identified(s.review)},
		{"POST /api/requests/{id}/approve", s.identified(s.approve)},
		{"POST /api/requests/{id}/deny", s.identified(s.deny)},
		{"GET /api/policies/export", s.identified(s.exportPolicies)},
		{"POST /api/policies/import", s.identified(s.restorePolicies)},
		{"GET /api/machines", s.identified(s.machines)},
		{"GET /api/activity", s.identified(s.activity)},
		{"GET /api/activity/verify", s.identified(s.verify)},
		{"GET /api/compliance", s.identified(s.compliance)},
		{"POST /api/sweep", s.identified(s.sweepNow)},
		{"POST /api/lockdown", s.identified(s.lockdown)},
		{"GET /api/lockdown", s.identified(s.holds)},
		{"GET /api/lockdown/{id}", s.identified(s.lockdownByID)},
		{"POST /api/lockdown/{id}/lift", s.identified(s.lift)},
		{"GET /api/doctor", s.identified(s.doctor)},
		{"GET /api/health", s.anybody(s.health)},
		{"GET /api/openapi.json", s.anybody(s.openapi)},

		// People who look: the page (see package portal).
		{"GET /api/portal/{path...}", page},
		{"POST /api/portal/{path...}", page},

		// Existing Azure clients, whose paths are Resource Manager's (see packages arm and compat).
		{"GET " + arm.PathEndpoints, s.anybody(s.endpoints)},
		{"GET " + arm.PathTenants, s.identified(s.tenants)},
		{"GET " + compat.Pattern, s.identified(s.compat)},
		{"PUT " + compat.Pattern, s.identified(s.compat)},
		{"DELETE " + compat.Pattern, s.identified(s.compat)},
		{"POST " + compat.Pattern, s.identified(s.compat)},
		{"POST /api/import", s.identified(s.importPolicies)},

		// The host itself: triggers, and its probe for readiness.
		{"POST /revoke", s.trigger("message", s.revokeDue)},
		{"POST /sweep", s.trigger("timer", s.sweepDue)},
		{"GET /{$}", http.HandlerFunc(probe)},
	}
}

// ownAddress gives the address from which the platform took the call of r.
func ownAddress(r *http.Request) (netip.Addr, bool) {
	return arrival.Caller(r.Context())
}

// manager is what Azure's clients ask of Resource Manager before anything else.
func (s *server) manager() arm.Face {
	return arm.Face{Inventory: s.app.Inventory, SignIn: s.Authority, Audiences: s.Audiences}
}

// log is the activity log as people and scripts read it.
func (s *server) log() activity.Face {
	return activity.Face{Inventory: s.app.Inventory, Log: s.Log, Now: s.app.Now}
}

func (s *server) activity(w http.ResponseWriter, r call) error {
	return s.log().List(w, r.Request, r.who, r.query)
}

func (s *server) verify(w http.ResponseWriter, r call) error {
	return s.log().Verify(w, r.Request, r.who, r.query)
}

func (s *server) endpoints(w http.ResponseWriter, r call) error {
	return s.manager().Endpoints(w, r.Request)
}

func (s *server) tenants(w http.ResponseWriter, r call) error {
	return s.manager().Tenants(w, r.Request, r.who)
}

// compat answers the compatible face, which opens and waits as the plain one does. The subscriptions themselves are above it.
func (s *server) compat(w http.ResponseWriter, r call) error {
	if arm.Has(r.URL) {
		return s.manager().Subscriptions(w, r.Request, r.who)
	}
	face := compat.Face{Named: s.app.Named, Own: ownAddress, Wait: s.Wait, GroupGone: s.app.Inventory.GroupGone,
		Open: func(r *http.Request, who jit.Caller, rec store.GrantRecord, wait time.Duration) (store.GrantRecord, error) {
			after, _, err := s.open(call{Request: r, who: who}, rec, wait)
			return after, err
		}}
	return face.Serve(w, r.Request, r.who)
}

// page gives the page that people look at, which explains errors as the doors do.
func (s *server) page() http.Handler {
	return portal.New(portal.Options{
		App: s.app, Caller: s.Caller, OwnAddress: ownAddress, Invocation: arrival.Invocation, SignIn: s.SignIn, Log: s.Log,
		Explain: func(err error) (int, *jit.Error) {
			status, told := wire.Answer(err)
			return status, &jit.Error{Code: jit.Code(told.Code), Target: told.Target, Message: told.Message}
		},
	})
}

// Patterns gives the patterns of every route, so that a test can hold them and
// the declarations in functions/ together.
func Patterns() []string {
	var out []string
	for _, r := range new(server).routes() {
		out = append(out, r.pattern)
	}
	return out
}

// New gives the handler of everything that the Functions host sends.
func New(app *core.App, o Options) http.Handler {
	s := &server{Options: o, app: app, parameters: surface.Parameters(), documents: document.NewReader(2, 2*time.Second),
		description: sync.OnceValues(func() ([]byte, error) { return describe(o.Version) })}
	routed := routing.New(compat.Canonical, s.fail)
	for _, r := range s.routes() {
		routed.Handle(r.pattern, r.handler)
	}
	return arrival.Reader{ForwardedHeaders: s.ForwardedHeaders, NewID: s.NewID}.Read(s.logged(routed))
}

// probe answers the host's question whether anybody listens.
func probe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("portcullis\n"))
}

// queryOf reads the query of a call by the table.
func (s *server) queryOf(r *http.Request) (query.Values, error) {
	if compat.Takes(r.Pattern) {
		return nil, query.Tolerate(r.URL.RawQuery, compat.Parameters())
	}
	return query.Read(r.URL.RawQuery, s.parameters[r.Pattern])
}
