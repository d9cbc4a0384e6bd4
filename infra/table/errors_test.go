package table_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table"
	"portcullis/local/tablesim"
)

func TestNewRefuses(t *testing.T) {
	const account = "https://account.table.core.windows.net"
	rows := map[string]struct {
		endpoint string
		cred     azcore.TokenCredential
		prefix   string
		want     string
	}{
		"no credential":            {endpoint: account, want: "credential"},
		"no endpoint":              {cred: token{}, want: "not of the form"},
		"no scheme":                {endpoint: "account.table.core.windows.net", cred: token{}, want: "not of the form"},
		"a signature in the URL":   {endpoint: account + "/?sv=1&sig=x", cred: token{}, want: "not of the form"},
		"a user in the URL":        {endpoint: "https://me:secret@host/", cred: token{}, want: "not of the form"},
		"http to another host":     {endpoint: "http://account.table.core.windows.net", cred: token{}, want: "loopback"},
		"http to a private host":   {endpoint: "http://10.0.0.4:10002", cred: token{}, want: "loopback"},
		"http to every interface":  {endpoint: "http://0.0.0.0:10002", cred: token{}, want: "loopback"},
		"http to a look-alike":     {endpoint: "http://127.0.0.1.example.com", cred: token{}, want: "loopback"},
		"http to localhost's name": {endpoint: "http://localhost.example.com", cred: token{}, want: "loopback"},
		"another scheme":           {endpoint: "ftp://127.0.0.1", cred: token{}, want: "neither"},
		"a prefix with a dash":     {endpoint: account, cred: token{}, prefix: "a-b", want: "name of a table"},
		"a prefix with a digit":    {endpoint: account, cred: token{}, prefix: "1a", want: "name of a table"},
		"a long prefix":            {endpoint: account, cred: token{}, prefix: strings.Repeat("a", 51), want: "name of a table"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := table.New(row.endpoint, row.cred, table.Options{Prefix: row.prefix})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got error %v, want one with %q", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	for _, endpoint := range []string{account, account + "/", "http://127.0.0.1:10002/account", "http://[::1]:10002", "http://localhost:10002"} {
		if _, err := table.New(endpoint, token{}, table.Options{}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// transport answers the SDK's requests in the place of the network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

// answering gives a store whose every request gets one answer.
func answering(t *testing.T, status int, header http.Header, body string) *table.Store {
	t.Helper()
	options := impatient()
	options.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	s, err := table.New("https://account.table.core.windows.net", token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func odata(code string) string {
	return fmt.Sprintf(`{"odata.error":{"code":%q,"message":{"lang":"en-US","value":"0:it says so."}}}`, code)
}

// failedBatch is how the service answers a transaction that fails: 202, the reason inside.
func failedBatch(status int, code string) (http.Header, string) {
	body := "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n" +
		"--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
		fmt.Sprintf("HTTP/1.1 %d Reason\r\nContent-Type: application/json\r\n\r\n%s\r\n", status, odata(code)) +
		"--changesetresponse_2--\r\n--batchresponse_1--\r\n"
	return http.Header{"Content-Type": {"multipart/mixed; boundary=batchresponse_1"}}, body
}

// unavailable matches any *store.Unavailable.
var unavailable = &store.Unavailable{Dependency: "Table Storage"}

func wantClass(t *testing.T, what string, got, want error) {
	t.Helper()
	if want != error(unavailable) {
		if want == nil && got != nil {
			for _, not := range []error{store.ErrConflict, store.ErrNotFound, store.ErrForbidden} {
				if errors.Is(got, not) {
					t.Errorf("%s: got %v, want none of the port's errors", what, got)
				}
			}
			if _, ok := errors.AsType[*store.Unavailable](got); ok {
				t.Errorf("%s: got %v, want none of the port's errors", what, got)
			}
			return
		}
		if want == nil || !errors.Is(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
		return
	}
	down, ok := errors.AsType[*store.Unavailable](got)
	if !ok || down.Dependency != unavailable.Dependency {
		t.Errorf("%s: got %v, want *store.Unavailable of Table Storage", what, got)
	}
}

func TestErrors(t *testing.T) {
	rows := []struct {
		name   string
		status int
		code   string
		want   error // of a read, and of a transaction that the answer is inside of; nil for none of the port's
		write  error // of a transaction, where it is another
	}{
		{name: "stale ETag", status: 412, code: "UpdateConditionNotSatisfied", want: store.ErrConflict},
		{name: "412 of an odd code", status: 412, code: "X", want: store.ErrConflict},
		{name: "exists", status: 409, code: "EntityAlreadyExists", want: store.ErrConflict},
		{name: "409 of another kind", status: 409, code: "TableBeingDeleted"},
		{name: "no row", status: 404, code: "ResourceNotFound", want: store.ErrNotFound, write: store.ErrConflict},
		{name: "no table", status: 404, code: "TableNotFound", want: unavailable},
		{name: "bad request", status: 400, code: "InvalidInput"},
		{name: "no permission", status: 403, code: "AuthorizationPermissionMismatch", want: store.ErrForbidden},
		{name: "bad token", status: 401, code: "InvalidAuthenticationInfo", want: store.ErrForbidden},
		{name: "too many", status: 429, code: "X", want: unavailable},
		{name: "busy", status: 503, code: "ServerBusy", want: unavailable},
		{name: "timed out", status: 500, code: "OperationTimedOut", want: unavailable},
		{name: "gateway", status: 502, want: unavailable},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			direct := answering(t, row.status, http.Header{"X-Ms-Error-Code": {row.code}, "Content-Type": {"application/json"}}, odata(row.code))
			_, err := direct.Policy(t.Context(), vm(1))
			wantClass(t, "read", err, row.want)
			want := row.want
			if row.write != nil {
				want = row.write
			}
			_, err = direct.PutPolicy(t.Context(), policyRecord(1, 1))
			wantClass(t, "transaction refused as a whole", err, want)
			header, body := failedBatch(row.status, row.code)
			_, err = answering(t, http.StatusAccepted, header, body).PutPolicy(t.Context(), policyRecord(1, 1))
			wantClass(t, "transaction refused inside", err, want)
		})
	}
	t.Run("retry after", func(t *testing.T) {
		for value, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "999999": 0} {
			_, err := answering(t, 503, http.Header{"Retry-After": {value}}, "").Policy(t.Context(), vm(1))
			down, ok := errors.AsType[*store.Unavailable](err)
			if !ok || down.RetryAfter != want {
				t.Errorf("Retry-After %q: got %v, want %s", value, err, want)
			}
		}
	})
	t.Run("answers that make no sense", func(t *testing.T) {
		for name, body := range map[string]string{"empty": "", "text": "hello\r\n", "cut off": "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"} {
			header, _ := failedBatch(400, "")
			_, err := answering(t, http.StatusAccepted, header, body).PutPolicy(t.Context(), policyRecord(1, 1))
			wantClass(t, name, err, unavailable)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		options := impatient()
		options.Transport = transport(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
		s, err := table.New("https://account.table.core.windows.net", token{}, options)
		if err != nil {
			t.Fatal(err)
		}
		wantClass(t, "ping", s.Ping(t.Context()), unavailable)
		wantClass(t, "setup", s.Setup(t.Context()), unavailable)
	})
	t.Run("ended context", func(t *testing.T) {
		s, _ := newStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Policy(ctx, vm(1))
		wantClass(t, "read", err, unavailable)
		wantClass(t, "read", err, context.Canceled)
	})
}

func TestPing(t *testing.T) {
	sim, url := simulator(t)
	s, err := table.New(url, token{}, impatient())
	if err != nil {
		t.Fatal(err)
	}
	wantClass(t, "ping before the tables are there", s.Ping(t.Context()), unavailable)
	for range 2 { // setup may run at every start
		if err := s.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	sim.SetDown(true)
	wantClass(t, "ping while it is down", s.Ping(t.Context()), unavailable)
}

// TestRedirect has a stand-in that sends the client elsewhere: the token must not follow.
func TestRedirect(t *testing.T) {
	_, elsewhere := simulator(t)
	options := impatient()
	options.Transport = transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme != "http" {
			t.Errorf("a request to %s reached the network", r.URL)
		}
		return &http.Response{StatusCode: 307, Header: http.Header{"Location": {elsewhere}}, Body: http.NoBody, Request: r}, nil
	})
	s, err := table.New("http://127.0.0.1:1", token{}, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("no error")
	}
}

// TestLostAnswer has the SDK send a transaction again whose first answer was lost:
// it then meets its own write, which is not a conflict.
func TestLostAnswer(t *testing.T) {
	for name, how := range map[string]tablesim.Failure{"answer lost": tablesim.ReplyLost, "answered by an error": tablesim.Applied} {
		t.Run(name, func(t *testing.T) {
			sim, url := simulator(t)
			options := impatient()
			options.Retry.MaxRetries, options.Retry.RetryDelay = 2, time.Nanosecond
			s, err := table.New(url, token{}, options)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
			sim.FailNext(1, how, tablesim.Batch)
			g, err := s.InsertGrant(t.Context(), grantRecord(1, 1), nil, day)
			if err != nil {
				t.Fatalf("insert: %v", err)
			}
			sim.FailNext(1, how, tablesim.Batch)
			g.Grant = g.Grant.Opened(day)
			out, err := s.UpdateGrants(t.Context(), g)
			if err != nil {
				t.Fatalf("update: %v", err)
			}
			_, err = s.InsertGrant(t.Context(), grantRecord(1, 1), nil, day)
			wantClass(t, "a true second insert", err, store.ErrConflict)
			out[0].Grant = out[0].Grant.Revoke(day, jit.UserRequested).Settled(day)
			if _, err = s.UpdateGrants(t.Context(), out...); err != nil {
				t.Errorf("update by the version that was read back: %v", err)
			}
			sim.FailNext(1, how, tablesim.Batch)
			e := store.Entry{ID: "e", Time: day, Operation: store.OpOpen}
			if err := s.Append(t.Context(), e); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
}
