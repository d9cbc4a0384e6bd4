package deploysim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Document is a JSON object, as it was sent or as it is answered.
type Document = map[string]any

// Call is one request that changes something, and what came of it.
type Call struct {
	Method string
	ID     string   // the resource, as spelled in the path
	Body   Document // nil where none was sent
	Status int
}

// Server is the stand-in. Its zero value is not usable: see [New].
type Server struct {
	// Host is its address, 127.0.0.1:port. It speaks https alone.
	Host string
	// Certificate is its certificate in PEM, for whoever is to trust it.
	Certificate []byte

	tenant        string
	subscriptions map[string]bool

	mu         sync.Mutex
	resources  map[string]Document // by id in lower case
	registered map[string]bool     // "subscription/namespace" in lower case
	calls      []Call
	unknown    []string
	watch      func(*Server)

	http *http.Server
}

// New starts a Resource Manager for the subscriptions of a tenant, in which nothing is registered
// and nothing exists. Close ends it.
func New(tenant string, subscriptions ...string) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	certificate, encoded, err := selfSigned()
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{
		Host: listener.Addr().String(), Certificate: encoded, tenant: tenant,
		subscriptions: map[string]bool{}, resources: map[string]Document{}, registered: map[string]bool{},
	}
	for _, id := range subscriptions {
		s.subscriptions[id] = true
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = s.http.ServeTLS(listener, "", "") }() // ends with Close
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error { return s.http.Close() }

// Environ is what Terraform's provider needs in its environment to take this for Azure.
// certificate is a file that holds Certificate.
func (s *Server) Environ(certificate string) []string {
	return []string{
		"ARM_METADATA_HOSTNAME=" + s.Host, "SSL_CERT_FILE=" + certificate, "SSL_CERT_DIR=" + os.DevNull,
		"ARM_TENANT_ID=" + s.tenant, "ARM_CLIENT_ID=" + application, "ARM_CLIENT_SECRET=none-is-checked", "ARM_USE_CLI=false", "ARM_USE_MSI=false",
	}
}

// application and person are who signs in.
const (
	application = "a0000000-0000-0000-0000-000000000001"
	person      = "a0000000-0000-0000-0000-000000000002"
)

// selfSigned makes a certificate for 127.0.0.1 that vouches for itself.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "deploysim"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// ServeHTTP answers one request. All of them are answered one after the other.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body Document
	if r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodPost {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil {
			write(w, http.StatusBadRequest, failure("BadRequest", "%v", err))
			return
		}
		if len(text) > 0 && json.Unmarshal(text, &body) != nil && !strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			write(w, http.StatusBadRequest, failure("InvalidRequestContent", "the body is no JSON object"))
			return
		}
	}
	// The provider's older clients write //subscriptions and resourcegroups, and are shown one spelling.
	path := "/" + strings.Trim(r.URL.Path, "/")
	path = strings.Replace(path, "/resourcegroups/", "/resourceGroups/", 1)
	switch {
	case path == "/metadata/endpoints":
		write(w, http.StatusOK, s.metadata())
		return
	case strings.HasSuffix(path, "/oauth2/v2.0/token"):
		write(w, http.StatusOK, Document{"access_token": s.token(), "token_type": "Bearer", "expires_in": 3600})
		return
	case r.Header.Get("Authorization") == "":
		write(w, http.StatusUnauthorized, failure("AuthenticationFailed", "no token"))
		return
	}
	status, answer := s.route(r, path, body)
	if changes(r.Method, path) {
		s.calls = append(s.calls, Call{r.Method, path, body, status})
		if status < 300 && s.watch != nil {
			s.watch(s)
		}
	}
	write(w, status, answer)
}

// changes reports whether a request may change something: the POSTs that the provider sends read.
func changes(method, path string) bool {
	return method == http.MethodPut || method == http.MethodPatch || method == http.MethodDelete || method == http.MethodPost && strings.HasSuffix(path, "/register")
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Go-Azure-Sdk-Skip-Polling-Delay", "true") // what the provider's client looks for in its own tests
	w.WriteHeader(status)
	if answer != nil && status != http.StatusNoContent {
		_ = json.NewEncoder(w).Encode(answer) // whoever has gone does not read it
	}
}

func failure(code, format string, args ...any) Document {
	return Document{"error": Document{"code": code, "message": fmt.Sprintf(format, args...)}}
}

// token returns an unsigned token: the provider only reads who it says that it is.
func (s *Server) token() string {
	part := func(d Document) string {
		text, err := json.Marshal(d)
		if err != nil {
			panic(err) // strings and numbers alone
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(Document{"alg": "none"}) + "." + part(Document{"tid": s.tenant, "oid": person, "appid": application, "exp": time.Now().Add(time.Hour).Unix()}) + "."
}

// metadata is the public cloud's, but for where to sign in and where Resource Manager is.
func (s *Server) metadata() Document {
	return Document{
		"name": "AzureCloud", "resourceManager": "https://" + s.Host + "/",
		"authentication": Document{
			"loginEndpoint": "https://" + s.Host, "audiences": []string{"https://" + s.Host + "/"}, "tenant": "common", "identityProvider": "AAD",
		},
		"microsoftGraphResourceId": "https://" + s.Host + "/graph",
		"suffixes": Document{
			"storage": "core.windows.net", "keyVaultDns": "vault.azure.net", "sqlServerHostname": "database.windows.net",
			"acrLoginServer": "azurecr.io", "azureFrontDoorEndpointSuffix": "azurefd.net", "mhsmDns": "managedhsm.azure.net",
			"mariadbServerEndpoint": "mariadb.database.azure.com", "mysqlServerEndpoint": "mysql.database.azure.com", "postgresqlServerEndpoint": "postgres.database.azure.com",
			"storageSyncEndpointSuffix": "afs.azure.net", "synapseAnalytics": "dev.azuresynapse.net", "attestationEndpoint": "attest.azure.net",
			"azureDataLakeStoreFileSystem": "azuredatalakestore.net",
		},
		"batch": "https://batch.core.windows.net/", "logAnalyticsResourceId": "https://api.loganalytics.io", "ossrDbmsResourceId": "https://ossrdbms-aad.database.windows.net",
		"synapseAnalyticsResourceId": "https://dev.azuresynapse.net", "attestationResourceId": "https://attest.azure.net", "activeDirectoryDataLake": "https://datalake.azure.net/",
		"media": "https://rest.media.azure.net",
	}
}
