package tablesim_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/local/azurite"
	"portcullis/local/tablesim"
)

const goodToken = "good"

// token is a credential that always yields itself.
type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// loopback carries https requests over http: aztables refuses to send a bearer
// token over plain http and offers no way around, so the client is given an
// https URL and this transport. Only for servers on 127.0.0.1.
type loopback struct{ client *http.Client }

func (l loopback) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return l.client.Do(r)
}

func options(client *http.Client) *aztables.ClientOptions {
	return &aztables.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: loopback{client},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}}
}

func verify(t string) error {
	switch t {
	case goodToken:
		return nil
	case "reader":
		return tablesim.ErrForbidden
	}
	return errors.New("unknown token")
}

// serve starts a server on 127.0.0.1 and returns it and its https URL.
func serve(t testing.TB, config tablesim.Config) (*tablesim.Server, string) {
	t.Helper()
	if config.Verify == nil {
		config.Verify = verify
	}
	sim, err := tablesim.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	t.Cleanup(func() {
		web.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim, "https" + web.URL[len("http"):]
}

func connect(t testing.TB, url string, credential token) *aztables.ServiceClient {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	service, err := aztables.NewServiceClient(url, credential, options(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// open is a server of its own and a client with a good token.
func open(t testing.TB) (*tablesim.Server, *aztables.ServiceClient) {
	t.Helper()
	sim, url := serve(t, tablesim.Config{})
	return sim, connect(t, url, goodToken)
}

func connectKey(t testing.TB, url, account, key string) *aztables.ServiceClient {
	t.Helper()
	credential, err := aztables.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	service, err := aztables.NewServiceClientWithSharedKey(url, credential, &aztables.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func TestConformance(t *testing.T) {
	t.Run("tablesim", func(t *testing.T) {
		_, url := serve(t, tablesim.Config{})
		suite(t, func(t *testing.T) *aztables.ServiceClient { return connect(t, url, goodToken) }, true)
	})
	t.Run("tablesim with account in path and shared key", func(t *testing.T) {
		key, err := base64.StdEncoding.DecodeString(azurite.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, url := serve(t, tablesim.Config{Account: azurite.Account, AccountInPath: true, Key: key})
		url = "http" + url[len("https"):] + "/" + azurite.Account
		suite(t, func(t *testing.T) *aztables.ServiceClient { return connectKey(t, url, azurite.Account, azurite.Key) }, true)
	})
	t.Run("azurite", func(t *testing.T) {
		url := azurite.Start(t)
		suite(t, func(t *testing.T) *aztables.ServiceClient { return connectKey(t, url, azurite.Account, azurite.Key) }, false)
	})
}

// uniqueTable spells the next number in letters, as a table name.
func uniqueTable(count *atomic.Int64) string {
	const letters = "abcdefghij"
	n := count.Add(1)
	name := []byte("t")
	for ; n > 0; n /= 10 {
		name = append(name, letters[n%10])
	}
	return string(append(name, "table"...))
}

// created makes a table and returns its client.
func created(t testing.TB, service *aztables.ServiceClient, name string) *aztables.Client {
	t.Helper()
	if _, err := service.CreateTable(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	return service.NewClient(name)
}

// row is an entity as JSON, with the keys first in the argument list.
func row(t testing.TB, pk, rk string, properties map[string]any) []byte {
	t.Helper()
	all := map[string]any{"PartitionKey": pk, "RowKey": rk}
	for name, v := range properties {
		all[name] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func add(t testing.TB, table *aztables.Client, entity []byte) azcore.ETag {
	t.Helper()
	r, err := table.AddEntity(t.Context(), entity, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.ETag
}

// codeOf is the error code and status of an SDK error; "" and 0 for none.
func codeOf(err error) (string, int) {
	var e *azcore.ResponseError
	if errors.As(err, &e) {
		return e.ErrorCode, e.StatusCode
	}
	return "", 0
}

func wantCode(t *testing.T, err error, code string, status int) {
	t.Helper()
	if got, gotStatus := codeOf(err); got != code || gotStatus != status {
		t.Errorf("got %d %q, want %d %q; error: %v", gotStatus, got, status, code, err)
	}
}
