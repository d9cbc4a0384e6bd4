// Command live-check asks a real Azure Resource Manager what Portcullis takes for
// granted and could not verify without a subscription, and prints a table:
//
//	PORTCULLIS_LIVE_SUBSCRIPTION=<id> go run ./infra/deploy/live-check -group portcullis-live-check
//
// It is off unless that variable names a subscription, and has never been run
// against Azure by those who wrote it: only against the stand-in in local/armsim, whose
// answers are guesses in the very places that this command is for.
//
// # What it touches
//
// It signs in as the Azure CLI does. It makes the resource group named, which must not exist, with
// one security group in it, puts a lock of each kind on that resource group for a while, and deletes all of it in the end,
// whatever happened: the locks first, the resource group only when nothing else is in it. It
// refuses to write anything outside of it. Of the subscription it reads the role and deny
// assignments. It costs nothing. It needs to make resource groups and security groups (Contributor); to make
// locks, too, or the questions about them are skipped (Owner, or User Access Administrator besides).
//
// # Packets
//
// How long packets lag behind Succeeded, and what becomes of live connections, is looked at only where
// somebody lends a machine of no importance with a public address, on which something listens:
//
//	... -group portcullis-live-check -packets 203.0.113.20:22 -from 198.51.100.7
//
// It asks for its security group to be put on the machine's network interface, in place of that one's own, and in the
// end for the opposite, since it touches no machine itself; it waits ten minutes for each. The port is opened
// for the addresses of -from alone, and nothing else gets to the machine from outside its network meanwhile.
// A connection counts as live for as long as the machine's kernel answers for it; one that the listener
// ends by itself (sshd does after two minutes without a login) leaves the row unclear.
//
// # Assignments
//
// Whose groups are whose is known from the token alone, so that assignedTo() is put to the test where the caller,
// or a group that the token names, has an assignment; to have one below the subscription and to
// a group: az role assignment create --assignee-object-id <group> --role Reader --scope <a resource group>.
//
// What it cannot see is listed after the table: what the
// permissions of a second identity are worth, and everything of the Functions host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/uuid"
)

// asked is what the person wants.
type asked struct {
	subscription, group, location, cloud string
	packets, from                        string // both or neither
}

func main() {
	var a asked
	flag.StringVar(&a.group, "group", "", "resource group to make and to delete; it must not exist")
	flag.StringVar(&a.location, "location", "westeurope", "region of the resource group")
	flag.StringVar(&a.cloud, "cloud", "AzurePublic", "AzurePublic, AzureUSGovernment or AzureChina")
	flag.StringVar(&a.packets, "packets", "", "host:port of a machine that is lent for this; without it packets are not looked at")
	flag.StringVar(&a.from, "from", "", "with -packets: public address of this machine, or a small range")
	flag.Parse()
	a.subscription = os.Getenv("PORTCULLIS_LIVE_SUBSCRIPTION")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // the second interrupt ends it, and leaves behind what is there
	if err := run(ctx, a, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "live-check:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, a asked, out, progress io.Writer) error {
	if a.subscription == "" || a.group == "" {
		return errors.New("set PORTCULLIS_LIVE_SUBSCRIPTION and -group; nothing was done")
	}
	in, known := map[string]cloud.Configuration{"AzurePublic": cloud.AzurePublic, "AzureUSGovernment": cloud.AzureGovernment, "AzureChina": cloud.AzureChina}[a.cloud]
	if !known {
		return fmt.Errorf("%q is no cloud; nothing was done", a.cloud)
	}
	cred, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	l, err := prepare(a, cred, policy.ClientOptions{Cloud: in}, progress)
	if err != nil {
		return fmt.Errorf("%w; nothing was done", err)
	}
	return l.check(ctx, out)
}

// prepare makes everything ready and calls nobody.
func prepare(a asked, cred azcore.TokenCredential, options policy.ClientOptions, progress io.Writer) (*live, error) {
	if err := uuid.Validate(a.subscription); err != nil || len(a.subscription) != len(everybody) {
		return nil, fmt.Errorf("%q is not the id of a subscription", a.subscription)
	}
	if !groupName.MatchString(a.group) {
		return nil, fmt.Errorf("%q is not the name of a resource group", a.group)
	}
	door, err := parseDoor(a.packets, a.from)
	if err != nil {
		return nil, err
	}
	// One try for each call: what ARM answers is what is to be seen.
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	client, err := arm.NewClient("portcullis/live-check", "v0.0.0", cred, &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	subscription := "/subscriptions/" + a.subscription
	scope := subscription + "/resourceGroups/" + a.group
	dial := dialer()
	return &live{
		client: client, cred: cred, in: options.Cloud, subscription: subscription, scope: scope, location: a.location,
		id:  scope + "/providers/Microsoft.Network/networkSecurityGroups/portcullis-live-check",
		run: uuid.NewString(), door: door, watch: 30 * time.Second, now: time.Now, sleep: sleep, progress: progress,
		dial: func(ctx context.Context, address string) (net.Conn, error) {
			return dial.DialContext(ctx, "tcp", address)
		},
	}, nil
}

// check makes the groups, asks everything, prints the table, and deletes what it made.
func (l *live) check(ctx context.Context, out io.Writer) (err error) {
	defer func() {
		// Its own time: an interrupt must not leave anything behind. Its waits add up to less.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Hour)
		defer cancel()
		err = errors.Join(err, l.removeAll(bounded))
	}()
	for _, ask := range []func(context.Context) error{l.create, l.staleMatch, l.currentMatch, l.matchWithoutGroup, l.staleRuleMatch,
		l.bodyEtag, l.flush, l.untouched, l.spelling, l.concurrent, l.latency, l.locks, l.assigned, l.packets} {
		if err := ask(ctx); err != nil {
			return errors.Join(fmt.Errorf("after %d answers: %w", len(l.rows), err), l.print(out))
		}
	}
	return l.print(out)
}

// print writes the table and what is not in it.
func (l *live) print(out io.Writer) error {
	if len(l.rows) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FACT\tTAKEN FOR GRANTED\tOBSERVED\t")
	for _, r := range l.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.fact, r.want, r.got, r.verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, `
Not seen here:
  - whether a write that carries others' application security groups needs their join action: repeat it as the app's identity
    with that action taken from its role; 403 LinkedAuthorizationFailed says that it does
  - locks on the security group itself or on the subscription, and roles that are eligible and not active
`)
	return err
}
