package table_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/coretest"
	"portcullis/infra/table"
	"portcullis/local/azurite"
	"portcullis/local/tablesim"
)

// token is a credential whose tokens every stand-in here takes.
type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "test", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// impatient are options without waiting between tries, and without a second one.
func impatient() table.Options {
	return table.Options{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1, TryTimeout: time.Minute}}}
}

// simulator gives an account's stand-in and its endpoint.
func simulator(t testing.TB) (*tablesim.Server, string) {
	t.Helper()
	sim, err := tablesim.Open(tablesim.Config{Dir: t.TempDir(), Verify: func(string) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim, server.URL
}

// store gives a store with its tables on a stand-in of its own.
func newStore(t testing.TB) (*table.Store, *tablesim.Server) {
	t.Helper()
	sim, url := simulator(t)
	s, err := table.New(url, token{}, impatient())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	sim.ResetStats()
	return s, sim
}

func TestConformance(t *testing.T) {
	coretest.TestStore(t, func(t *testing.T) coretest.Store {
		s, _ := newStore(t)
		return s
	})
}

// TestConformanceInSmallPages makes every list continue, often after nothing.
func TestConformanceInSmallPages(t *testing.T) {
	coretest.TestStore(t, func(t *testing.T) coretest.Store {
		s, sim := newStore(t)
		sim.SetMaxPage(3)
		sim.EmptyPages(5)
		return s
	})
}

func TestConformanceOnAzurite(t *testing.T) {
	url := azurite.Start(t)
	// Node closes what nobody used for five seconds, which a write that begins at that moment meets, and here
	// nothing is sent again.
	transport := &http.Transport{IdleConnTimeout: time.Second, MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	var stores atomic.Int64
	coretest.TestStore(t, func(t *testing.T) coretest.Store {
		options := impatient()
		options.Transport = &http.Client{Transport: transport}
		options = options.Prefixed("Test" + strconv.FormatInt(stores.Add(1), 10))
		s, err := table.OpenWithKey(url, azurite.Account, azurite.Key, options)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}
