// Command local runs a whole Azure for one machine, with Portcullis in it: `make run` starts it.
//
// One process contains the four stand-ins, each a package whose doc says what it is faithful to and what it leaves
// out:
//
//   - hostsim: the Functions host, which runs the real handler binary (with -host real the host
//     that Azure runs, see package realhost); in front of it easyauth, App Service authentication,
//     where people sign in to the page by name
//   - armsim and issuer: Azure Resource Manager and the token issuer, on one port
//   - tablesim: Table Storage
//   - bussim: Service Bus
//   - inbox: what people are told, in place of mail, Teams and Slack
//   - sshsim, behind gate: the machine web, to which SSH leads while the security groups let it
//
// The app and the token issuer are served over https too, with a certificate that is made here, since most clients send
// no token over http.
//
// They speak the real wire protocols, so the app's unmodified Azure SDK clients use them with their ordinary
// credential. Everything listens on 127.0.0.1 only. The state is in one folder and survives a restart, even after
// kill -9.
//
// Never use it with real secrets or real machines: anybody who reaches the loopback address may request any token
// from the issuer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"portcullis/local/realhost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := flags.String("app", "dist", "folder of the packaged app")
	dir := flags.String("state", ".local", "folder that keeps the state")
	fresh := flags.Bool("fresh", false, "start over: remove the state first")
	length := flags.Duration("for", 0, "stop by itself after this long; 0 is never")
	onReal := flags.String("host", "", "real: run the Functions host that Azure runs, which make check-host installs; empty: the stand-in")
	still := flags.Bool("still", false, "let no timer come due: a sweep runs when somebody asks for it")
	var settings []string
	flags.Func("setting", "NAME=value: a setting of the app, such as PORTCULLIS_REQUIRE_JUSTIFICATION=on; as often as there are settings", func(s string) error {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return fmt.Errorf("%q is not NAME=value", s)
		}
		settings = append(settings, s)
		return nil
	})
	verbose := flags.Bool("verbose", false, "show what the app and the stand-ins log")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *onReal != "" && *onReal != "real" {
		return fmt.Errorf("-host %q is not known; it is real, or left out", *onReal)
	}
	ports, err := portsFrom(getenv("PORTCULLIS_LOCAL_PORT_BASE"))
	if err != nil {
		return err
	}
	if *fresh {
		if err := clear(*dir); err != nil {
			return err
		}
	}
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))

	began := time.Now()
	azure := &azure{onReal: *onReal == "real", still: *still, more: append(told(ports), settings...)}
	if err := azure.start(ctx, ports, *dir, *app, log); err != nil {
		return err
	}
	defer azure.close()
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := azure.ready(ready); err != nil {
		return fmt.Errorf("wait for the app: %w", err)
	}
	guide(stdout, ports, *dir, time.Since(began))
	if azure.onReal {
		fmt.Fprintf(stdout, "On the Functions host %s. Its Service Bus extension is not to be had here: revoke is started by the host's admin door for each message.\n\n", realhost.Version)
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(stdout, "stopped; the state is kept in", *dir)
		return nil
	case err := <-azure.failed:
		return err
	}
}

// ports are where the stand-ins listen; these are the documented defaults.
//
// Secure is the app and Authority the token issuer, both over https. Machine is where the machine web is dialled.
type ports struct{ Host, ARM, Table, Bus, Secure, Authority, Machine int }

// portsFrom moves all ports to base, base+1 and so on; "" keeps the defaults.
func portsFrom(base string) (ports, error) {
	if base == "" {
		return ports{Host: 7071, ARM: 7072, Table: 10002, Bus: 5672, Secure: 7073, Authority: 7074, Machine: 7075}, nil
	}
	n, err := strconv.Atoi(base)
	if err != nil || n < 1 || n > 65529 {
		return ports{}, fmt.Errorf("PORTCULLIS_LOCAL_PORT_BASE %q is not a port from 1 to 65529", base)
	}
	return ports{Host: n, ARM: n + 1, Table: n + 2, Bus: n + 3, Secure: n + 4, Authority: n + 5, Machine: n + 6}, nil
}

// marker marks a folder as ours, so that starting over deletes no other.
const marker = "portcullis-local-state"

// clear deletes the state if dir is a folder that an earlier run created.
func clear(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(dir + "/" + marker); err != nil {
		return fmt.Errorf("%s was not made by an earlier run, so it is not removed", dir)
	}
	return os.RemoveAll(dir)
}
