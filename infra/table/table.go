package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/store"
	"portcullis/infra/loopback"
	"portcullis/infra/table/activity"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/hold"
	"portcullis/infra/table/outbox"
	"portcullis/infra/table/position"
	"portcullis/infra/table/review"
)

// The ports that a Store implements.
var (
	_ store.Policies = (*Store)(nil)
	_ store.Grants   = (*Store)(nil)
	_ store.KeyStore = (*Store)(nil)
	_ store.History  = (*Store)(nil)
	_ store.Targets  = (*Store)(nil)
	_ store.Activity = (*Store)(nil)
	_ store.Verifier = (*Store)(nil)
	_ store.Chained  = (*Store)(nil)
	_ store.Streams  = (*Store)(nil)
	_ store.Sweeps   = (*Store)(nil)
	_ store.Outbox   = (*Store)(nil)
	_ store.Holds    = (*Store)(nil)
	_ store.Reviews  = (*Store)(nil)
	_ store.Pinger   = (*Store)(nil)
)

// Options is what a Store may be told besides its endpoint. The zero value is
// for production.
type Options struct {
	// ClientOptions are those of the SDK. A zero Retry is replaced by three
	// tries within 10 seconds each, so that a storm is over for the caller before the
	// SDK's own minute.
	azcore.ClientOptions
	// Prefix begins the names of the tables, "Portcullis" where empty: 1 to 50 letters
	// and digits, a letter first. Two installations in one account need two.
	Prefix string
}

// Store is the storage ports over three tables of one account. It is safe for
// concurrent use.
type Store struct {
	service *aztables.ServiceClient
	names   [3]string
	state   entity.Table
	history entity.Table
	parts   policyParts
	spread  entity.Spread // of the parts of targets
	*activity.Log
	*outbox.Box
	*position.Row
	*hold.Book
	*review.Ledger
}

// New gives the store at the table endpoint of a storage account, such as
// https://<account>.table.core.windows.net. It makes no call: see [Store.Setup].
//
// An http endpoint is refused unless it names this machine's loopback, where the local
// stand-ins listen.
func New(endpoint string, cred azcore.TokenCredential, options Options) (*Store, error) {
	if cred == nil {
		return nil, errors.New("open table storage: a credential is needed")
	}
	return open(endpoint, options, func(url string, o *aztables.ClientOptions) (*aztables.ServiceClient, error) {
		return aztables.NewServiceClient(url, cred, o)
	})
}

var prefixForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,49}$`)

func open(endpoint string, options Options, dial func(string, *aztables.ClientOptions) (*aztables.ServiceClient, error)) (*Store, error) {
	if options.Prefix != "" && !prefixForm.MatchString(options.Prefix) {
		return nil, fmt.Errorf("open table storage: %q cannot begin the name of a table", options.Prefix)
	}
	o := &aztables.ClientOptions{ClientOptions: options.ClientOptions}
	if retry := o.Retry; retry.MaxRetries == 0 && retry.TryTimeout == 0 && retry.RetryDelay == 0 {
		o.Retry = policy.RetryOptions{MaxRetries: 2, TryTimeout: 10 * time.Second, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second}
	}
	o.PerCallPolicies = append(slices.Clone(o.PerCallPolicies), entity.Policy{})
	u, err := endpointURL(endpoint, o)
	if err != nil {
		return nil, fmt.Errorf("open table storage: %w", err)
	}
	service, err := dial(u, o)
	if err != nil {
		return nil, fmt.Errorf("open table storage: %w", err)
	}
	s := &Store{service: service, spread: entity.Spread{Prefix: parts}}
	for i, name := range []string{"State", "History", "Activity"} {
		s.names[i] = cmp.Or(options.Prefix, "Portcullis") + name
	}
	in := func(i int) entity.Table { return entity.Table{Client: service.NewClient(s.names[i])} }
	s.state, s.history, s.Log = in(0), in(1), activity.NewLog(in(2))
	s.Box, s.Row, s.Book = &outbox.Box{Table: s.state, Partition: live}, &position.Row{Table: s.state, Partition: live}, &hold.Book{Table: s.state, Partition: live}
	s.Ledger = &review.Ledger{Table: s.state, Partition: live}
	return s, nil
}

// endpointURL checks the endpoint and gives the URL for the client. The bearer
// token policy of aztables sends no token over plain http, and takes no option to do so; the
// stand-ins on loopback have no certificate. So the client is told https, and a transport
// that sends http is put below its policies, for loopback alone.
func endpointURL(endpoint string, o *aztables.ClientOptions) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("endpoint %q is not of the form https://<account>.table.core.windows.net", u.Redacted())
	}
	switch u.Scheme {
	case "https":
	case "http":
		if !loopback.Host(u.Hostname()) {
			return "", fmt.Errorf("endpoint %s is plain http, which is for the loopback address alone", u)
		}
		next := o.Transport
		if next == nil {
			next = http.DefaultClient
		}
		o.Transport = loopback.Plain{Next: next, Host: u.Host}
		u.Scheme = "https"
	default:
		return "", fmt.Errorf("endpoint %s is neither https nor http", u)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// Setup creates the tables that are missing. It may be called at every start.
func (s *Store) Setup(ctx context.Context) error {
	for _, name := range s.names {
		_, err := s.service.CreateTable(ctx, name, nil)
		if err != nil && entity.CodeOf(err) != string(aztables.TableAlreadyExists) {
			return fmt.Errorf("create table %s: %w", name, entity.Translate(err))
		}
	}
	return nil
}

// Ping reads one row that need not exist: nil where the service answers, lets
// the app in and has the table.
func (s *Store) Ping(ctx context.Context) error {
	_, _, err := s.state.Get(ctx, live, rowSweep)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
