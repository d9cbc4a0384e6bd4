package tablesim_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portcullis/local/azurite"
	"portcullis/local/tablesim"
)

func TestAuthorization(t *testing.T) {
	sim, url := serve(t, tablesim.Config{Account: azurite.Account, Key: []byte("right key")})
	list := func(credential token) error {
		_, err := connect(t, url, credential).NewListTablesPager(nil).NextPage(t.Context())
		return err
	}
	wantCode(t, list("bad"), "InvalidAuthenticationInfo", http.StatusUnauthorized)
	wantCode(t, list("reader"), "AuthorizationPermissionMismatch", http.StatusForbidden)
	wrong := base64.StdEncoding.EncodeToString([]byte("wrong key"))
	plain := "http" + url[len("https"):]
	_, err := connectKey(t, plain, azurite.Account, wrong).NewListTablesPager(nil).NextPage(t.Context())
	wantCode(t, err, "AuthenticationFailed", http.StatusForbidden)
	_, err = connectKey(t, plain, "someoneelse", base64.StdEncoding.EncodeToString([]byte("right key"))).NewListTablesPager(nil).NextPage(t.Context())
	wantCode(t, err, "AuthenticationFailed", http.StatusForbidden)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic abc", "SharedKey " + azurite.Account + ":x"} {
		w := send(sim, http.MethodGet, "/Tables", "", map[string]string{"Authorization": header})
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("Authorization %q: status %d, want 401 with a challenge", header, w.Code)
		}
	}
	if err := list(goodToken); err != nil {
		t.Error(err)
	}
	right := base64.StdEncoding.EncodeToString([]byte("right key"))
	if _, err := connectKey(t, plain, azurite.Account, right).NewListTablesPager(nil).NextPage(t.Context()); err != nil {
		t.Error(err)
	}
}

// send puts a request into the handler itself, with a good token.
func send(sim *tablesim.Server, method, target, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	r.Header.Set("Authorization", "Bearer "+goodToken)
	for name, v := range header {
		r.Header.Set(name, v)
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w
}

// TestCountsOverHTTP holds that tests of another process read the counts without a token, and on loopback names only.
func TestCountsOverHTTP(t *testing.T) {
	sim, url := serve(t, tablesim.Config{})
	if _, err := connect(t, url, goodToken).CreateTable(t.Context(), "counted", nil); err != nil {
		t.Fatal(err)
	}
	ask := func(method, host string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, httptest.NewRequest(method, "http://"+host+"/local/counts", nil))
		return w
	}
	var got tablesim.Stats
	if w := ask("GET", "127.0.0.1:10002"); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &got) != nil || got.Operations[tablesim.CreateTable] != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("POST", "localhost"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := ask("GET", "evil.example"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("through another host name: %d", w.Code)
	}
}

// TestWireRefusals checks what aztables never sends, or hides.
func TestWireRefusals(t *testing.T) {
	sim, service := open(t)
	created(t, service, "things")
	const key = "/things(PartitionKey='p',RowKey='r')"
	batch := map[string]string{"Content-Type": "multipart/mixed; boundary=b"}
	for _, test := range []struct {
		name, method, target, body string
		header                     map[string]string
		code                       string
		status                     int
	}{
		{"no such resource", "GET", "/", "", nil, "OutOfRangeInput", 400},
		{"bad table name", "GET", "/a-b()", "", nil, "InvalidResourceName", 400},
		{"reserved table name", "POST", "/Tables", `{"TableName":"tables"}`, nil, "InvalidInput", 400},
		{"stored access policies", "GET", "/things?comp=acl", "", nil, "NotImplemented", 501},
		{"service properties", "GET", "/?restype=service&comp=properties", "", nil, "NotImplemented", 501},
		{"method", "POST", key, "{}", nil, "MethodNotAllowed", 405},
		{"method on a table", "PUT", "/things", "{}", nil, "MethodNotAllowed", 405},
		{"method on tables", "PUT", "/Tables", "{}", nil, "MethodNotAllowed", 405},
		{"delete without If-Match", "DELETE", key, "", nil, "MissingRequiredHeader", 400},
		{"undoubled quote", "GET", "/things(PartitionKey='o'p',RowKey='r')", "", nil, "InvalidInput", 400},
		{"slash in a key of the URL", "GET", "/things(PartitionKey='a/b',RowKey='r')", "", nil, "InvalidInput", 400},
		{"hash in a key of the URL", "GET", "/things(PartitionKey='a#b',RowKey='r')", "", nil, "OutOfRangeInput", 400},
		{"half a key", "GET", "/things(PartitionKey='p')", "", nil, "InvalidInput", 400},
		{"no row key", "POST", "/things", `{"PartitionKey":"p"}`, nil, "PropertiesNeedValue", 400},
		{"property twice", "POST", "/things", `{"PartitionKey":"p","RowKey":"r","a":1,"a":2}`, nil, "DuplicatePropertiesSpecified", 400},
		{"number as key", "POST", "/things", `{"PartitionKey":1,"RowKey":"r"}`, nil, "InvalidInput", 400},
		{"not JSON", "POST", "/things", `<entry/>`, nil, "InvalidInput", 400},
		{"text after the JSON", "POST", "/things", `{"PartitionKey":"p","RowKey":"r"}{}`, nil, "InvalidInput", 400},
		{"other key in the body", "PUT", key, `{"PartitionKey":"q"}`, nil, "InvalidInput", 400},
		{"body over 4 MiB", "POST", "/things", strings.Repeat(" ", 4<<20+1), nil, "RequestBodyTooLarge", 413},
		{"Atom", "GET", "/things()", "", map[string]string{"Accept": "application/atom+xml"}, "AtomFormatNotSupported", 415},
		{"top of 0", "GET", "/things()?%24top=0", "", nil, "InvalidInput", 400},
		{"bad continuation", "GET", "/things()?NextPartitionKey=x&NextRowKey=y", "", nil, "InvalidInput", 400},
		{"query of no table", "GET", "/absent()", "", nil, "TableNotFound", 404},
		{"batch without boundary", "POST", "/$batch", "", nil, "InvalidInput", 400},
		{"empty batch", "POST", "/$batch", "--b--\r\n", batch, "InvalidInput", 400},
		{"query in a batch", "POST", "/$batch", "--b\r\nContent-Type: application/http\r\n\r\nGET /things() HTTP/1.1\r\n\r\n--b--\r\n", batch, "NotImplemented", 501},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := send(sim, test.method, test.target, test.body, test.header)
			if w.Code != test.status || w.Header().Get("x-ms-error-code") != test.code {
				t.Fatalf("got %d %q, want %d %q", w.Code, w.Header().Get("x-ms-error-code"), test.status, test.code)
			}
			var body struct {
				Error struct {
					Code    string
					Message struct{ Lang, Value string }
				} `json:"odata.error"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			id := w.Header().Get("x-ms-request-id")
			if body.Error.Code != test.code || id == "" || !strings.Contains(body.Error.Message.Value, "\nRequestId:"+id+"\nTime:") {
				t.Errorf("body = %s", w.Body)
			}
		})
	}
}

func TestAccountInPathIsRequired(t *testing.T) {
	sim, _ := serve(t, tablesim.Config{Account: "devaccount", AccountInPath: true})
	if w := send(sim, "GET", "/Tables", "", nil); w.Code != 400 || w.Header().Get("x-ms-error-code") != "InvalidUri" {
		t.Errorf("without the account: %d %s", w.Code, w.Body)
	}
	if w := send(sim, "GET", "/devaccount/Tables", "", nil); w.Code != 200 {
		t.Errorf("with the account: %d %s", w.Code, w.Body)
	}
}

// TestBearerOverTLS is the other way to give aztables a bearer token.
func TestBearerOverTLS(t *testing.T) {
	sim, err := tablesim.Open(tablesim.Config{Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	web := httptest.NewTLSServer(sim)
	defer web.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/Tables", strings.NewReader(`{"TableName":"secure"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+goodToken)
	resp, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusCreated || !strings.Contains(string(body), web.URL+"/$metadata#Tables") {
		t.Errorf("%d %s, want 201 with https links", resp.StatusCode, body)
	}
}
