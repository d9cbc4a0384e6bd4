// Command copy-tables copies the tables of an installation (policies, open windows, history, activity log) into another storage account:
//
//	go run ./infra/deploy/copy-tables -from https://OLD.table.core.windows.net -to https://NEW.table.core.windows.net
//
// It signs in as the Azure CLI does, and needs Storage Table Data Reader on the one account and Storage Table Data Contributor on the
// other. The source is only read: what is no GET does not leave the program. The destination must hold no row in these tables, so that nothing is
// mixed or overwritten.
//
// # What it promises
//
// It holds a page of 1,000 rows at a time, whatever the tables hold. A copy that breaks off goes on with the same command: how far it came stands in
// a table of its own at the destination, PREFIXCopy, which goes in the end. In the end every row of both accounts is read again and compared, and
// each chain of the activity log that has a head is walked at the destination as GET /api/activity/verify does. Only then does it say that it is done.
//
// # What it does not do
//
// It stops no app. While one writes to the source, State and History cannot be copied as of one moment; the comparison finds that
// and fails, and the copy has to begin again in empty tables. docs/operations.md, "Copying the tables", is the whole procedure. ETags and
// timestamps are those of the new account; nothing that is stored holds any. It has met Azurite and not Azure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/infra/table"
)

func main() {
	from := flag.String("from", "", "table endpoint to copy from, such as https://ACCOUNT.table.core.windows.net; it is only read")
	to := flag.String("to", "", "table endpoint to copy to; it must hold none of these tables, or empty ones")
	prefix := flag.String("prefix", "Portcullis", "what the names of the tables begin with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := prepare(*from, *to, *prefix)
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "copy-tables:", err)
		os.Exit(1)
	}
}

// tableService is a table endpoint of one of the clouds: whoever is behind it is shown a token that opens storage.
var tableService = regexp.MustCompile(`(?i)^https://[a-z0-9]+(\.z[0-9]+)?\.table\.(core\.windows\.net|core\.usgovcloudapi\.net|core\.chinacloudapi\.cn|storage\.azure\.net)/?$`)

// prepare makes the clients and calls nobody.
func prepare(from, to, prefix string) (*copying, error) {
	for name, endpoint := range map[string]string{"-from": from, "-to": to} {
		if !tableService.MatchString(endpoint) { // which is not shown: it may hold a signature
			return nil, fmt.Errorf("%s is a table endpoint such as https://ACCOUNT.table.core.windows.net and nothing besides; nothing was done", name)
		}
	}
	if strings.EqualFold(strings.Trim(from, "/"), strings.Trim(to, "/")) {
		return nil, errors.New("-from and -to are the same account; nothing was done")
	}
	cred, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	source, err := aztables.NewServiceClient(from, cred, &aztables.ClientOptions{ClientOptions: readOnly()})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", from, err)
	}
	destination, err := aztables.NewServiceClient(to, cred, &aztables.ClientOptions{ClientOptions: patient()})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", to, err)
	}
	log, err := table.New(to, cred, table.Options{ClientOptions: patient(), Prefix: prefix})
	if err != nil {
		return nil, err
	}
	return &copying{from: source, to: destination, source: strings.ToLower(strings.Trim(from, "/")), prefix: prefix, log: log, progress: os.Stdout, now: time.Now}, nil
}

// patient are the options of a client that waits for a service that is busy.
func patient() azcore.ClientOptions {
	return azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: 6, TryTimeout: time.Minute, RetryDelay: time.Second, MaxRetryDelay: 30 * time.Second}}
}

// readOnly are the options of a client that can only read.
func readOnly() azcore.ClientOptions {
	o := patient()
	o.PerCallPolicies = append(o.PerCallPolicies, onlyReads{})
	return o
}

// onlyReads lets nothing out but GET.
type onlyReads struct{}

// Do refuses what could write.
func (onlyReads) Do(r *policy.Request) (*http.Response, error) {
	if method := r.Raw().Method; method != http.MethodGet {
		return nil, fmt.Errorf("the source is only read: no %s is sent to it", method)
	}
	return r.Next()
}
