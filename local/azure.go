package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"portcullis/local/armsim"
	"portcullis/local/bussim"
	"portcullis/local/easyauth"
	"portcullis/local/hostsim"
	"portcullis/local/hostsim/busqueue"
	"portcullis/local/inbox"
	"portcullis/local/issuer"
	"portcullis/local/tablesim"
)

const (
	account   = "devaccount"
	olderARM  = "https://management.core.windows.net"     // Resource Manager's older audience, which the SDK requests
	namespace = "portcullis-local.servicebus.windows.net" // a name for tokens; it does not resolve
)

// queue is the revoke queue as the deployment creates it.
var queue = bussim.Queue{Name: "portcullis-revoke", LockDuration: time.Minute, MaxDeliveryCount: 10, DuplicateWindow: 10 * time.Minute}

// azure is the running stand-ins.
type azure struct {
	host    *hostsim.Host // nil if the real host runs
	real    *real         // nil if the stand-in runs
	arm     *armsim.Server
	bus     *bussim.Broker
	tokens  *issuer.Issuer
	inbox   inbox.Inbox
	failed  chan error // receives the error of a failed listener
	closers []func() error

	// tap, if set before start, is called for every call to Resource Manager and Table Storage before it takes effect,
	// and again before its response is sent.
	tap func(service string, r *http.Request, answered bool)
	// still, if set before start, disables the scheduled sweep; the real host ignores it.
	still bool
	// more is settings of the app, NAME=value, beside and in place of those that fit the stand-ins; set before start.
	more []string
	// machine, if set before start, opens the way to the machine web in place of the stand-in for its SSH server.
	machine func(context.Context) (net.Conn, error)
	// onReal, if set before start, runs the Functions host that Azure runs.
	onReal bool
}

// start opens the stand-ins, listens, and starts the app. After an error nothing is left running.
func (a *azure) start(ctx context.Context, p ports, dir, app string, log *slog.Logger) (err error) {
	a.failed = make(chan error, 6)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, marker), nil, 0o600); err != nil {
		return fmt.Errorf("mark the state folder: %w", err)
	}
	secret := rand.Text()
	tokens, err := issuer.Open(issuer.Config{URL: url(p.ARM), Dir: filepath.Join(dir, "issuer"), IdentityHeader: secret})
	if err != nil {
		return fmt.Errorf("open the token issuer: %w", err)
	}
	a.tokens = tokens
	if err := a.serveARM(p, filepath.Join(dir, "arm"), tokens); err != nil {
		return fmt.Errorf("start Resource Manager: %w", err)
	}
	if err := a.serveTable(p, filepath.Join(dir, "table"), tokens); err != nil {
		return fmt.Errorf("start Table Storage: %w", err)
	}
	if err := a.serveBus(p, filepath.Join(dir, "bus"), tokens, log); err != nil {
		return fmt.Errorf("start Service Bus: %w", err)
	}
	if err := a.serveHost(ctx, p, app, filepath.Join(dir, "host"), secret, tokens, log); err != nil {
		return fmt.Errorf("start the Functions host: %w", err)
	}
	if err := a.serveSecure(p, dir); err != nil {
		return fmt.Errorf("serve https: %w", err)
	}
	if err := a.serveMachine(p, dir); err != nil {
		return fmt.Errorf("serve SSH on %s: %w", machineName, err)
	}
	return nil
}

func url(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// listen serves h on the port until close.
func (a *azure) listen(port int, h http.Handler) error { return a.listenSecure(port, h, nil) }

// listenSecure serves h on the port until close, over TLS if it is configured.
func (a *azure) listenSecure(port int, h http.Handler, secure *tls.Config) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("%w (PORTCULLIS_LOCAL_PORT_BASE moves the ports)", err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	}()
	a.closers = append(a.closers, server.Close)
	return nil
}

// tapped calls the tap for the calls of a service.
func (a *azure) tapped(service string, h http.Handler) http.Handler {
	if a.tap == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.tap(service, r, false)
		h.ServeHTTP(&lastMoment{ResponseWriter: w, before: func() { a.tap(service, r, true) }}, r)
	})
}

// lastMoment calls before when a response is about to be sent.
type lastMoment struct {
	http.ResponseWriter
	before func()
	done   bool
}

func (w *lastMoment) WriteHeader(status int) {
	if !w.done {
		w.done = true
		w.before()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *lastMoment) Write(b []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// serveARM serves Resource Manager and, on the same port, the token issuer.
func (a *azure) serveARM(p ports, dir string, tokens *issuer.Issuer) error {
	var err error
	a.arm, err = armsim.Open(armsim.Config{
		Dir: dir, URL: url(p.ARM), Seed: uint64(time.Now().UnixNano()),
		Knobs: armsim.DemoKnobs(), Groups: armsim.DemoGroups(),
		Verify: func(token string) (string, error) {
			claims, err := tokens.Verify(token, issuer.ResourceManager, olderARM)
			return claims.ObjectID, err
		},
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.arm.Close)
	if err := armsim.Seed(a.arm); err != nil {
		return fmt.Errorf("seed the demo estate: %w", err)
	}
	mux := http.NewServeMux()
	arm := a.tapped("arm", forPeople(a.arm, tokens))
	mux.Handle("/subscriptions/", arm)
	mux.Handle("/providers/", arm)
	mux.Handle("/local/knobs", a.arm)
	mux.Handle("/local/walk", a.arm)
	mux.Handle("/local/counts", a.arm)
	mux.Handle(inbox.Path, &a.inbox)
	mux.Handle(inbox.Path+"/", &a.inbox)
	mux.Handle("/", tokens)
	return a.listen(p.ARM, mux)
}

// forPeople lets people use curl or a browser without a token: a GET without one counts as the app's own. The real
// Resource Manager never does that.
func forPeople(arm http.Handler, tokens *issuer.Issuer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" {
			if token, err := tokens.AppToken(issuer.ResourceManager); err == nil {
				r = r.Clone(r.Context())
				r.Header.Set("Authorization", "Bearer "+token)
				if q := r.URL.Query(); q.Get("api-version") == "" {
					q.Set("api-version", "2025-05-01")
					r.URL.RawQuery = q.Encode()
				}
			}
		}
		arm.ServeHTTP(w, r)
	})
}

func (a *azure) serveTable(p ports, dir string, tokens *issuer.Issuer) error {
	table, err := tablesim.Open(tablesim.Config{
		Dir: dir, Account: account, AccountInPath: true,
		Verify: func(token string) error { _, err := tokens.Verify(token, issuer.Storage); return err },
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, table.Close)
	return a.listen(p.Table, a.tapped("table", table))
}

func (a *azure) serveBus(p ports, dir string, tokens *issuer.Issuer, log *slog.Logger) error {
	var err error
	a.bus, err = bussim.Open(bussim.Config{
		Dir: dir, Queues: []bussim.Queue{queue}, Log: log,
		VerifyToken: func(_ context.Context, token, _ string) error {
			_, err := tokens.Verify(token, issuer.ServiceBus)
			return err
		},
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.bus.Close)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p.Bus))
	if err != nil {
		return fmt.Errorf("%w (PORTCULLIS_LOCAL_PORT_BASE moves the ports)", err)
	}
	go func() {
		if err := a.bus.Serve(l); err != nil {
			a.failed <- err
		}
	}()
	return nil
}

// serveHost starts the Functions host with the app in it.
func (a *azure) serveHost(ctx context.Context, p ports, app, state, secret string, tokens *issuer.Issuer, log *slog.Logger) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	client, err := azservicebus.NewClient(namespace, hostCredential{tokens}, &azservicebus.ClientOptions{
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", p.Bus))
		},
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 1, RetryDelay: 200 * time.Millisecond},
	})
	if err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	env := append(a.settings(p, secret), a.more...) // of two with one name the last counts
	var next http.Handler
	if a.onReal {
		queue, err := busqueue.Open(client, queue.Name)
		if err != nil {
			return err
		}
		a.closers = append(a.closers, queue.Close)
		if a.real, err = startReal(app, state, env, queue, log); err != nil {
			return err
		}
		a.closers = append(a.closers, a.real.Close)
		if next, err = a.real.front(); err != nil {
			return err
		}
	} else {
		a.host, err = hostsim.Start(ctx, hostsim.Config{
			Root: app, Log: log, AlwaysRestart: true, Still: a.still, State: state, Env: env,
			Queues: func(_, name string) (hostsim.Queue, error) { return busqueue.Open(client, name) },
		})
		if err != nil {
			return err
		}
		a.closers = append(a.closers, a.host.Close)
		next = a.host
	}
	return a.listen(p.Host, easyauth.New(easyauth.Config{
		Names: names(), Next: next,
		Token: tokens.IDToken, Expired: tokens.ExpiredIDToken,
	}))
}

// ready waits until the app answers.
func (a *azure) ready(ctx context.Context) error {
	if a.real != nil {
		return a.real.Ready(ctx)
	}
	return a.host.Ready(ctx)
}

// settings returns the app's settings, as a deployment would set them, for the stand-ins.
func (a *azure) settings(p ports, secret string) []string {
	return []string{
		"ASPNETCORE_FORWARDEDHEADERS_ENABLED=true",
		"AzureWebJobsDisableHomepage=true",
		"WEBSITE_OWNER_NAME=" + armsim.DemoSubscription + "+demo-WestEuropewebspace-Linux",
		"PORTCULLIS_TENANT=" + issuer.DefaultTenant,
		"PORTCULLIS_AUDIENCE=" + issuer.DefaultAudience,
		"PORTCULLIS_AUTHORITY=" + url(p.ARM),
		"PORTCULLIS_SIGN_IN=" + strings.Join(names(), ","),
		"PORTCULLIS_SUBSCRIPTIONS=" + armsim.DemoSubscription,
		"PORTCULLIS_TABLE_ENDPOINT=" + url(p.Table) + "/" + account,
		"PORTCULLIS_ARM_ENDPOINT=" + url(p.ARM),
		"PORTCULLIS_SERVICEBUS_ADDRESS=" + fmt.Sprintf("127.0.0.1:%d", p.Bus),
		"ServiceBus__fullyQualifiedNamespace=" + namespace,
		"IDENTITY_ENDPOINT=" + url(p.ARM) + "/msi/token",
		"IDENTITY_HEADER=" + secret,
	}
}

// told returns the settings by which people are told through the inbox. They come first, so that others of the same names count.
func told(p ports) []string {
	out := []string{"PORTCULLIS_PAGE=" + url(p.Host) + "/api/portal", "PORTCULLIS_TELL=" + strings.Join(inbox.Channels(), ",")}
	for _, channel := range inbox.Channels() {
		out = append(out, "PORTCULLIS_TELL_"+strings.ToUpper(channel)+"="+url(p.ARM)+inbox.Path+"/"+channel)
	}
	return out
}

// names returns the names for signing in to the page.
func names() []string {
	var out []string
	for _, p := range issuer.Personas() {
		out = append(out, p.Name)
	}
	return out
}

// hostCredential is the host's own identity for Service Bus: the app's.
type hostCredential struct{ tokens *issuer.Issuer }

// GetToken implements azcore.TokenCredential.
func (c hostCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.tokens.AppToken(issuer.ServiceBus)
	return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, err
}

// close stops everything, the last started first.
func (a *azure) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		_ = a.closers[i]() // shutting down: errors no longer matter
	}
	a.closers = nil
}
