// Command live-check asks a real Azure Resource Manager what Portcullis takes for
// granted and could not verify without a subscription, and prints a table:
//
//	az group create -n portcullis-live-check -l westeurope
//	PORTCULLIS_LIVE_SUBSCRIPTION=<id> go run ./infra/deploy/live-check -group portcullis-live-check
//	az group delete -n portcullis-live-check
//
// It is off unless that variable names a subscription, and has never been run
// against Azure by those who wrote it: only against the stand-in in local/armsim, whose
// answers are guesses in the very places that this command is for.
//
// It signs in as the Azure CLI does. It creates one network security group with a
// name of its own in the group given, attached to nothing, and deletes it in the end;
// it touches nothing else. It needs to read and write security groups there, and costs nothing.
//
// What it cannot see is listed after the table: how packets behave, what the
// permissions of a second identity are worth, and everything of the Functions host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	group := flag.String("group", "", "resource group to make the security group in; it exists")
	location := flag.String("location", "westeurope", "region of the security group")
	name := flag.String("cloud", "AzurePublic", "AzurePublic, AzureUSGovernment or AzureChina")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("PORTCULLIS_LIVE_SUBSCRIPTION"), *group, *location, *name, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "live-check:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, subscription, group, location, name string, out io.Writer) error {
	if subscription == "" || group == "" {
		return fmt.Errorf("set PORTCULLIS_LIVE_SUBSCRIPTION and -group; nothing was done")
	}
	in, known := map[string]cloud.Configuration{"AzurePublic": cloud.AzurePublic, "AzureUSGovernment": cloud.AzureGovernment, "AzureChina": cloud.AzureChina}[name]
	if !known {
		return fmt.Errorf("%q is no cloud", name)
	}
	cred, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	id := "/subscriptions/" + subscription + "/resourceGroups/" + group + "/providers/Microsoft.Network/networkSecurityGroups/portcullis-live-check-" + time.Now().UTC().Format("20060102150405")
	return check(ctx, cred, policy.ClientOptions{Cloud: in}, id, location, out)
}

// check makes the security group id, asks everything, deletes it, and prints the table.
func check(ctx context.Context, cred azcore.TokenCredential, options policy.ClientOptions, id, location string, out io.Writer) (err error) {
	// One try for each call: what ARM answers is what is to be seen.
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	client, err := arm.NewClient("portcullis/live-check", "v0.0.0", cred, &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true})
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	l := &live{client: client, id: id, location: location}
	defer func() {
		if !l.made {
			return
		}
		// Its own time: an interrupt must not leave the security group behind.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if gone := l.delete(bounded); gone != nil {
			err = errors.Join(err, fmt.Errorf("%s is still there, delete it by hand: %w", id, gone))
		}
	}()
	for _, ask := range []func(context.Context) error{l.create, l.staleMatch, l.currentMatch, l.matchWithoutGroup, l.staleRuleMatch, l.bodyEtag, l.flush, l.untouched, l.spelling, l.concurrent, l.latency} {
		if err := ask(ctx); err != nil {
			return fmt.Errorf("after %d answers: %w", len(l.rows), err)
		}
	}
	return l.print(out)
}

// print writes the table and what is not in it.
func (l *live) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FACT\tTAKEN FOR GRANTED\tOBSERVED\t")
	for _, r := range l.rows {
		verdict := "as taken"
		if r.want == "" {
			verdict = "for information"
		} else if r.want != r.got {
			verdict = "DIFFERENT"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.fact, r.want, r.got, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, `
Not seen here:
  - how long packets lag behind Succeeded, and whether flushConnection ends open connections: needs a virtual machine
  - writes to a security group in use: attach one to a subnet of no importance and look at latency again
  - whether a write that carries others' application security groups needs their join action: repeat it as the app's identity
    with that action taken from its role; 403 LinkedAuthorizationFailed says that it does
  - whether assignedTo() at a subscription lists assignments below it: az rest --url
    '/subscriptions/ID/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=assignedTo('"'OID'"')'
  - deletes and writes under locks: az lock create --lock-type CanNotDelete, then az network nsg rule delete and az network nsg update
`)
	return err
}
