// Command portcullis is the custom handler that the Azure Functions host runs: just-in-time access to the
// management ports of Azure virtual machines.
//
// This package is wiring only. It reads the settings once, builds the adapters, and serves on the loopback port
// that the host names. It deliberately has no graceful stop: the host ends a handler by SIGKILL, so every step of
// every verb must be safe as the last one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
	"portcullis/handlers"
	"portcullis/handlers/arrival"
	"portcullis/infra/arm"
	"portcullis/infra/azfirewall"
	"portcullis/infra/identity"
	"portcullis/infra/nsg"
	"portcullis/infra/rbac"
	"portcullis/infra/servicebus"
	"portcullis/infra/table"
	"portcullis/infra/telemetry"
)

// wait is how long a request waits for its ports before it is answered with 202.
const wait = 25 * time.Second

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("portcullis", version(), runtime.Version())
		return
	}
	if err := run(context.Background(), os.Environ(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "portcullis:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, environ []string, stdout io.Writer) error {
	cfg, err := readConfig(environ)
	if err != nil {
		return fmt.Errorf("read the settings:\n%w", err)
	}
	log := slog.New(telemetry.Bounded(slog.NewJSONHandler(stdout, nil)))
	if len(cfg.Unknown) > 0 {
		log.Warn("settings that this version does not know have no effect", "settings", cfg.Unknown, "version", version())
	}
	tel, err := telemetry.Start(ctx, telemetry.Config{Environ: environ, Version: version(), Log: log, Now: time.Now, Invocation: arrival.Invocation})
	if err != nil {
		return err
	}
	app, err := build(cfg, log, tel)
	if err != nil {
		return err
	}
	app.setUp(ctx, log)
	l, err := net.Listen("tcp", addressOf(cfg))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	log.Info("serving", "address", l.Addr().String(), "version", version())
	return serverOf(app.handler, log, served()).Serve(l)
}

// application is the built app.
type application struct {
	handler http.Handler
	store   *table.Store
	ready   func(context.Context) error // reads what the first call would wait for else
}

func build(cfg config, log *slog.Logger, tel *telemetry.Telemetry) (*application, error) {
	cred, err := credential(cfg)
	if err != nil {
		return nil, fmt.Errorf("build the credential: %w", err)
	}
	verifier, err := identity.New(identityOf(cfg))
	if err != nil {
		return nil, fmt.Errorf("build the verifier of tokens: %w", err)
	}
	azure, err := resourceManagerOf(cfg, cred, log, tel)
	if err != nil {
		return nil, err
	}
	tables, err := table.New(cfg.TableEndpoint, cred, table.Options{ClientOptions: azcore.ClientOptions{TracingProvider: tel.Tracing()}})
	if err != nil {
		return nil, fmt.Errorf("build the Table Storage client: %w", err)
	}
	alarm, err := servicebus.New(cfg.BusNamespace, cred, servicebus.Options{Loopback: cfg.BusAddress})
	if err != nil {
		return nil, fmt.Errorf("build the Service Bus client: %w", err)
	}
	outside, err := outsideOf(cfg, cred, azure.pacer, tables, tel)
	if err != nil {
		return nil, err
	}
	courier, streamer, err := leavingOf(cfg, cred, tables, tel)
	if err != nil {
		return nil, err
	}
	rooms := core.New(core.Ports{
		Network: azure.groups, Kinds: network.KindsOf(network.SecurityGroups(tel.RuleStore(azure.groups)).WithRoom(cfg.Room), network.AzureFirewalls(tel.RuleStore(azure.firewalls))),
		Policies: tables, Grants: tables, Keys: tables, History: tables, Targets: tables, Activity: audited{tel.Activity(tables), tables}, Holds: tables, Sweeps: tel.Sweeps(tables, tables), Reviews: tables, BreakGlass: cfg.BreakGlass,
		Alarm: alarm, Authority: azure.authority, Doctor: outside, Courier: courier, Stream: streamer, Subscriptions: cfg.Subscriptions, Floor: cfg.Floor, Wait: cfg.Wait, Ahead: cfg.Ahead, Quota: cfg.Quota, CloseLost: cfg.CloseLost, LeaveRemoved: cfg.LeaveRemoved, Now: time.Now, NewID: newID, Panicked: tel.Panicked, Uncounted: tel.Uncounted, TurnedAway: tel.TurnedAway,
	})
	if err := errors.Join(tel.Watch(tables, rooms.Inventory.OverdueOf), tel.WatchQueue(queued(azure.pacer))); err != nil {
		return nil, err
	}
	h := handlers.New(rooms, handlers.Options{
		Address: addressOf(cfg), ForwardedHeaders: cfg.ForwardedHeaders, Observe: tel.Request,
		Caller:       verifier.Caller,
		ParseWake:    parseWake,
		Dependencies: map[string]store.Pinger{"entraID": verifier, "resourceManager": azure.groups, "tableStorage": tables, "serviceBus": alarm},
		Wait:         wait, Version: version(), Log: log, NewID: newID, SignIn: cfg.SignIn, UnknownSettings: cfg.Unknown,
		Authority: identityOf(cfg).Authority, Audiences: cfg.Audiences,
	})
	return &application{handler: h, store: tables, ready: rooms.Ready}, nil
}

// resourceManagers are the adapters of Azure Resource Manager. They share its pacer: it counts the calls of an identity together,
// whoever makes them.
type resourceManagers struct {
	pacer     *arm.Pacer
	authority *rbac.Authority
	groups    *nsg.Client
	firewalls *azfirewall.Client
}

func resourceManagerOf(cfg config, cred azcore.TokenCredential, log *slog.Logger, tel *telemetry.Telemetry) (resourceManagers, error) {
	var out resourceManagers
	out.pacer = arm.NewPacer(arm.Config{Subscriptions: cfg.Subscriptions, Limits: limitsOf(cfg), Waited: func(kind arm.Kind, closing bool, waited time.Duration) { tel.Waited(string(kind), closing, waited) }})
	roles, groups, firewalls := rbacOf(cfg, tel.Tracing()), nsgOf(cfg, tel.Tracing()), firewallsOf(cfg, tel.Tracing(), log)
	roles.Pacer, groups.Pacer, firewalls.Pacer = out.pacer, out.pacer, out.pacer
	var err error
	if out.authority, err = rbac.New(cred, roles); err != nil {
		return out, fmt.Errorf("build the role assignments client: %w", err)
	}
	if out.groups, err = nsg.New(cred, groups); err != nil {
		return out, fmt.Errorf("build the Resource Manager client: %w", err)
	}
	if out.firewalls, err = azfirewall.New(cred, firewalls); err != nil {
		return out, fmt.Errorf("build the firewalls client: %w", err)
	}
	return out, nil
}

// addressOf returns the address at which the Functions host finds this process.
func addressOf(cfg config) string { return fmt.Sprintf("127.0.0.1:%d", cfg.Port) }

// queued returns the number of waiting calls for telemetry.
func queued(p *arm.Pacer) func() []telemetry.Queued {
	return func() []telemetry.Queued {
		var out []telemetry.Queued
		for _, q := range p.Queues() {
			out = append(out, telemetry.Queued{Kind: string(q.Kind), Closing: true, Calls: q.Closings}, telemetry.Queued{Kind: string(q.Kind), Calls: q.Openings})
		}
		return out
	}
}

// credential returns the app's own identity: the managed identity that the platform provides through
// IDENTITY_ENDPOINT, also on a local machine.
func credential(cfg config) (azcore.TokenCredential, error) {
	o := &azidentity.ManagedIdentityCredentialOptions{}
	if cfg.ClientID != "" {
		o.ID = azidentity.ClientID(cfg.ClientID)
	}
	return azidentity.NewManagedIdentityCredential(o)
}

// firstSetUp is how long the app waits for its tables before it serves: far below what the host allows for a
// start, far above what an available Table Storage takes.
const firstSetUp = 3 * time.Second

// setUp creates the tables before the app serves. If Table Storage does not answer, it keeps trying in the
// background, while health reports it as unavailable.
func (a *application) setUp(ctx context.Context, log *slog.Logger) {
	bounded, cancel := context.WithTimeout(ctx, firstSetUp)
	defer cancel()
	if err := a.store.Setup(bounded); err != nil {
		log.Error("create the tables", "error", err.Error())
		go a.keepSettingUp(ctx, log)
		return
	}
	if err := a.ready(bounded); err != nil {
		log.Warn("read what calls will need", "error", err.Error()) // the first call does
	}
}

func (a *application) keepSettingUp(ctx context.Context, log *slog.Logger) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := parallel.Recover(func() error { return a.store.Setup(bounded) })
		cancel()
		if err == nil {
			return
		}
		log.Error("create the tables", "error", err.Error(), "again", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// audited is the activity log with its measuring wrapper for writes and the store itself for verification, which
// the wrapper alone would hide.
type audited struct {
	store.Activity
	store.Verifier
}

func parseWake(body []byte) (store.Wake, error) {
	b, err := servicebus.Parse(body)
	return store.Wake{Grant: b.Grant, Generation: b.Generation, Remind: b.Remind}, err
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// version returns the release and the commit, as the Go command stamped them into the binary: nothing has to be
// generated or passed to the linker, and a build from changed files says so.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return info.Main.Version + " (" + s.Value + ")"
		}
	}
	return info.Main.Version
}
