package portal

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/asset"
	"portcullis/handlers/portal/second"
	"portcullis/handlers/portal/show"
	"portcullis/handlers/portal/smaller"
	"portcullis/handlers/portal/words"
)

// Root is the path below which the page is.
const Root = show.Root

// Provider is one way to sign in.
type Provider struct {
	Name  string // what the link says
	About string // a line below it; may be empty
	Path  string // where it leads; the page adds where to come back to
}

// appService is how people sign in where App Service authentication stands before the app.
func appService() []Provider {
	return []Provider{{Name: "Sign in with Microsoft Entra ID", Path: "/.auth/login/aad"}}
}

// Options are what the page needs. Every field but SignIn must be set.
type Options struct {
	App *core.App
	// Caller identifies who calls; an error gets the sign-in page. Nothing else is trusted.
	Caller func(*http.Request) (jit.Caller, error)
	// OwnAddress gives the address from which the platform took the call.
	OwnAddress func(*http.Request) (netip.Addr, bool)
	// Explain gives the status of an error and what may be told of it.
	Explain func(error) (int, *jit.Error)
	// Invocation gives the id under which the log knows the request.
	Invocation func(context.Context) string
	// SignIn is how people sign in, one link each; none is as App Service authentication has it.
	SignIn []Provider
	Log    *slog.Logger
}

type server struct {
	Options
	origin *http.CrossOriginProtection
	mux    *http.ServeMux
}

// call is one request of an identified caller.
type call struct {
	*http.Request
	who jit.Caller
	now time.Time
}

type handler func(http.ResponseWriter, call) error

// New gives the handler of everything below [Root].
func New(o Options) http.Handler {
	if len(o.SignIn) == 0 {
		o.SignIn = appService()
	}
	s := &server{Options: o, origin: http.NewCrossOriginProtection(), mux: http.NewServeMux()}
	for pattern, h := range s.routes() {
		s.mux.Handle(pattern, s.identified(h))
	}
	s.mux.HandleFunc("GET /assets/{file...}", asset.Serve)
	return http.StripPrefix(strings.TrimSuffix(Root, "/"), smaller.Handler(s.guarded(s.mux)))
}

// routes is what whoever is signed in may call, by pattern.
func (s *server) routes() map[string]handler {
	pages := s.others()
	return map[string]handler{
		"GET /{$}":                    s.machines,
		"GET /open":                   s.openNow,
		"GET /machine":                s.machine,
		"GET /request":                s.requestForm,
		"POST /request":               s.request,
		"GET /configure":              s.configureForm,
		"POST /configure":             s.configure,
		"POST /disable":               s.disable,
		"GET /requests/{id}":          s.grant,
		"POST /requests/{id}/extend":  s.extend,
		"POST /requests/{id}/close":   s.closeNow,
		"POST /requests/{id}/again":   s.again,
		"GET /last":                   s.last,
		"GET /requests/{id}/rdp":      s.rdp,
		"GET /requests/{id}/decide":   s.second(pages.Decide),
		"POST /requests/{id}/approve": s.second(pages.Approve),
		"POST /requests/{id}/deny":    s.second(pages.Deny),
		"POST /requests/{id}/review":  s.review,
		"GET /lockdown":               s.second(pages.LockdownForm),
		"POST /lockdown":              s.second(pages.Lockdown),
		"GET /lockdown/{id}":          s.second(pages.LockedDown),
		"POST /lockdown/{id}/lift":    s.second(pages.Lift),
		"GET /activity":               s.activity,
		"GET /windows":                s.windows,
		"GET /report":                 s.report,
		"GET /findings":               s.findings,
		"GET /protect":                s.protectForm,
		"POST /protect":               s.protect,
		"/":                           s.nothing,
	}
}

// others is what is done about the requests of others.
func (s *server) others() second.Pages { return second.Pages{App: s.App, Log: s.Log} }

// second gives a page of package second as a handler.
func (s *server) second(h func(second.Call) error) handler {
	return func(w http.ResponseWriter, c call) error {
		return h(second.Call{Request: c.Request, Who: c.who, Now: c.now,
			Draw: func(status int, view, title string, data any) { s.render(w, c, status, view, title, data) },
			Told: func(err error) (int, *jit.Error) { return s.told(c, err) },
			To:   func(p string) { _ = s.seeOther(w, c, p) }, // it never fails
			Unchanged: func(view any) string {
				stamp := stampOf(view)
				c.unchanged(w, stamp)
				return stamp
			}})
	}
}

// Patterns gives the patterns of the page below [Root], so that a test can walk all of them.
func Patterns() []string { return slices.Sorted(maps.Keys(new(server).routes())) }

// policy is the Content-Security-Policy: nothing but our own files, and nobody around us.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded sets what every answer says to browsers, and refuses what other sites send.
func (s *server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.URL.Path == "" { // without the slash, relative to which nothing is
			http.Redirect(w, r, Root, http.StatusSeeOther)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			unsaid := r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == ""
			if err := s.origin.Check(r); err != nil || unsaid {
				http.Error(w, "This form was sent from another site, or does not say from where. Open the page and send it from there.", http.StatusForbidden)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		}
		next.ServeHTTP(w, r)
	})
}

// maxForm is the size in bytes over which a form is refused: 200 machines with every port fit.
const maxForm = 4 << 20

// identified lets identified callers through, when it is their turn, and shows the sign-in page to all others: at once, since who has to close
// something has to sign in.
func (s *server) identified(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{Request: r, now: s.App.Now().UTC()}
		var err error
		if c.who, err = s.Caller(r); err != nil {
			c.who = jit.Caller{}
			if _, down := errors.AsType[*store.Unavailable](err); down {
				s.refuse(w, c, err)
				return
			}
			s.signIn(w, c)
			return
		}
		leave, busy := s.App.Admission.Enter(r.Context(), c.who, strings.HasPrefix(r.Pattern, "POST ") && strings.HasSuffix(r.Pattern, "/close"))
		if busy != nil {
			w.Header().Set("Retry-After", "5")
			s.refuse(w, c, busy)
			return
		}
		defer leave()
		c.who.Correlation = s.Invocation(r.Context())
		c.who.Address, _ = s.OwnAddress(r)
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				s.refuse(w, c, &jit.Error{Code: "InvalidRequestContent", Message: "the form could not be read; it may be too large"})
				return
			}
		}
		if err := h(w, c); err != nil {
			s.refuse(w, c, err)
		}
	})
}

// signIn asks somebody unknown who they are. Within the page its script says so beside what is shown, since to leave the page would throw
// away what is typed there.
func (s *server) signIn(w http.ResponseWriter, c call) {
	back := Root
	if c.Method == http.MethodGet && !c.partly() {
		back = strings.TrimSuffix(Root, "/") + c.URL.RequestURI()
	}
	view := signInView{}
	for _, p := range s.SignIn {
		u, err := url.Parse(p.Path)
		if err != nil {
			continue // a link that leads nowhere is not shown
		}
		q := u.Query()
		q.Set("post_login_redirect_uri", back)
		u.RawQuery = q.Encode()
		p.Path = u.String()
		view.Providers = append(view.Providers, p)
	}
	s.render(w, c, http.StatusUnauthorized, "signin", "Sign in", view)
}

type signInView struct{ Providers []Provider }

// refuse draws an error that belongs to no field.
func (s *server) refuse(w http.ResponseWriter, c call, err error) {
	status, told := s.told(c, err)
	s.render(w, c, status, "refused", "Not done", refusedView{Status: status, Code: string(told.Code), Message: words.Sentence(told.Message), Invocation: c.who.Correlation})
}

// told gives the status of an error and what may be told of it, and logs what belongs into the app's log.
func (s *server) told(c call, err error) (int, *jit.Error) {
	status, told := s.Explain(err)
	if status >= 500 || errors.Is(err, store.ErrUnlogged) {
		s.Log.Error("page failed", "invocation", c.who.Correlation, "path", c.URL.Path, "error", err.Error())
	}
	return status, told
}

type refusedView struct {
	Status     int
	Code       string
	Message    string
	Invocation string
}

func (s *server) nothing(http.ResponseWriter, call) error {
	return &jit.Error{Code: "NotFound", Message: "there is no such page here"}
}

// partly reports whether htmx asks for a part of the page.
func (c call) partly() bool { return c.Header.Get("HX-Request") == "true" }

// values gives every value of a field. The Functions host joins repeated query
// parameters with commas, which no id and no other value here holds.
func (c call) values(name string) []string {
	if c.Method == http.MethodPost {
		return c.PostForm[name]
	}
	var out []string
	for _, v := range c.URL.Query()[name] {
		out = append(out, strings.Split(v, ",")...)
	}
	return out
}

// vms reads the machines that a form or a link names.
func (c call) vms() ([]jit.ID, error) {
	var out []jit.ID
	for _, v := range c.values("vm") {
		id, err := jit.ParseVM(v)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	if len(out) == 0 {
		return nil, &jit.Error{Code: jit.CodeNoVMs, Message: "choose at least one virtual machine in the list first"}
	}
	if len(out) > jit.MaxVMs {
		return nil, &jit.Error{Code: jit.CodeTooManyVMs, Message: "too many virtual machines at once; choose at most 200"}
	}
	return out, nil
}
